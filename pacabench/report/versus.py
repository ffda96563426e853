"""What ``pacabench compare`` prints. Pure; texts that others chose are escaped as in ``tables``."""

from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from pacabench.report.comparison import RunComparison
from pacabench.report.printable import printable
from pacabench.report.tables import FittingTable, name_text
from pacabench.report.wording import NONE, cases_of, count, percent
from pacabench.stats.comparison import Comparison
from pacabench.stats.intervals import Interval
from pacabench.stats.paired import Ratio

_COLUMNS = (
    "Agent", "Data set", "Pairs", "A", "B", "B - A", "95% CI", "p", "A only", "B only", "Score",
    "Cost", "Latency", "Verdict",
)  # fmt: skip
_EXTRAS = ("Score", "A only", "B only", "Latency", "Cost", "A", "B")
_LEAST_P = 0.0001
_TESTS = {
    "mcnemar_exact": "McNemar's exact test",
    "sign_flip": "a paired permutation test over cases",
}


def comparison_view(comparison: RunComparison, *, limit: int | None) -> RenderableType:
    """Both runs, a row per comparison, the cases that flipped, what differs, what to know."""
    rows = [_row(row) for row in (*comparison.rows, *comparison.pools)]
    return Group(
        _headline(comparison),
        FittingTable(_COLUMNS, rows, extras=_EXTRAS, left=2, name_room=24),
        *_flips(comparison.rows, limit),
        *_said(comparison),
    )


def _headline(comparison: RunComparison) -> Text:
    line = Text()
    for letter, view in (("A", comparison.a), ("B", comparison.b)):
        manifest = view.record.manifest
        line.append(f"{letter}: ", style="bold")
        line.append(printable(manifest.run_id), style="bold")
        line.append(f"  {view.record.status}  {printable(manifest.name)}")
        line.append(f", started {printable(manifest.started)}\n")
    tests = dict.fromkeys(_TESTS[row.test] for row in (*comparison.rows, *comparison.pools))
    line.append(f"Paired by case; p by {' and '.join(tests)}.\n")
    if comparison.pools:
        line.append("all: the pairs of these data sets together, each case counting alike.\n")
    return line


def _row(row: Comparison) -> list[Text]:
    agent = row.agent_a if row.agent_a == row.agent_b else f"{row.agent_a} / {row.agent_b}"
    table = row.table
    return [
        name_text(agent),
        _dataset(row),
        Text(count(row.pairs)),
        Text(percent(row.accuracy_a)),
        Text(percent(row.accuracy_b)),
        Text(_points(row.accuracy_b - row.accuracy_a)),
        Text(f"{_points(row.difference.low)} to {_points(row.difference.high)}"),
        Text(f"<{_LEAST_P}" if row.p_value < _LEAST_P else f"{row.p_value:.4f}"),
        Text(count(table.only_a) if table else NONE),
        Text(count(table.only_b) if table else NONE),
        Text(_score(row)),
        Text(_ratio(row.cost)),
        Text(_ratio(row.latency)),
        _verdict(row),
    ]


def _dataset(row: Comparison) -> Text:
    """The data set of a row; of a pool, how many there are."""
    if len(row.datasets) > 1:
        return Text(f"all ({len(row.datasets)})", "bold")
    return name_text(row.datasets[0])


def _points(difference: float) -> str:
    """``+3.2``: percentage points."""
    return f"{difference * 100:+.1f}"


def _score(row: Comparison) -> str:
    if row.score_a is None or row.score_b is None:
        return NONE
    return f"{row.score_b - row.score_a:+.3f}{_within(row.score_difference, '+.3f')}"


def _ratio(ratio: Ratio | None) -> str:
    return NONE if ratio is None else f"x{ratio.value:.2f}{_within(ratio.interval, '.2f')}"


def _within(interval: Interval | None, form: str) -> str:
    return "" if interval is None else f" ({interval.low:{form}} to {interval.high:{form}})"


def _verdict(row: Comparison) -> Text:
    if not row.is_decided or row.accuracy_a == row.accuracy_b:
        return Text("undecided")
    return Text("B is worse", "bold red") if row.is_regression else Text("B is better", "green")


def _flips(rows: Sequence[Comparison], limit: int | None) -> Iterator[Text]:
    for row in rows:
        for names, what, style in (
            (row.to_failed, "got worse", "red"),
            (row.to_passed, "got better", "green"),
        ):
            if not names:
                continue
            line = Text("\n")
            line.append(f"{cases_of(len(names))} {what}", style=style)
            line.append(f" ({printable(row.agent_b, 60)}, {printable(row.datasets[0], 60)}): ")
            line.append(", ".join(printable(name, 60) for _, name in names[:limit]))
            if limit is not None and len(names) > limit:
                line.append(f" and {len(names) - limit:,} more")
            yield line


def _said(comparison: RunComparison) -> Iterator[Text]:
    if comparison.differences:
        yield Text("\nWhat differs:")
        for text in comparison.differences:
            yield Text(f"  {printable(text)}")
    if comparison.warnings:
        yield Text("")
    for text in comparison.warnings:
        yield Text(f"! {printable(text)}", style="bold yellow")
