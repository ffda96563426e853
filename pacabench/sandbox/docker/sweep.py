"""Removes what dead harnesses left, and saves the calls that only their sidecars know of."""

import asyncio
import contextlib
import secrets
from collections.abc import Sequence
from pathlib import Path

import docker
from docker.errors import APIError

from pacabench.durable import sync_directory
from pacabench.errors import SandboxError
from pacabench.events import Listener, Notice, Preparing
from pacabench.proxy.control import ORPHAN_GRACE_S
from pacabench.sandbox.docker import containers
from pacabench.sandbox.docker.connection import explain
from pacabench.sandbox.docker.engine import Engine
from pacabench.sandbox.docker.labels import Role, RunLabels
from pacabench.sandbox.docker.leftovers import LeftContainer, Leftover, find_leftovers
from pacabench.sandbox.docker.sidecar_network import remove_network
from pacabench.sandbox.docker.spool import fetch_spool
from pacabench.sandbox.docker.volume import remove_volume

_ORPHAN_ENDS_WITHIN_S = ORPHAN_GRACE_S + 10.0
_OWN_HELPERS = {Role.SIDECAR, Role.LANE, Role.KEEPER}


async def sweep(engine: Engine, *, listener: Listener, run_id: str | None = None) -> list[Leftover]:
    """Remove all that dead harnesses left, or those of one run; returns what that was.

    Agents go first, so that none goes on spending. The calls that a sidecar noted are put into
    ``spool/`` of its run's directory before it goes, where a resume finds them. What fails is a
    notice, and stays for the next sweep. Two sweeps at a time do not disturb each other.

    Raises:
        SandboxError: the engine does not tell what there is.
        EngineUnreachableError: no engine answers.
    """
    leftovers = [
        leftover for leftover in await find_leftovers(engine) if run_id in {None, leftover.run_id}
    ]
    agents = [
        container.id
        for leftover in leftovers
        for container in leftover.containers
        if container.role not in _OWN_HELPERS
    ]
    await _remove_each(engine, agents, listener)
    await asyncio.gather(*(_sweep_one(engine, leftover, listener) for leftover in leftovers))
    return leftovers


async def _sweep_one(engine: Engine, leftover: Leftover, listener: Listener) -> None:
    try:
        for container in leftover.containers:
            if container.role == Role.SIDECAR:
                await _save_calls(engine, leftover, container, listener)
    except (SandboxError, OSError) as error:
        text = f"what run {leftover.run_id} left stays until its calls can be saved: {error}"
        listener(Notice("warning", text))
        return
    await _remove_each(engine, [container.id for container in leftover.containers], listener)
    try:
        for volume in leftover.volumes:
            await remove_volume(engine, volume)
        for network in leftover.networks:
            await remove_network(engine, network)
    except SandboxError as error:
        listener(Notice("warning", str(error)))


async def _save_calls(
    engine: Engine, leftover: Leftover, sidecar: LeftContainer, listener: Listener
) -> None:
    """Wait until an orphaned sidecar wrote its last line, then copy its spool.

    Raises:
        SandboxError, OSError: it cannot be copied.
    """
    if sidecar.running:
        listener(Preparing(f"waiting for the last calls of run {leftover.run_id}, which died"))
        with contextlib.suppress(TimeoutError):
            await containers.read_end(engine, sidecar.id, within_s=_ORPHAN_ENDS_WITHIN_S)
        await containers.kill(engine, sidecar.id)
    if leftover.run_dir is None:
        return  # nobody will ever resume it
    folder = leftover.run_dir / "spool"
    folder.mkdir(exist_ok=True)
    # Written beside the folder: a resume takes every file that is in it.
    partial = leftover.run_dir / f".spool-{secrets.token_hex(4)}.partial"
    try:
        if await fetch_spool(engine, sidecar.id, partial):
            await asyncio.to_thread(_move, partial, folder / f"docker-{sidecar.id[:16]}")
    finally:
        partial.unlink(missing_ok=True)


def _move(partial: Path, target: Path) -> None:
    partial.replace(target)
    sync_directory(target.parent)


async def remove_session(engine: Engine, labels: RunLabels) -> None:
    """Remove whatever one's own sandbox may still have: what a cut step left behind.

    Raises:
        SandboxError: something cannot be removed.
    """

    def find(client: docker.APIClient) -> tuple[list[str], list[str], list[str]]:
        return (
            [item["Id"] for item in client.containers(all=True, filters=labels.filters)],
            [i["Name"] for i in client.volumes(filters=labels.filters).get("Volumes") or ()],
            [item["Id"] for item in client.networks(filters=labels.filters)],
        )

    try:
        found, volumes, networks = await engine.call(find, repeatable=True)
    except APIError as error:
        raise explain(error, "looking for what is left of this run") from error
    await asyncio.gather(*(containers.remove(engine, one) for one in found))
    await asyncio.gather(*(remove_volume(engine, one) for one in volumes))
    await asyncio.gather(*(remove_network(engine, one) for one in networks))


async def _remove_each(engine: Engine, ids: Sequence[str], listener: Listener) -> None:
    ended = await asyncio.gather(
        *(containers.remove(engine, one) for one in ids), return_exceptions=True
    )
    for error in ended:
        if isinstance(error, SandboxError):
            listener(Notice("warning", str(error)))
        elif error is not None:
            raise error
