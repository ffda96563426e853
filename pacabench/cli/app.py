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

_COMMANDS = {
    "init": ("project", "Make a project that runs at once, without an API key."),
    "run": ("running", "Run every agent on every case."),
    "resume": ("running", "Go on with an unfinished run."),
    "retry": ("running", "Run the cases again that did not pass."),
    "show": ("showing", "List runs, or show one: summary, cases, failures."),
    "score": ("scoring", "Judge a run's answers again; no agent runs, old scores stay."),
    "compare": ("comparing", "Compare two runs, or two agents of one, paired by case."),
    "export": ("exporting", "Write a run's results to stdout or a file."),
    "show-config": ("project", "Print the merged configuration, secrets masked."),
    "doctor": ("doctor", "Say what this machine has, and what each missing thing means."),
    "clean": ("cleaning", "Remove what dead runs left."),
    "images": ("images", "Make or list the images that agents run in."),
}
"""Command to the module of this package that has it, as a function or as an ``app`` of its own, and
to the first line of its help: ``--help`` imports none of them."""
_SETTINGS: dict[str, Any] = {
    "pretty_exceptions_enable": False,  # they show values of variables, keys among them
    "context_settings": {"help_option_names": ["-h", "--help"]},
    "rich_markup_mode": None,
}


@cache
def _command(name: str) -> Any:
    with building():
        module = import_module(f"pacabench.cli.{_COMMANDS[name][0]}")
    alone = typer.Typer(add_completion=False, **_SETTINGS)
    if (group := getattr(module, "app", None)) is not None:
        alone.add_typer(group, name=name)
    else:
        alone.command(name)(getattr(module, name.replace("-", "_")))
    return typer.main.get_group(alone).commands[name]


class _Commands(Mapping[str, Any]):
    """Every command by its name, made when it is looked up."""

    def __getitem__(self, name: str) -> Any:
        if name not in _COMMANDS:
            raise KeyError(name)
        return _command(name)

    def __iter__(self) -> Iterator[str]:
        return iter(_COMMANDS)

    def __len__(self) -> int:
        return len(_COMMANDS)


class _Group(TyperGroup):
    """The group of all commands."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands: Any = _Commands()

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - as the base class has it
        """Their names, in the order of the help."""
        return list(_COMMANDS)

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 - as above
        """Write each with the first line of its help."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in _COMMANDS.items()])


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
