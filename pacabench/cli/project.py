"""``init`` makes a project; ``show-config`` prints what a configuration comes to."""

import json
import os
import shlex
from collections.abc import Iterator
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated

import typer

from pacabench.cli.exit import say_warning
from pacabench.cli.options import CONFIG_FILE, Config
from pacabench.cli.output import write_result
from pacabench.config.load import load_config
from pacabench.config.show import describe, json_schema, render_yaml
from pacabench.errors import PacabenchError
from pacabench.report.printable import printable

_RENAMED = {"gitignore": ".gitignore"}
"""A file of that name inside the package would act on the package itself."""
_NAMED = {"pacabench.yaml", "README.md"}
"""Templates that hold the project's name."""
_LONGEST_NAME = 200
"""As the configuration's schema has it."""


def init(
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="Made when it is not there.")
    ] = Path(),
    name: Annotated[
        str | None, typer.Option(help="The benchmark's name. Default: the directory's.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite files that are there.")] = False,
) -> None:
    """Make a project that runs at once, without an API key."""
    target = directory.absolute()
    own = printable((name or target.resolve().name).strip(), _LONGEST_NAME) or "benchmark"
    files = dict(project_files(own))
    present = [path for path in files if os.path.lexists(target / path)]
    if present and not force:
        raise PacabenchError(
            f"{printable(str(directory))} already has: {', '.join(present)}\n"
            "Nothing was written. Name another directory, or overwrite them with --force."
        )
    for path, text in files.items():
        file = target / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    write_result(_welcome(directory, list(files)))


def project_files(name: str) -> Iterator[tuple[str, str]]:
    """Path and text of every file of a new project called ``name``."""
    root = resources.files("pacabench.cli") / "template"
    for path, file in sorted(_walk(root, "")):
        text = file.read_text(encoding="utf-8")
        if path in _NAMED:
            text = text.replace("{name}", _quoted(name) if path.endswith(".yaml") else name)
        yield _RENAMED.get(path, path), text


def _quoted(name: str) -> str:
    """``name`` for the YAML: JSON's strings are YAML's, and ``${`` would be a variable."""
    return json.dumps(name).replace("${", "$${")


def _walk(folder: Traversable, prefix: str) -> Iterator[tuple[str, Traversable]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            if entry.name != "__pycache__":
                yield from _walk(entry, f"{prefix}{entry.name}/")
        else:
            yield prefix + entry.name, entry


def _welcome(directory: Path, files: list[str]) -> str:
    enter = "" if directory == Path() else f"    cd {printable(shlex.quote(str(directory)))}\n"
    return (
        f"Made {', '.join(files)}.\n\nNext:\n{enter}"
        "    pacabench run                      # in throwaway containers\n"
        "    pacabench run --sandbox process    # without Docker\n"
    )


def show_config(
    config: Config = None,
    schema: Annotated[
        bool, typer.Option("--schema", help="Print the JSON Schema of pacabench.yaml, for editors.")
    ] = False,
) -> None:
    """Print the merged configuration, secrets masked."""
    if schema:
        write_result(json.dumps(json_schema(), indent=2))
        return
    loaded = load_config(config or CONFIG_FILE)
    for notice in loaded.notices:
        say_warning(notice)
    write_result(render_yaml(describe(loaded)))
