"""``doctor``: what this machine has, and what follows from what it has not."""

import asyncio
import contextlib
import json
import os
import platform
import shutil
import sys
from collections.abc import Mapping
from dataclasses import asdict
from enum import StrEnum
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Column, Table
from rich.text import Text

from pacabench import __version__
from pacabench.cli.auditing import run_audit
from pacabench.cli.checks import (
    Check,
    disk_checks,
    engine_checks,
    image_checks,
    key_checks,
    limit_checks,
)
from pacabench.cli.exit import ExitCode
from pacabench.cli.logs import configure_logs
from pacabench.cli.options import CONFIG_FILE, AsJson, CacheDir, Config, LogFormat
from pacabench.cli.output import result_console, write_result
from pacabench.config.load import LoadedConfig, key_names, load_config
from pacabench.config.provider_names import PROVIDER_KEYS
from pacabench.errors import ConfigError, PacabenchError, UsageError
from pacabench.report.printable import printable_block
from pacabench.sandbox.docker.engine import Engine, open_engine
from pacabench.sandbox.docker.images.base import DEFAULT_BASE
from pacabench.sandbox.docker.images.build import find_image
from pacabench.sandbox.docker.images.debian import engine_architecture, why_not
from pacabench.sandbox.docker.images.inventory import list_images


class Audited(StrEnum):
    """Profiles that can be attacked without an OCI runtime of one's own."""

    STRICT = "strict"
    COMPAT = "compat"
    UNSAFE = "unsafe"


SCHEMA_VERSION = 1
_STYLES = {"ok": "green", "note": "yellow", "missing": "bold red"}


def doctor(
    config: Config = None,
    as_json: AsJson = False,
    audit: Annotated[
        bool,
        typer.Option(
            "--audit", help="Attack the sandbox on this engine, and say what held. Takes minutes."
        ),
    ] = False,
    only: Annotated[
        list[str] | None,
        typer.Option("--only", metavar="ID,...", help="With --audit: these attacks or groups."),
    ] = None,
    profile: Annotated[
        Audited,
        typer.Option("--profile", help="With --audit: which of the sandbox's profiles to attack."),
    ] = Audited.STRICT,
    cache_dir: CacheDir = None,
) -> None:
    """Say what this machine has, and what each missing thing means.

    Looks at the engine and its limits, images, disk and keys. With --audit: runs the attack suite.

    Exit code 0 when runs in docker can work (--audit: when every attack was shown to be held),
    else 1.
    """
    names = [part.strip() for text in only or () for part in text.split(",") if part.strip()]
    if only is not None and not audit:
        raise UsageError("--only says which attacks to make: it needs --audit")
    if profile is not Audited.STRICT and not audit:
        raise UsageError("--profile says which profile to attack: it needs --audit")
    if audit:
        configure_logs(LogFormat.TEXT)
        where = _cache_directory(config, cache_dir)
        code = run_audit(names, cache_dir=where, as_json=as_json, profile=profile.value)
        raise typer.Exit(code)
    checks = [*_own_checks(), *asyncio.run(_engine_checks()), *_project_checks(config)]
    works = all(check.status != "missing" for check in checks)
    if as_json:
        found = {
            "schema_version": SCHEMA_VERSION,
            "docker_runs": works,
            "checks": [asdict(check) for check in checks],
        }
        write_result(json.dumps(found, indent=2))
    else:
        _print(checks, works=works)
    raise typer.Exit(ExitCode.DONE if works else ExitCode.ERROR)


def _cache_directory(config: Path | None, given: Path | None) -> Path:
    """Of the project here, if there is one that can be read; else the user's own."""
    if given is not None:
        return given
    if config is not None or CONFIG_FILE.exists():
        with contextlib.suppress(ConfigError):
            return load_config(config or CONFIG_FILE).cache_directory
    told = os.environ.get("XDG_CACHE_HOME", "")
    root = Path(told) if told.startswith("/") else Path.home() / ".cache"
    return root / "pacabench"


