"""``compare``: two runs, or two agents of one, case by case."""

from collections.abc import Sequence
from typing import Annotated

import orjson
import typer

from pacabench.cli.exit import ExitCode, say_error
from pacabench.cli.options import AsJson, Config, RunName, RunsDir, ScoresName, chosen
from pacabench.cli.output import plain_json, result_console, write_bytes
from pacabench.cli.runs import locate_runs, view_run
from pacabench.errors import UsageError
from pacabench.report.comparison import (
    RunComparison,
    agents_in,
    compare_runs,
    datasets_in,
    export_comparison,
)
from pacabench.report.versus import comparison_view
from pacabench.report.view import RunView
from pacabench.stats.comparison import Comparison

_TWO = 2


def compare(  # noqa: PLR0917 - typer reads arguments and options off its parameters
    run_a: RunName,
    run_b: Annotated[
        str | None,
        typer.Argument(metavar="RUN", help="The other run. Default: two agents of the first."),
    ] = None,
    agents: Annotated[
        list[str] | None,
        typer.Option(
            "--agents",
            "-a",
            metavar="A1,A2",
            help="Only these agents; OLD=NEW pairs different ones. Of one run: the two to compare.",
        ),
    ] = None,
    datasets: Annotated[
        list[str] | None,
        typer.Option("--datasets", "-d", metavar="D1,D2", help="Only these datasets."),
    ] = None,
    fail_on_regression: Annotated[
        bool,
        typer.Option("--fail-on-regression", help="Exit code 4 when B is worse, 3 if cases miss."),
    ] = False,
    allow_different_data: Annotated[
        bool,
        typer.Option(
            "--allow-different-data",
            help="Compare cases of the same id and expected answer where data sets differ.",
        ),
    ] = False,
    limit: Annotated[
        int, typer.Option("--limit", min=1, metavar="N", help="At most N flipped cases by name.")
    ] = 20,
    scores: ScoresName = None,
    as_json: AsJson = False,
    config: Config = None,
    runs_dir: RunsDir = None,
) -> None:
    """Compare two runs, or two agents of one, paired by case."""
    where = locate_runs(runs_dir, config)
    a = view_run(run_a, where, scores)
    b = view_run(run_b, where, scores) if run_b is not None else a
    pairs = _agents(a, agents) if run_b is None else _pairs(a, b, agents)
    known = [name for name in datasets_in(a) if name in datasets_in(b)]
    found = compare_runs(
        a,
        b,
        pairs,
        chosen(datasets, known, kind="dataset"),
        allow_different_data=allow_different_data,
    )
    if as_json:
        options = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
        write_bytes(plain_json([orjson.dumps(export_comparison(found), option=options)]))
    else:
        result_console().print(comparison_view(found, limit=limit))
    if fail_on_regression:
        raise typer.Exit(_gate(found))


def _agents(view: RunView, asked: list[str] | None) -> list[tuple[str, str]]:
    """The two agents of one run.

    Raises:
        UsageError: there are not two, or not just two are named.
    """
    known = agents_in(view)
    names = chosen(asked, known, kind="agent") or known
    if len(names) != _TWO:
        raise UsageError(
            "with one RUN, --agents names the two agents to compare; there are: " + ", ".join(known)
        )
    return [(names[0], names[1])]


def _pairs(a: RunView, b: RunView, asked: list[str] | None) -> list[tuple[str, str]]:
    """Which agent of A is compared with which of B.

    Raises:
        UsageError: one that is named is not there, or no name is in both runs.
    """
    of_a, of_b = agents_in(a), agents_in(b)
    both = [name for name in of_a if name in of_b]
    if not asked:
        if not both:
            raise UsageError(
                f"no agent is in both runs ({', '.join(of_a)}; {', '.join(of_b)}); "
                "--agents OLD=NEW pairs two"
            )
        return [(name, name) for name in both]
    return [pair for text in asked for pair in _pairs_in(text, of_a, of_b, both)]


def _pairs_in(
    text: str, of_a: Sequence[str], of_b: Sequence[str], both: Sequence[str]
) -> list[tuple[str, str]]:
    pairs = []
    for part in [text] if text in both else text.split(","):
        old, equals, new = part.strip().partition("=")
        if equals and part.strip() not in both:
            pairs.append(
                (chosen([old], of_a, kind="agent")[0], chosen([new], of_b, kind="agent")[0])
            )
        elif part.strip():
            name = chosen([part.strip()], both, kind="agent")[0]
            pairs.append((name, name))
    return pairs


def _gate(found: RunComparison) -> ExitCode:
    """A gate that does not see every case does not open."""
    worse = ", ".join(f"{row.agent_b} on {_where(row)}" for row in found.regressions)
    if worse:
        tests = len(found.rows) + len(found.pools)
        of_many = f" ({len(found.regressions)} of {tests} tests, each at 5%)" if tests > 1 else ""
        say_error(f"--fail-on-regression: worse than before: {worse}{of_many}")
        return ExitCode.GATE
    if not found.is_whole:
        say_error("--fail-on-regression: not every case was judged, so a regression may be hidden")
        return ExitCode.INFRASTRUCTURE
    return ExitCode.DONE


def _where(row: Comparison) -> str:
    several = len(row.datasets) > 1
    return f"all {len(row.datasets)} data sets" if several else row.datasets[0]
