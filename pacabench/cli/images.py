"""``images build`` and ``images list``: what runs make by themselves, made ahead and looked at."""

import asyncio
import json
import time
from collections.abc import Mapping
from dataclasses import asdict

import typer
from rich.table import Column, Table
from rich.text import Text

from pacabench.benchmark import resolve_agents, resolve_checkers
from pacabench.cli.figures import short_age, short_size
from pacabench.cli.logs import configure_logs
from pacabench.cli.options import (
    CONFIG_FILE,
    Agents,
    AsJson,
    CacheDir,
    Config,
    LogFormat,
    LogFormatOption,
    Quiet,
    chosen,
    overrides,
)
from pacabench.cli.output import result_console, write_result
from pacabench.cli.progress import open_progress
from pacabench.config.load import LoadedConfig, load_config
from pacabench.preparing import resolve_preparers
from pacabench.report.printable import printable
from pacabench.sandbox.base import SandboxAgent
from pacabench.sandbox.docker.engine import open_engine
from pacabench.sandbox.docker.images.agent import ensure_agent_image
from pacabench.sandbox.docker.images.inventory import ImageInfo, list_images
from pacabench.sandbox.docker.images.service import ensure_service_image
from pacabench.sandbox.docker.images.sidecar import ensure_sidecar_image

app = typer.Typer(help="Make or list the images that agents run in.", no_args_is_help=True)


@app.command()
def build(
    config: Config = None,
    agents: Agents = None,
    cache_dir: CacheDir = None,
    quiet: Quiet = False,
    log_format: LogFormatOption = LogFormat.TEXT,
) -> None:
    """Make the images of all that runs in containers.

    Only what is missing is made, named by its content.
    """
    configure_logs(log_format)
    loaded = load_config(config or CONFIG_FILE, flags=overrides(cache_dir=cache_dir))
    names = chosen(agents, [agent.name for agent in loaded.config.agents], kind="agent")
    wanted = [agent for agent in resolve_agents(loaded) if not names or agent.name in names]
    if not names:
        wanted += [*resolve_checkers(loaded), *resolve_preparers(loaded)]
    made = asyncio.run(_build(loaded, wanted, quiet=quiet, log_format=log_format))
    _print_made(made)


async def _build(
    loaded: LoadedConfig, agents: list[SandboxAgent], *, quiet: bool, log_format: LogFormat
) -> Mapping[str, str]:
    """Agent name, ``agent/service`` and ``sidecar`` to image id."""
    cache = loaded.cache_directory
    made: dict[str, str] = {}
    async with (
        open_progress(quiet=quiet, log_format=log_format) as progress,
        open_engine() as engine,
    ):
        made["sidecar"] = await ensure_sidecar_image(engine, cache_dir=cache, listener=progress)
        for agent in agents:
            image = await ensure_agent_image(engine, agent, cache_dir=cache, listener=progress)
            made[agent.name] = image.id
            for service in agent.config.services:
                beside = await ensure_service_image(
                    engine, agent, service, cache_dir=cache, listener=progress
                )
                made[f"{agent.name}/{service.name}"] = beside.id
    return made


def _print_made(made: Mapping[str, str]) -> None:
    width = max(len(printable(name)) for name in made)
    for name, image in made.items():
        write_result(f"{printable(name):<{width}}  {image}")


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """List the images that PacaBench made on this engine."""
    images = asyncio.run(_list())
    if as_json:
        write_result(
            json.dumps({"schema_version": 1, "images": [asdict(i) for i in images]}, indent=2)
        )
    elif images:
        _print(images)
    else:
        result_console().print(
            "No images yet. The first run makes them, or `pacabench images build`."
        )


async def _list() -> list[ImageInfo]:
    async with open_engine(workers=1) as engine:
        return await list_images(engine)


def _print(images: list[ImageInfo]) -> None:
    table = Table(
        Column("kind"),
        Column("tag", overflow="fold"),
        Column("size", justify="right", no_wrap=True),
        Column("made", justify="right", no_wrap=True),
        box=None,
        pad_edge=False,
    )
    now = time.time()
    for image in images:
        age = short_age(now - image.created)
        table.add_row(image.kind, Text(printable(image.tag)), short_size(image.size_bytes), age)
    result_console().print(table)
    result_console().print(Text("Sizes are with all layers; images share them.", style="dim"))
