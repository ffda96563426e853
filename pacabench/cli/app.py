"""All commands, put together. A command's module is imported when it is asked for.

All of them together take most of a second to import, which `show` need not pay for `doctor`.
"""

from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from pacabench import __version__
from pacabench.cli.output import write_result
from pacabench.memory import building

_MODULES = {
    "init": "project",
    "run": "running",
    "resume": "running",
    "retry": "running",
    "show": "showing",
    "score": "scoring",
    "compare": "comparing",
    "export": "exporting",
    "show-config": "project",
    "doctor": "doctor",
    "clean": "cleaning",
    "images": "images",
}
"""Command to the module of this package that has it, as a function or as an ``app`` of its own."""
_SETTINGS: dict[str, Any] = {
    "pretty_exceptions_enable": False,  # they show values of variables, keys among them
    "context_settings": {"help_option_names": ["-h", "--help"]},
    "rich_markup_mode": None,
}


@cache
def _command(name: str) -> Any:
    with building():
        module = import_module(f"pacabench.cli.{_MODULES[name]}")
    alone = typer.Typer(add_completion=False, **_SETTINGS)
    if (group := getattr(module, "app", None)) is not None:
        alone.add_typer(group, name=name)
    else:
        alone.command(name)(getattr(module, name.replace("-", "_")))
    return typer.main.get_group(alone).commands[name]


class _Commands(Mapping[str, Any]):
    """Every command by its name, made when it is looked up."""

    def __getitem__(self, name: str) -> Any:
        if name not in _MODULES:
            raise KeyError(name)
        return _command(name)

    def __iter__(self) -> Iterator[str]:
        return iter(_MODULES)

    def __len__(self) -> int:
        return len(_MODULES)


class _Group(TyperGroup):
    """The group of all commands."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands: Any = _Commands()


app = typer.Typer(
    name="pacabench", cls=_Group, no_args_is_help=True, add_completion=True, **_SETTINGS
)


def _version(asked: bool) -> None:
    if asked:
        write_result(f"pacabench {__version__}")
        raise typer.Exit


@app.callback(
    epilog="Exit codes: 0 done, 1 error, 2 usage, 3 infrastructure failures left, "
    "4 a gate did not hold, 5 over budget, 130 interrupted."
)
def root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print it and exit."),
    ] = False,
) -> None:
    """Benchmark LLM agents you do not trust, in throwaway containers."""
