"""``clean``: removes what dead runs left on the engine and among the processes."""

import asyncio
from typing import Annotated

import typer

from pacabench.cli.exit import ExitCode
from pacabench.cli.logs import configure_logs
from pacabench.cli.options import LogFormat
from pacabench.cli.output import write_result
from pacabench.cli.progress import open_progress
from pacabench.report.printable import printable
from pacabench.sandbox.docker.engine import open_engine
from pacabench.sandbox.docker.leftovers import Leftover, find_leftovers
from pacabench.sandbox.docker.sweep import sweep
from pacabench.sandbox.orphans import find_orphans, remove_orphans


def clean(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only list what would be removed.")
    ] = False,
) -> None:
    """Remove what dead runs left.

    Containers, volumes and networks on the engine, by label and owner, and agents that still run
    as processes. Live runs are not touched.
    """
    configure_logs(LogFormat.TEXT)
    verb = "would remove" if dry_run else "removed"
    agents = len(find_orphans()) if dry_run else remove_orphans()
    if agents:
        write_result(f"{verb}: {agents} processes of agents that dead runs left")
    found, left = asyncio.run(_clean(dry_run=dry_run))
    stuck = {(item.run_id, item.owner) for item in left}
    stuck &= {(item.run_id, item.owner) for item in found}
    for item in found:
        said = "could not remove all" if (item.run_id, item.owner) in stuck else verb
        write_result(printable(f"{said}: {item.text}"))
    if not found and not agents:
        write_result("nothing to remove")
    if stuck:
        raise typer.Exit(ExitCode.ERROR)


async def _clean(*, dry_run: bool) -> tuple[list[Leftover], list[Leftover]]:
    """What was there, and what is still there although it should not be."""
    async with (
        open_progress(quiet=False, log_format=LogFormat.TEXT) as progress,
        open_engine() as engine,
    ):
        if dry_run:
            return await find_leftovers(engine), []
        found = await sweep(engine, listener=progress)
        return found, await find_leftovers(engine) if found else []
