"""What ``pacabench show`` prints about whole runs. Pure: everything returns rich renderables.

Texts that others chose only ever stand in ``rich.text.Text``, which reads no markup, and went
through :mod:`~pacabench.report.printable` first.
"""

from collections import Counter
from collections.abc import Sequence

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from pacabench.model import Outcome
from pacabench.report.budget import budget_lines
from pacabench.report.printable import printable
from pacabench.report.view import RunView
from pacabench.report.wording import (
    NONE,
    bounds,
    count,
    dangers_of,
    dollars,
    dollars_per_pass,
    duration,
    percent,
    repeated,
    tokens,
    warnings_of,
)
from pacabench.stats import AgentSummary
from pacabench.store import BrokenRun, RunRecord, SandboxRecord

_STATUS_STYLE = {
    "running": "cyan",
    "finished": "green",
    "stopped": "yellow",
    "interrupted": "bold red",
}
_NAME_CHARS = 120
_CUT_ROOM = 10
_GAP = 2
"""Blanks between columns."""
_RUN_COLUMNS = (
    "Run", "Status", "Started (UTC)", "Sandbox", "Passed", "Failed", "Infra", "Pending",
)  # fmt: skip
_RUN_EXTRAS = ("Sandbox", "Started (UTC)", "Pending")
_SUMMARY_COLUMNS = (
    "Agent", "Data set", "Accuracy", "95% CI", "Passed", "Failed", "Infra", "Pending", "Cases",
    "p50", "p95", "Calls", "Tokens in", "out", "cached", "Cost", "Per pass",
)  # fmt: skip
_SUMMARY_EXTRAS = (
    "cached",
    "p95",
    "Per pass",
    "Cases",
    "Pending",
    "out",
    "Tokens in",
    "p50",
    "Calls",
    "95% CI",
)


def runs_table(runs: Sequence[RunRecord], broken: Sequence[BrokenRun]) -> RenderableType:
    """The list of runs, the newest first.

    Raises:
        JournalError: the results of a run that did not end in good order cannot be read.
    """
    if not runs and not broken:
        return Text("no runs yet; `pacabench run` makes one")
    rows = [_run_row(run) for run in runs]
    for entry in broken:
        said = [name_text(entry.run_dir.name), Text("unreadable", style="bold red")]
        rows.append([*said, *(Text(NONE) for _ in _RUN_COLUMNS[len(said) :])])
    table = FittingTable(_RUN_COLUMNS, rows, extras=_RUN_EXTRAS, left=4, name_room=64)
    notes = [Text(printable(entry.problem), style="red") for entry in broken]
    return Group(table, *notes)


def summary_view(view: RunView) -> RenderableType:
    """One run: its facts, figures per agent and data set, and what to know about them."""
    rows = [_summary_row(agent) for agent in view.summary.agents]
    if len(rows) > 1:
        rows.append(_summary_row(view.summary.total))
    table = FittingTable(
        _SUMMARY_COLUMNS, rows, extras=_SUMMARY_EXTRAS, left=2, name_room=16, total=len(rows) > 1
    )
    lines = [*_repeat_lines(view), *_judge_lines(view), *warning_lines(view)]
    return Group(_headline(view), table, *lines)


def _judge_lines(view: RunView) -> list[Text]:
    """What judging took, which is in no row of the table."""
    judge = view.judge
    if not judge.calls and not judge.failed_calls:
        return []
    told = (
        f"judging: {count(judge.calls)} calls, {tokens(judge.input_tokens, judge)} input and "
        f"{tokens(judge.output_tokens, judge)} output tokens, {dollars(judge)}"
    )
    return [Text(told + (f"; {count(judge.failed_calls)} failed" if judge.failed_calls else ""))]


def _repeat_lines(view: RunView) -> list[Text]:
    return [
        Text(f"{printable(agent.agent)}, {printable(agent.dataset)}: {repeated(agent.repeats)}")
        for agent in view.summary.agents
        if agent.repeats is not None
    ]


def warning_lines(view: RunView) -> list[Text]:
    """What a reader of the figures has to know, loudly."""
    return [
        *(Text(f"! {printable(text)}", style="bold red") for text in dangers_of(view)),
        *(Text(f"! {printable(text)}", style="bold yellow") for text in warnings_of(view)),
    ]


class FittingTable:
    """A table that leaves columns out where the screen is too narrow for all.

    Args:
        columns: their headings.
        rows: a cell per column.
        extras: columns that may be left out, in the order in which they go.
        left: how many columns, from the first, hold text and are aligned left.
        cut: those of them whose text is cut to the room that is left, on one line.
        name_room: how wide these may ask to be before an extra goes; what is longer is folded.
        total: the last row adds up those before it.
    """

    def __init__(
        self,
        columns: Sequence[str],
        rows: Sequence[Sequence[Text]],
        *,
        extras: Sequence[str],
        left: int,
        name_room: int,
        cut: Sequence[str] = (),
        total: bool = False,
    ) -> None:
        self._columns, self._rows, self._extras = columns, rows, extras
        self._left, self._name_room, self._cut, self._total = left, name_room, cut, total

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        places = self._fitting(options.max_width)
        table = Table(box=None, header_style="bold", pad_edge=False, expand=bool(self._cut))
        for place in places:
            name = self._columns[place]
            if name in self._cut:
                table.add_column(name, no_wrap=True, overflow="ellipsis", ratio=1)
            elif place < self._left:
                table.add_column(name, overflow="fold")
            else:
                table.add_column(name, justify="right", no_wrap=True)
        for row in self._rows:
            is_total = self._total and row is self._rows[-1]
            table.add_row(*(row[place] for place in places), style="bold" if is_total else "")
        yield table

    def _fitting(self, width: int) -> list[int]:
        """The places of the columns that there is room for."""
        wanted: dict[int, int] = {}
        for place, name in enumerate(self._columns):
            widest = max((row[place].cell_len for row in self._rows), default=0)
            if place < self._left:
                widest = min(widest, _CUT_ROOM if name in self._cut else self._name_room)
            wanted[place] = max(len(name), widest) + _GAP
        for name in self._extras:
            if sum(wanted.values()) - _GAP <= width:
                break
            del wanted[self._columns.index(name)]
        return list(wanted)


