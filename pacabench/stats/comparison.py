"""Two agents on the same cases: paired by case, each case with all its judged epochs."""

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


@dataclass(slots=True)
class Side:
    """What one agent made of one case."""

    passed: list[bool] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    latencies_ms: list[float] = field(default_factory=list)
    costs_usd: list[float] | None = field(default_factory=list)
    """None where one of them is not fully known."""

    def take(self, case: CaseFigures) -> None:
        """Add an epoch that passed or failed."""
        self.passed.append(case.passed)
        self.latencies_ms.append(case.duration_ms)
        if case.score is not None:
            self.scores.append(case.score)
        cost = None if case.usage.cost_incomplete else case.usage.cost_usd
        if cost is None:
            self.costs_usd = None
        elif self.costs_usd is not None:
            self.costs_usd.append(cost)


def sides_of(cases: Mapping[CaseKey, CaseFigures], agent: str, dataset: str) -> dict[str, Side]:
    """Case id to what ``agent`` made of it; only cases with an epoch that passed or failed."""
    sides: dict[str, Side] = {}
    for key, case in cases.items():
        if key.agent == agent and key.dataset == dataset and not case.outcome.is_infrastructure:
            sides.setdefault(key.case_id, Side()).take(case)
    return sides


def compare_sides(
    agents: tuple[str, str], dataset: str, a: Mapping[str, Side], b: Mapping[str, Side]
) -> Comparison | None:
    """A against B on what both were judged on; None where that is nothing."""
    names = [name for name in a if name in b]
    if not names:
        return None
    pairs = [(a[name], b[name]) for name in names]
    shares = [(_mean(one.passed), _mean(other.passed)) for one, other in pairs]
    moved = [other - one for one, other in shares]
    single = all(len(one.passed) == len(other.passed) == 1 for one, other in pairs)
    table = _table(pairs) if single else None
    scores = [
        (_mean(one.scores), _mean(other.scores))
        for one, other in pairs
        if one.scores and other.scores
    ]
    return Comparison(
        agent_a=agents[0],
        agent_b=agents[1],
        dataset=dataset,
        pairs=len(pairs),
        only_a=len(a) - len(pairs),
        only_b=len(b) - len(pairs),
        accuracy_a=_mean([share for share, _ in shares]),
        accuracy_b=_mean([share for _, share in shares]),
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
                (_mean(one.costs_usd), _mean(other.costs_usd))
                for one, other in pairs
                if one.costs_usd and other.costs_usd
            ]
        ),
        latency=ratio_of_means(
            [(_mean(one.latencies_ms), _mean(other.latencies_ms)) for one, other in pairs]
        ),
    )


def _table(pairs: Iterable[tuple[Side, Side]]) -> Table:
    counts = {(right_a, right_b): 0 for right_a in (True, False) for right_b in (True, False)}
    for one, other in pairs:
        counts[one.passed[0], other.passed[0]] += 1
    return Table(
        both=counts[True, True],
        only_a=counts[True, False],
        only_b=counts[False, True],
        neither=counts[False, False],
    )


def _mean(values: Sequence[float]) -> float:
    return fsum(values) / len(values)
