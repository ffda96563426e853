"""A run added up, with a way to the results that decide its cases."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pacabench.call_facts import Metered
from pacabench.figures import CallFigures
from pacabench.memory import building
from pacabench.model import CaseKey, CaseResult, Verdict
from pacabench.report.budget import Spending
from pacabench.report.egress import EgressFigures, add_up_egress
from pacabench.stats import Summary, summarise
from pacabench.store import RunRecord
from pacabench.store.scores import Scores

_NUMBER = re.compile(r"([0-9]{1,18})")


@dataclass(frozen=True, slots=True)
class RunView:
    """Figures in memory, results on disk: a run of 100,000 cases with long answers still fits."""

    record: RunRecord
    summary: Summary
    _places: Mapping[str, int]
    """Where the result of each attempt that decided begins in the file, by the attempt's id."""
    egress: Mapping[CaseKey, EgressFigures] = field(default_factory=dict)
    """Of the cases that tried to reach the web, in all their attempts."""
    judge: CallFigures = field(default_factory=CallFigures)
    """What judging answers took, in all attempts; part of no agent's figures."""
    lost: tuple[str, ...] = ()
    """What the journal had once and has no more, for people."""
    spending: Spending = field(default_factory=Spending)
    """What budgets were charged, where there are any."""
    scores: Scores | None = None
    """Another judgement than the first, by which everything here goes."""

    @property
    def is_decided(self) -> bool:
        """It was stopped by ``--stop-when-decided``: what has no result is left out on purpose."""
        decision = self.record.manifest.decision
        return decision is not None and decision.stopped_early

    def case_keys(self) -> list[CaseKey]:
        """Every case with a result, by agent, data set, case id and epoch; 2 comes before 10."""
        return sorted(
            self.summary.cases,
            key=lambda key: (key.agent, key.dataset, _natural(key.case_id), key.epoch),
        )

    def deciding(self, keys: Iterable[CaseKey]) -> Iterator[CaseResult]:
        """The deciding results of ``keys``, read one at a time.

        Raises:
            JournalError: the file cannot be read any more.
        """
        cases = self.summary.cases
        results = self.record.results_file().at(self._places[cases[key].attempt_id] for key in keys)
        return map(self.scores.result, results) if self.scores else results

    def evaluator(self, dataset: str) -> dict[str, Any]:
        """What judged, as the configuration has it; empty where nobody knows."""
        again = self.scores.head.evaluators.get(dataset) if self.scores else None
        configured = self.record.manifest.config.get("datasets", {}).get(dataset, {})
        return again or configured.get("evaluator") or {}


def _natural(text: str) -> list[str | int]:
    """Text and numbers in turn. Numbers are bounded: endless ones take endless time to read."""
    parts = _NUMBER.split(text)
    return [int(part) if place % 2 else part for place, part in enumerate(parts)]


def read_view(record: RunRecord, scores: Scores | None = None) -> RunView:
    """Read and add up ``record``, by its first scores or by ``scores``.

    Raises:
        JournalError: a file is damaged or cannot be read.
    """
    places: dict[str, int] = {}

    def verdicts() -> Iterator[Verdict]:
        for place, verdict in results:
            if verdict.decides:
                places[verdict.attempt_id] = place
            yield scores.verdict(verdict) if scores else verdict

    results, calls, ways = record.verdicts_file(), record.call_facts_file(), record.egress_file()
    judging = record.judge_file()
    spending = Spending()
    with building():
        facts: Iterator[Metered] = (call for _, call in calls)
        if record.manifest.budget is not None:
            facts = spending.through(facts)
        summary = summarise(verdicts(), facts, record.manifest.planned_cases)
        egress = add_up_egress(way for _, way in ways or ())
    judge = CallFigures()
    for call in spending.through_judges(call for _, call in judging or ()):
        judge.add(call)
    lost = tuple(
        f"{file.path.name}: the last {file.missing} bytes that were on disk when an earlier "
        "session ended are missing or damaged, and so is what they recorded. `pacabench resume` "
        "keeps what is left of them beside the file, and runs cases without a result again."
        for file in (results, calls, ways, judging)
        if file is not None and file.missing
    )
    return RunView(record, summary, places, egress, judge, lost, spending, scores)
