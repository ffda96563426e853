"""What a second judgement of a run's answers changed."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from pacabench.model import CaseKey, Outcome
from pacabench.report.printable import printable
from pacabench.report.tables import FittingTable, name_text
from pacabench.report.view import RunView
from pacabench.report.wording import (
    UNKNOWN,
    case_name,
    cases_of,
    count,
    judged_again,
    money,
    percent,
)
from pacabench.store.scores import JudgeFigures

SCHEMA_VERSION = 1
_COLUMNS = ("Agent", "Data set", "Before", "Now", "To passed", "To failed", "Not judged")


@dataclass(frozen=True, slots=True)
class RescoredRow:
    """One agent on one data set."""

    agent: str
    dataset: str
    accuracy_before: float | None
    accuracy: float | None
    to_passed: Sequence[CaseKey]
    to_failed: Sequence[CaseKey]
    """Those that passed and do not now, whatever they are."""
    evaluator_errors: int


def rescored_rows(old: RunView, new: RunView) -> list[RescoredRow]:
    """A row for each agent and data set."""
    return [
        RescoredRow(
            agent=before.agent,
            dataset=before.dataset,
            accuracy_before=before.accuracy,
            accuracy=now.accuracy,
            to_passed=_moved(old, new, before.agent, before.dataset, passes=True),
            to_failed=_moved(old, new, before.agent, before.dataset, passes=False),
            evaluator_errors=now.outcomes.get(Outcome.EVALUATOR_ERROR, 0),
        )
        for before, now in zip(old.summary.agents, new.summary.agents, strict=True)
    ]


def _moved(old: RunView, new: RunView, agent: str, dataset: str, *, passes: bool) -> list[CaseKey]:
    return [
        key
        for key in new.case_keys()
        if (key.agent, key.dataset) == (agent, dataset)
        and new.summary.cases[key].passed is passes
        and old.summary.cases[key].passed is not passes
    ]


def rescored_view(new: RunView, rows: Sequence[RescoredRow], *, limit: int) -> RenderableType:
    """The rows, and the cases that changed."""
    assert new.scores is not None
    table = FittingTable(_COLUMNS, [_cells(row) for row in rows], extras=(), left=2, name_room=24)
    said = Text(f"{judged_again(new.scores.head)} The first scores stay.")
    judging = [] if new.scores.head.judge is None else [Text(_judging(new.scores.head.judge))]
    return Group(Text(printable(said.plain)), table, *judging, *_changes(rows, limit))


def _judging(judge: JudgeFigures) -> str:
    """``judging: 3 calls (2 replayed), ...; 1 without a match in the cassette``."""
    replayed = f" ({count(judge.replayed_calls)} replayed)" if judge.replayed_calls else ""
    cost = UNKNOWN if judge.cost_usd is None else money(judge.cost_usd)
    said = (
        f"judging: {count(judge.calls)} calls{replayed}, {count(judge.input_tokens)} input and "
        f"{count(judge.output_tokens)} output tokens, {cost}"
    )
    if judge.failed_calls:
        said += f"; {count(judge.failed_calls)} failed"
    if judge.unmatched_calls:
        said += f"; {count(judge.unmatched_calls)} without a match in the cassette"
    return said


def _cells(row: RescoredRow) -> list[Text]:
    return [
        name_text(row.agent),
        name_text(row.dataset),
        Text(percent(row.accuracy_before)),
        Text(percent(row.accuracy)),
        Text(count(len(row.to_passed)), "green" if row.to_passed else ""),
        Text(count(len(row.to_failed)), "red" if row.to_failed else ""),
        Text(count(row.evaluator_errors), "bold yellow" if row.evaluator_errors else ""),
    ]


def _changes(rows: Sequence[RescoredRow], limit: int) -> Iterator[Text]:
    for row in rows:
        for keys, what in ((row.to_failed, "no longer passed"), (row.to_passed, "now passed")):
            if keys:
                names = ", ".join(printable(case_name(key), 60) for key in keys[:limit])
                more = f" and {len(keys) - limit:,} more" if len(keys) > limit else ""
                where = f"{printable(row.agent, 60)}, {printable(row.dataset, 60)}"
                yield Text(f"\n{cases_of(len(keys))} {what} ({where}): {names}{more}")


def export_rescored(new: RunView, rows: Sequence[RescoredRow]) -> dict[str, Any]:
    """As JSON."""
    assert new.scores is not None
    head = new.scores.head
    return {
        "schema_version": SCHEMA_VERSION,
        "run": new.record.run_id,
        "scores": {
            "name": head.name,
            "at": head.at,
            "evaluators": head.evaluators,
            "judge": None if head.judge is None else asdict(head.judge),
        },
        "judged": len(new.scores.by_attempt),
        "agents": [
            {
                "name": row.agent,
                "dataset": row.dataset,
                "accuracy_before": row.accuracy_before,
                "accuracy": row.accuracy,
                "to_passed": [_key(key) for key in row.to_passed],
                "to_failed": [_key(key) for key in row.to_failed],
                "evaluator_errors": row.evaluator_errors,
            }
            for row in rows
        ],
    }


def _key(key: CaseKey) -> dict[str, Any]:
    return {"case_id": key.case_id, "epoch": key.epoch}