def name_text(name: str, style: str = "") -> Text:
    """A name that somebody else chose, on one line and not endless."""
    return Text(printable(name, _NAME_CHARS), style=style)


def outcome_text(outcome: Outcome) -> Text:
    """An outcome in its colour."""
    if outcome is Outcome.PASSED:
        return Text(outcome.value, style="green")
    return Text(outcome.value, style="bold yellow" if outcome.is_infrastructure else "red")


def _headline(view: RunView) -> Text:
    manifest, status = view.record.manifest, view.record.status
    line = Text()
    line.append(printable(manifest.run_id), style="bold")
    line.append("  ")
    line.append(status, style=_STATUS_STYLE[status])
    if view.record.holder is not None:
        line.append(f" (host {printable(view.record.holder.host)}, pid {view.record.holder.pid})")
    line.append(f"  {printable(manifest.name)}, started {printable(manifest.started)}")
    line.append(f"\n{printable(manifest.sandbox.kind)} sandbox")
    if manifest.sandbox.profiles:
        line.append(", profile ")
        line.append_text(_profiles(manifest.sandbox))
    if manifest.sandbox.engine:
        line.append(f", {printable(manifest.sandbox.engine)}")
    names = ", ".join(provider.name for provider in manifest.providers) or "none"
    line.append(f"; providers: {printable(names)}; PacaBench {printable(manifest.package_version)}")
    for budget in budget_lines(manifest.budget, view.spending):
        line.append(f"\nbudget of {printable(budget)}")
    line.append("\n")
    return line


def _profiles(sandbox: SandboxRecord) -> Text:
    """``strict``, or which for how many agents; ``unsafe`` in red."""
    kinds = Counter(
        kept.profile + (f" ({kept.runtime})" if kept.runtime else "")
        for kept in sandbox.profiles.values()
    )
    texts = [
        Text(
            printable(kind) + (f" x{number}" if len(kinds) > 1 else ""),
            style="bold red" if kind == "unsafe" else "",
        )
        for kind, number in sorted(kinds.items())
    ]
    return Text(", ").join(texts)


def _summary_row(agent: AgentSummary) -> list[Text]:
    usage = agent.usage
    return [
        name_text(agent.agent) if agent.agent else Text("all"),
        name_text(agent.dataset),
        Text(percent(agent.accuracy)),
        Text(bounds(agent.accuracy_interval)),
        Text(count(agent.passed)),
        Text(count(agent.failed)),
        _alarm(agent.infrastructure),
        _alarm(agent.pending),
        Text(count(agent.cases)),
        Text(duration(agent.per_case.latency_ms.p50)),
        Text(duration(agent.per_case.latency_ms.p95)),
        Text(count(usage.calls)),
        Text(tokens(usage.input_tokens, usage)),
        Text(tokens(usage.output_tokens, usage)),
        Text(tokens(usage.cached_tokens, usage)),
        Text(dollars(usage)),
        Text(dollars_per_pass(agent)),
    ]


def _alarm(number: int) -> Text:
    return Text(count(number), style="bold yellow" if number else "")


def _run_row(run: RunRecord) -> list[Text]:
    outcomes = _outcomes(run)
    infrastructure = sum(number for kind, number in outcomes.items() if kind.is_infrastructure)
    passed, decided = outcomes[Outcome.PASSED], outcomes.total()
    planned = sum(sum(counts.values()) for counts in run.manifest.planned_cases.values())
    return [
        name_text(run.run_id),
        Text(run.status, style=_STATUS_STYLE[run.status]),
        name_text(run.manifest.started[:19].replace("T", " ")),
        _sandbox_text(run.manifest.sandbox) + _replayed(run),
        Text(count(passed)),
        Text(count(decided - passed - infrastructure)),
        _alarm(infrastructure),
        _alarm(max(0, planned - decided)),
    ]


def _sandbox_text(sandbox: SandboxRecord) -> Text:
    """Its kind; in red, and with the reason, where agents were held less than by default."""
    if any(kept.profile == "unsafe" for kept in sandbox.profiles.values()):
        return name_text(f"{sandbox.kind}, unsafe", "bold red")
    if sandbox.weaknesses:
        return name_text(f"{sandbox.kind}, weak", "bold red")
    return name_text(sandbox.kind)


def _replayed(run: RunRecord) -> Text:
    """So that nobody takes a replayed run for a live one."""
    cassette = run.manifest.cassette
    replayed = cassette is not None and cassette.replayed is not None
    return Text(", replayed" if replayed else "", style="magenta")


def _outcomes(run: RunRecord) -> Counter[Outcome]:
    """Deciding outcomes: from the manifest, or counted where a run did not end in good order."""
    if run.manifest.outcomes is not None:
        return Counter(run.manifest.outcomes)
    verdicts = (verdict for _, verdict in run.verdicts_file() if verdict.decides)
    return Counter({verdict.key: verdict.outcome for verdict in verdicts}.values())