def _own_checks() -> list[Check]:
    python = f"{platform.python_implementation()} {platform.python_version()} ({sys.executable})"
    here = f"{platform.system()} {platform.release()} {platform.machine()}"
    maker = shutil.which("mmdebstrap")
    return [
        Check("pacabench", "version", "ok", f"{__version__} on {python}"),
        Check("pacabench", "machine", "ok", here),
        Check("tools", "pip", "ok", f"{version_of('pip')}, fetches agents' requirements"),
        Check(
            "tools",
            "mmdebstrap",
            "ok" if maker else "note",
            maker or "not installed",
            "" if maker else "Needed only to make a base image where no image registry answers.",
        ),
    ]


async def _engine_checks() -> list[Check]:
    try:
        async with open_engine(workers=2) as engine:
            info, version = await engine.info(), await engine.version()
            where = await engine.call(lambda client: str(client.base_url))
            reachable = Check("engine", "reachable", "ok", os.environ.get("DOCKER_HOST") or where)
            return [
                reachable,
                *engine_checks(version, info),
                *limit_checks(info),
                *await _image_checks(engine),
                *disk_checks(_engine_root(info)),
            ]
    except PacabenchError as error:
        means = "`--sandbox docker` cannot run. `--sandbox process` can, for agents you trust."
        return [Check("engine", "reachable", "missing", str(error), means)]


async def _image_checks(engine: Engine) -> list[Check]:
    images = await list_images(engine)
    bases = [image.tag for image in images if image.kind == "base"]
    if await find_image(engine, DEFAULT_BASE) is not None:
        bases.insert(0, DEFAULT_BASE)
    architecture = await engine_architecture(engine)
    return image_checks(
        {image.kind for image in images},
        base=bases[0] if bases else None,
        can_make=why_not(architecture),
    )


def _engine_root(info: Mapping[str, Any]) -> list[tuple[str, Path]]:
    """The engine's own directory, where it is on this machine."""
    root = Path(str(info.get("DockerRootDir") or "/nowhere"))
    same = info.get("Name") == platform.node()
    return [("engine", root)] if same and root.is_dir() else []


def _project_checks(config: Path | None) -> list[Check]:
    """Disk and keys: of the project in this directory, where there is one."""
    path = config or CONFIG_FILE
    project: list[Check] = []
    loaded: LoadedConfig | None = None
    if config is not None or path.exists():
        try:
            loaded = load_config(path)
            found = f"{loaded.config.name!r}, can be read"
            project.append(Check("project", str(path), "ok", found))
        except ConfigError as error:
            project.append(Check("project", str(path), "note", "cannot be used", str(error)))
    if loaded is None:
        disk = disk_checks([("here", Path().absolute())])
        return [*project, *disk, *key_checks(PROVIDER_KEYS, os.environ, os.environ)]
    places = [("runs", loaded.output_directory), ("cache", loaded.cache_directory)]
    names = PROVIDER_KEYS | key_names(loaded.config)
    return [*project, *disk_checks(places), *key_checks(names, os.environ, loaded.environ)]


def _print(checks: list[Check], *, works: bool) -> None:
    table = Table(
        Column("", no_wrap=True, style="bold"),
        Column("", no_wrap=True),
        Column("", no_wrap=True),
        Column("", ratio=1, overflow="fold"),
        box=None,
        show_header=False,
        pad_edge=False,
        expand=True,
    )
    group = ""
    for check in checks:
        status = Text(check.status, style=_STYLES[check.status])
        text = Text(printable_block(check.found))
        if check.means:
            text.append(f"\n{printable_block(check.means)}", style="dim")
        table.add_row(check.group if check.group != group else "", check.name, status, text)
        group = check.group
    console = result_console()
    console.print(table)
    end = "Runs in docker can work." if works else "Runs in docker cannot work: see `missing`."
    console.print(Text(f"\n{end}", style="bold green" if works else "bold red"))
