"""From cases, agents and earlier results to the attempts that are to be made. Pure.

Order: every data set advances at the same pace, measured as a share of its cases, and a case is
given to all agents before the next one is. So a run that is stopped half-way has half of every data
set, and the same cases for every agent: what there is can be compared. Epochs come one after the
other, so that every case is run once before one is run again.
"""

from collections.abc import Iterator, Mapping, Sequence

from pacabench.datasets.base import Dataset
from pacabench.model import Case, CaseKey, CaseResult, Outcome, PlannedAttempt, new_attempt_id


def plan_run(
    agents: Sequence[str],
    datasets: Sequence[Dataset],
    *,
    limit: int | None = None,
    epochs: int = 1,
    deciding: Mapping[CaseKey, CaseResult] | None = None,
    attempts_made: Mapping[CaseKey, int] | None = None,
    retry: frozenset[Outcome] = frozenset(),
) -> list[PlannedAttempt]:
    """The attempts to make now, at most one per case, in the order to make them.

    Without ``retry`` (a new run, or resume): cases without a result, and those whose deciding
    outcome is infrastructure. A wrong answer is not given a second chance.
    With ``retry``: exactly the cases whose deciding outcome is in it. Passed ones never are.

    Args:
        agents: names, in the order of the configuration.
        datasets: in the order of the configuration.
        limit: cases per data set, from its beginning.
        epochs: how often each of them is run; each time is decided for itself.
        deciding: the last result of each case that has one.
        attempts_made: how many results each case has; numbering goes on from there.
        retry: outcomes to try again.
    """
    decided = deciding or {}
    made = attempts_made or {}
    return [
        PlannedAttempt(
            key=key, case=case, number=made.get(key, 0) + 1, attempt_id=new_attempt_id(key)
        )
        for key, case in _in_order(agents, datasets, limit, epochs)
        if _is_due(decided.get(key), retry)
    ]


def case_keys(
    agents: Sequence[str],
    datasets: Sequence[Dataset],
    *,
    limit: int | None = None,
    epochs: int = 1,
) -> list[CaseKey]:
    """All that a run is about, decided or not, in the order of :func:`plan_run`."""
    return [key for key, _ in _in_order(agents, datasets, limit, epochs)]


def planned_cases(
    agents: Sequence[str],
    datasets: Sequence[Dataset],
    *,
    limit: int | None = None,
    epochs: int = 1,
) -> dict[str, dict[str, int]]:
    """Agent to data set to number of cases; each epoch of one counts."""
    counts = {dataset.name: len(dataset.cases[:limit]) * epochs for dataset in datasets}
    return {agent: dict(counts) for agent in agents}


def _is_due(result: CaseResult | None, retry: frozenset[Outcome]) -> bool:
    if retry:
        return result is not None and result.outcome in retry - {Outcome.PASSED}
    return result is None or result.outcome.is_infrastructure


def _in_order(
    agents: Sequence[str], datasets: Sequence[Dataset], limit: int | None, epochs: int
) -> Iterator[tuple[CaseKey, Case]]:
    cases = _interleaved([dataset.cases[:limit] for dataset in datasets])
    for epoch in range(1, epochs + 1):
        for case in cases:
            for agent in agents:
                yield CaseKey(agent, case.dataset, case.case_id, epoch), case


def _interleaved(groups: Sequence[Sequence[Case]]) -> list[Case]:
    """The cases of all groups by their relative place in their own group; ties by group order."""
    placed = [
        ((2 * place + 1) / (2 * len(group)), number, case)
        for number, group in enumerate(groups)
        for place, case in enumerate(group)
    ]
    placed.sort(key=lambda entry: entry[:2])
    return [case for _, _, case in placed]
