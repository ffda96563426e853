"""Two agents on the same cases: paired by case, each case with all its judged epochs.

The pairs of several data sets can be put together, each pair counting alike: a difference that no
small data set decides may be plain over all of them.
"""

from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import fsum
from typing import Literal

from pacabench.model import CaseKey
from pacabench.stats.intervals import Interval
from pacabench.stats.paired import (
    Ratio,
    Table,
    bootstrap_mean,
    mcnemar_exact,
    newcombe,
    ratio_of_means,
    sign_flip,
)
from pacabench.stats.summary import CaseFigures

ALPHA = 0.05
Test = Literal["mcnemar_exact", "sign_flip"]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Agent A and agent B on a data set, or on several together. Differences are B's less A's."""

    agent_a: str
    agent_b: str
    datasets: Sequence[str]
    """One; in a pool, all whose pairs are in it."""
    pairs: int
    """Cases that were judged on both sides."""
    only_a: int
    """Cases that were judged in A alone: pending, failed by infrastructure or unknown in B."""
    only_b: int
    accuracy_a: float
    """Over the pairs."""
    accuracy_b: float
    difference: Interval
    """Of the accuracy, at 95%."""
    test: Test
    p_value: float
    table: Table | None
    """None where a case has several epochs."""
    to_passed: Sequence[tuple[str, str]]
    """Data sets and ids of the cases that B has right more often than A."""
    to_failed: Sequence[tuple[str, str]]
    """Of those that A has right more often than B."""
    score_a: float | None
    """Mean score, over the pairs in which both have one."""
    score_b: float | None
    score_difference: Interval | None
    cost: Ratio | None
    latency: Ratio | None

    @property
    def is_decided(self) -> bool:
        """The difference is not what chance alone would make of equals, at the level of 5%."""
        return self.p_value < ALPHA

    @property
    def is_regression(self) -> bool:
        """B is worse, and that is decided."""
        return self.is_decided and self.accuracy_b < self.accuracy_a


@dataclass(frozen=True, slots=True)
class Side:
    """What one agent made of one case: means over its epochs that passed or failed."""

    epochs: int
    passed: float
    """The share of them."""
    score: float | None
    """Over those with one."""
    latency_ms: float
    cost_usd: float | None
    """None where that of one of them is not fully known."""


def _side_of(epochs: Sequence[CaseFigures]) -> Side:
    if len(epochs) == 1:  # nearly always
        (case,) = epochs
        cost = None if case.usage.cost_incomplete else case.usage.cost_usd
        return Side(1, float(case.passed), case.score, case.duration_ms, cost)
    scores = [case.score for case in epochs if case.score is not None]
    costs = [None if case.usage.cost_incomplete else case.usage.cost_usd for case in epochs]
    known = [cost for cost in costs if cost is not None]
    return Side(
        epochs=len(epochs),
        passed=_mean([case.passed for case in epochs]),
        score=_mean(scores) if scores else None,
        latency_ms=_mean([case.duration_ms for case in epochs]),
        cost_usd=_mean(known) if len(known) == len(epochs) else None,
    )


def sides_of(cases: Mapping[CaseKey, CaseFigures], agent: str, dataset: str) -> dict[str, Side]:
    """Case id to what ``agent`` made of it; only cases with an epoch that passed or failed."""
    judged: dict[str, list[CaseFigures]] = {}
    for key, case in cases.items():
        if key.agent == agent and key.dataset == dataset and not case.outcome.is_infrastructure:
            judged.setdefault(key.case_id, []).append(case)
    return {case_id: _side_of(epochs) for case_id, epochs in judged.items()}


@dataclass(slots=True)
class Column:
    """One figure of many pairs, 16 bytes each."""

    a: "array[float]" = field(default_factory=lambda: array("d"))
    b: "array[float]" = field(default_factory=lambda: array("d"))

    def add(self, a: float | None, b: float | None) -> None:
        """Take a pair, if both are known."""
        if a is not None and b is not None:
            self.a.append(a)
            self.b.append(b)

    def extend(self, other: "Column") -> None:
        """Take all pairs of ``other``."""
        self.a.extend(other.a)
        self.b.extend(other.b)

    def rows(self) -> list[tuple[float, float]]:
        """A's and B's, pair by pair."""
        return list(zip(self.a, self.b, strict=True))

    def moved(self) -> list[float]:
        """B's less A's, pair by pair."""
        return [b - a for a, b in zip(self.a, self.b, strict=True)]


@dataclass(slots=True)
class Pairs:
    """What two agents made of the same cases, in columns: a pool of all data sets stays small."""

    datasets: list[str] = field(default_factory=list)
    only_a: int = 0
    only_b: int = 0
    is_single: bool = True
    """Each case has one epoch on both sides."""
    passed: Column = field(default_factory=Column)
    score: Column = field(default_factory=Column)
    """Shorter than ``passed`` where one side of a pair has none; so is ``cost``."""
    cost: Column = field(default_factory=Column)
    latency: Column = field(default_factory=Column)
    to_passed: list[tuple[str, str]] = field(default_factory=list)
    to_failed: list[tuple[str, str]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.passed.a)

    def add(self, dataset: str, case_id: str, a: Side, b: Side) -> None:
        """Take what both made of a case."""
        self.is_single = self.is_single and a.epochs == b.epochs == 1
        self.passed.add(a.passed, b.passed)
        self.score.add(a.score, b.score)
        self.cost.add(a.cost_usd, b.cost_usd)
        self.latency.add(a.latency_ms, b.latency_ms)
        if a.passed != b.passed:
            flipped = self.to_passed if b.passed > a.passed else self.to_failed
            flipped.append((dataset, case_id))

    def extend(self, other: "Pairs") -> None:
        """Take all pairs of ``other``, which are of other data sets."""
        self.datasets += other.datasets
        self.only_a += other.only_a
        self.only_b += other.only_b
        self.is_single = self.is_single and other.is_single
        for mine, more in (
            (self.passed, other.passed),
            (self.score, other.score),
            (self.cost, other.cost),
            (self.latency, other.latency),
        ):
            mine.extend(more)
        self.to_passed += other.to_passed
        self.to_failed += other.to_failed


def pair_sides(dataset: str, a: Mapping[str, Side], b: Mapping[str, Side]) -> Pairs:
    """The cases that both were judged on."""
    pairs = Pairs([dataset])
    for case_id, side in a.items():
        if case_id in b:
            pairs.add(dataset, case_id, side, b[case_id])
    pairs.only_a, pairs.only_b = len(a) - len(pairs), len(b) - len(pairs)
    return pairs


def compare_pairs(agents: tuple[str, str], pairs: Pairs) -> Comparison | None:
    """A against B on what both were judged on; None where that is nothing."""
    if not len(pairs):
        return None
    passed, score = pairs.passed, pairs.score
    moved = passed.moved()
    table = _table(passed.rows()) if pairs.is_single else None
    return Comparison(
        agent_a=agents[0],
        agent_b=agents[1],
        datasets=pairs.datasets,
        pairs=len(pairs),
        only_a=pairs.only_a,
        only_b=pairs.only_b,
        accuracy_a=_mean(passed.a),
        accuracy_b=_mean(passed.b),
        difference=newcombe(table) if table else bootstrap_mean(moved),
        test="mcnemar_exact" if table else "sign_flip",
        p_value=mcnemar_exact(table.only_a, table.only_b) if table else sign_flip(moved),
        table=table,
        to_passed=pairs.to_passed,
        to_failed=pairs.to_failed,
        score_a=_mean(score.a) if score.a else None,
        score_b=_mean(score.b) if score.b else None,
        score_difference=bootstrap_mean(score.moved()) if score.a else None,
        cost=ratio_of_means(pairs.cost.rows()),
        latency=ratio_of_means(pairs.latency.rows()),
    )


def _table(passed: Iterable[tuple[float, float]]) -> Table:
    counts = {(right_a, right_b): 0 for right_a in (True, False) for right_b in (True, False)}
    for a, b in passed:
        counts[a == 1, b == 1] += 1
    return Table(
        both=counts[True, True],
        only_a=counts[True, False],
        only_b=counts[False, True],
        neither=counts[False, False],
    )


def _mean(values: Sequence[float]) -> float:
    return fsum(values) / len(values)
