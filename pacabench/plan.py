"""From cases, agents and earlier results to the attempts that are to be made. Pure.

Order: every data set advances at the same pace, measured as a share of its cases, and a case is
given to all agents before the next one is. So a run that is stopped half-way has half of every data
set, and the same cases for every agent: what there is can be compared. Epochs come one after the
other, so that every case is run once before one is run again.
"""

import heapq
import random
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from pacabench.datasets.base import Dataset
from pacabench.model import (
    Case,
    CaseKey,
    CaseResult,
    Outcome,
    PlannedAttempt,
    Verdict,
    new_attempt_id,
)

AttemptsMade = Callable[[Collection[CaseKey]], Mapping[CaseKey, int]]
"""How many results each of some cases has, where it has any."""


class PlannedCase(NamedTuple):
    """A case of a run, decided or not. What is asked stays where it is, on disk perhaps.

    A tuple, because 100,000 of them are made in a third of the time.
    """

    key: CaseKey
    cases: Sequence[Case]
    place: int
    """Of the case in ``cases``."""


def plan_cases(
    agents: Sequence[str],
    datasets: Sequence[Dataset],
    *,
    limit: int | None = None,
    epochs: int = 1,
    shuffle: str | None = None,
) -> list[PlannedCase]:
    """All that a run is about, in the order in which it is made.

    Args:
        agents: names, in the order of the configuration.
        datasets: in the order of the configuration.
        limit: cases per data set, from its beginning.
        epochs: how often each of them is run; each time is decided for itself.
        shuffle: a seed; then the order of the cases is one of chance, and the same each time.
    """
    placed = _interleaved(datasets, limit)
    if shuffle is not None:
        random.Random(shuffle).shuffle(placed)  # noqa: S311 - no secret hangs on it
    sets = [(dataset.name, dataset.cases) for dataset in datasets]
    return [
        PlannedCase(CaseKey(agent, sets[number][0], case_id, epoch), sets[number][1], place)
        for epoch in range(1, epochs + 1)
        for _, number, place, case_id in placed
        for agent in agents
    ]


def plan_attempts(
    cases: Iterable[PlannedCase],
    *,
    deciding: Mapping[CaseKey, CaseResult | Verdict] | None = None,
    attempts_made: AttemptsMade = lambda _: {},
    retry: frozenset[Outcome] = frozenset(),
) -> list[PlannedAttempt]:
    """The attempts to make now, at most one per case, in the order of ``cases``.

    Without ``retry`` (a new run, or resume): cases without a result, and those whose deciding
    outcome is infrastructure. A wrong answer is not given a second chance.
    With ``retry``: exactly the cases whose deciding outcome is in it. Passed ones never are.

    Args:
        cases: from :func:`plan_cases`.
        deciding: the last result of each case that has one.
        attempts_made: how many results each of the cases that are due has, where it has any;
            numbering goes on from there.
        retry: outcomes to try again.
    """
    decided = deciding or {}
    due = [case for case in cases if _is_due(decided.get(case.key), retry)]
    made = attempts_made([case.key for case in due])
    return [
        PlannedAttempt(
            key=case.key,
            cases=case.cases,
            place=case.place,
            number=made.get(case.key, 0) + 1,
            attempt_id=new_attempt_id(case.key),
        )
        for case in due
    ]


def planned_counts(
    agents: Sequence[str],
    datasets: Sequence[Dataset],
    *,
    limit: int | None = None,
    epochs: int = 1,
) -> dict[str, dict[str, int]]:
    """Agent to data set to number of cases; each epoch of one counts."""
    counts = {dataset.name: len(dataset.case_ids[:limit]) * epochs for dataset in datasets}
    return {agent: dict(counts) for agent in agents}


def _is_due(result: CaseResult | Verdict | None, retry: frozenset[Outcome]) -> bool:
    if result is None:
        return not retry
    if retry:
        return result.outcome in retry - {Outcome.PASSED}
    return result.outcome.is_infrastructure


def _interleaved(
    datasets: Sequence[Dataset], limit: int | None
) -> list[tuple[float, int, int, str]]:
    """Place in the whole, number of the data set, place in it, and id of each case.

    By their relative place in their own data set; ties by the order of data sets.
    """
    return list(
        heapq.merge(*(_placed(number, dataset, limit) for number, dataset in enumerate(datasets)))
    )


def _placed(
    number: int, dataset: Dataset, limit: int | None
) -> Iterator[tuple[float, int, int, str]]:
    case_ids = dataset.case_ids[:limit]
    for place, case_id in enumerate(case_ids):
        yield (2 * place + 1) / (2 * len(case_ids)), number, place, case_id
