"""``docs/cli.md`` names every command and every option, and every exit code."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from pacabench.cli.app import app
from pacabench.cli.exit import ExitCode

DOCS = (Path(__file__).parents[3] / "docs" / "cli.md").read_text(encoding="utf-8")


def commands(group: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}", command


COMMANDS = dict(commands(typer.main.get_command(app)))


def section(name: str) -> str:
    """The text below the heading of a command (or of its group)."""
    heading = name.partition(" ")[0]
    found = re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", DOCS, re.MULTILINE | re.DOTALL)
    assert found is not None, f"docs/cli.md has no section on {name}"
    return found[1]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_stands_in_its_commands_section(name: str) -> None:
    text = section(name)
    assert f"pacabench {name}" in text
    options = [option for param in COMMANDS[name].params for option in param.opts]
    for option in options:
        if option.startswith("-"):
            assert re.search(rf"(?<![\w-]){option}(?![\w-])", text), f"{name} {option}"


@pytest.mark.parametrize("name", COMMANDS)
def test_no_option_is_documented_that_is_not_there(name: str) -> None:
    heading = name.partition(" ")[0]
    of_group = [COMMANDS[other] for other in COMMANDS if other.partition(" ")[0] == heading]
    known = {option for command in of_group for param in command.params for option in param.opts}
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", section(name)))
    assert named <= known, named - known


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_that_fits_on_its_line(name: str) -> None:
    command = COMMANDS[name]
    first = re.split(r"(?<=\.) |\n", command.help)[0]
    assert len(first) <= 65, first
    for param in command.params:
        assert param.help, f"{name} {param.name}"


def test_every_exit_code_is_explained() -> None:
    listed = re.findall(r"^\| (\d+) \| \w", DOCS, re.MULTILINE)
    assert [int(code) for code in listed] == [code.value for code in ExitCode]


def test_every_command_stands_in_the_table_at_the_top() -> None:
    table = DOCS[: DOCS.index("## Exit codes")]
    for name in COMMANDS:
        assert f"`{name}`" in table


HEAVY = {"docker", "aiohttp", "scipy", "numpy", "genai_prices", "structlog", "rapidfuzz"}


def imported(statement: str) -> set[str]:
    """The modules that are there after ``statement``, in a process of its own."""
    ask = f"import sys\n{statement}\nprint(*sys.modules, file=sys.stderr)"
    said = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True)
    return set(said.stderr.split())


@pytest.mark.parametrize("module", ["showing", "exporting", "comparing"])
def test_who_only_looks_at_a_run_imports_nothing_that_runs_one(module: str) -> None:
    makes = {"pacabench.benchmark", "pacabench.store.run_store"}
    assert not imported(f"import pacabench.cli.{module}") & (HEAVY | makes)


def test_who_runs_one_imports_what_it_needs_when_it_needs_it() -> None:
    assert not imported("import pacabench.cli.running") & HEAVY


def test_the_help_of_all_commands_imports_none_of_them() -> None:
    ask = (
        "from pacabench.cli.app import app\ntry:\n    app(['--help'])\nexcept SystemExit:\n    pass"
    )
    found = imported(ask)
    assert "pacabench.cli.app" in found
    assert not found & {f"pacabench.cli.{module}" for module in ("showing", "running", "doctor")}


def test_the_help_of_all_commands_says_what_each_says_of_itself() -> None:
    group = typer.main.get_group(app)
    said = {line.split("  ", 2)[1]: line for line in help_of_all().splitlines() if "  " in line}
    for name in group.list_commands(typer.Context(group)):
        first = group.commands[name].get_short_help_str(limit=100)
        assert re.fullmatch(rf"  {name} +{re.escape(first)}", said[name])


def help_of_all() -> str:
    ask = [sys.executable, "-m", "pacabench", "--help"]
    wide = {**os.environ, "COLUMNS": "100"}
    return subprocess.run(ask, capture_output=True, text=True, check=True, env=wide).stdout
