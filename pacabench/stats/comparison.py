"""Two agents on the same cases: paired by case, each case with all its judged epochs."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
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
    """Agent A and agent B on one data set. Differences are B's less A's."""

    agent_a: str
    agent_b: str
    dataset: str
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
    to_passed: Sequence[str]
    """Cases that B has right more often than A."""
    to_failed: Sequence[str]
    """Cases that A has right more often than B."""
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


def compare_sides(
    agents: tuple[str, str], dataset: str, a: Mapping[str, Side], b: Mapping[str, Side]
) -> Comparison | None:
    """A against B on what both were judged on; None where that is nothing."""
    names = [name for name in a if name in b]
    if not names:
        return None
    pairs = [(a[name], b[name]) for name in names]
    moved = [other.passed - one.passed for one, other in pairs]
    single = all(one.epochs == other.epochs == 1 for one, other in pairs)
    table = _table(pairs) if single else None
    scores = [
        (one.score, other.score)
        for one, other in pairs
        if one.score is not None and other.score is not None
    ]
    return Comparison(
        agent_a=agents[0],
        agent_b=agents[1],
        dataset=dataset,
        pairs=len(pairs),
        only_a=len(a) - len(pairs),
        only_b=len(b) - len(pairs),
        accuracy_a=_mean([one.passed for one, _ in pairs]),
        accuracy_b=_mean([other.passed for _, other in pairs]),
        difference=newcombe(table) if table else bootstrap_mean(moved),
        test="mcnemar_exact" if table else "sign_flip",
        p_value=mcnemar_exact(table.only_a, table.only_b) if table else sign_flip(moved),
        table=table,
        to_passed=[name for name, by in zip(names, moved, strict=True) if by > 0],
        to_failed=[name for name, by in zip(names, moved, strict=True) if by < 0],
        score_a=_mean([score for score, _ in scores]) if scores else None,
        score_b=_mean([score for _, score in scores]) if scores else None,
        score_difference=bootstrap_mean([b - a for a, b in scores]) if scores else None,
        cost=ratio_of_means(
            [
                (one.cost_usd, other.cost_usd)
                for one, other in pairs
                if one.cost_usd is not None and other.cost_usd is not None
            ]
        ),
        latency=ratio_of_means([(one.latency_ms, other.latency_ms) for one, other in pairs]),
    )


def _table(pairs: Iterable[tuple[Side, Side]]) -> Table:
    counts = {(right_a, right_b): 0 for right_a in (True, False) for right_b in (True, False)}
    for one, other in pairs:
        counts[one.passed == 1, other.passed == 1] += 1
    return Table(
        both=counts[True, True],
        only_a=counts[True, False],
        only_b=counts[False, True],
        neither=counts[False, False],
    )


def _mean(values: Sequence[float]) -> float:
    return fsum(values) / len(values)
