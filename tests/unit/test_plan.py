"""What is to be run: each case once, never a wrong answer again, and in an order that compares."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacabench.datasets.base import Dataset
from pacabench.model import Case, CaseKey, CaseResult, Outcome, PlannedAttempt
from pacabench.plan import plan_attempts, plan_cases, planned_counts
from pacabench.testing.records import fake_result


def dataset(name: str, count: int) -> Dataset:
    cases = [Case(name, f"{name}-{number}", "question", "answer") for number in range(count)]
    return Dataset(name, cases, "sha256:0")


DATASETS = [dataset("d1", 4), dataset("d2", 2)]
AGENTS = ["a1", "a2"]


def case_keys(agents: list[str], datasets: list[Dataset], *, epochs: int = 1) -> list[CaseKey]:
    return [case.key for case in plan_cases(agents, datasets, epochs=epochs)]


def plan_run(
    agents: list[str],
    datasets: list[Dataset],
    *,
    limit: int | None = None,
    epochs: int = 1,
    **past: Any,
) -> list[PlannedAttempt]:
    cases = plan_cases(agents, datasets, limit=limit, epochs=epochs)
    return plan_attempts(cases, **past)


KEYS = case_keys(AGENTS, DATASETS)
INFRASTRUCTURE = [outcome for outcome in Outcome if outcome.is_infrastructure]
THE_AGENTS_OWN = [outcome for outcome in Outcome if not outcome.is_infrastructure]


def decided(**outcomes: Outcome) -> dict[CaseKey, CaseResult]:
    """Deciding results of agent a1's cases of d1, named ``c0``, ``c1``, ..."""
    keys = {f"c{number}": CaseKey("a1", "d1", f"d1-{number}") for number in range(4)}
    return {keys[name]: fake_result(keys[name], outcome) for name, outcome in outcomes.items()}


class TestANewRun:
    def test_plans_every_agent_on_every_case_once(self) -> None:
        planned = plan_run(AGENTS, DATASETS)
        assert Counter(attempt.key for attempt in planned) == Counter(KEYS)
        assert len(planned) == 2 * (4 + 2)
        assert {attempt.number for attempt in planned} == {1}
        for attempt in planned:
            assert attempt.case.case_id == attempt.key.case_id
            assert attempt.attempt_id.startswith(f"{attempt.key.digest}-")

    def test_limits_the_cases_of_each_data_set(self) -> None:
        planned = plan_run(["a1"], DATASETS, limit=1)
        assert [attempt.key.case_id for attempt in planned] == ["d1-0", "d2-0"]

    def test_counts_what_it_plans(self) -> None:
        assert planned_counts(AGENTS, DATASETS, limit=3) == {
            "a1": {"d1": 3, "d2": 2},
            "a2": {"d1": 3, "d2": 2},
        }

    def test_an_empty_data_set_plans_nothing(self) -> None:
        assert plan_run(AGENTS, [dataset("d", 0)]) == []


class TestOrder:
    def test_is_the_same_every_time(self) -> None:
        first, second = (plan_run(AGENTS, DATASETS) for _ in range(2))
        assert [attempt.key for attempt in first] == [attempt.key for attempt in second]
        assert [attempt.key for attempt in first] == KEYS

    def test_gives_a_case_to_all_agents_before_the_next_one(self) -> None:
        agents = [key.agent for key in KEYS]
        assert agents == ["a1", "a2"] * 6

    def test_advances_all_data_sets_at_the_same_pace(self) -> None:
        order = [key.case_id for key in KEYS if key.agent == "a1"]
        assert order == ["d1-0", "d2-0", "d1-1", "d1-2", "d2-1", "d1-3"]

    @given(st.lists(st.integers(0, 30), min_size=1, max_size=4), st.integers(0, 120))
    def test_at_any_moment_every_data_set_has_its_share(self, sizes: list[int], cut: int) -> None:
        datasets = [dataset(f"d{number}", size) for number, size in enumerate(sizes)]
        keys = case_keys(["a"], datasets)
        share = min(cut, len(keys)) / max(1, len(keys))
        done = Counter(key.dataset for key in keys[:cut])
        for data in datasets:
            assert abs(done[data.name] - share * len(data.cases)) <= len(sizes)

    @given(st.integers(0, 30))
    def test_keeps_the_order_of_the_file(self, size: int) -> None:
        keys = case_keys(["a"], [dataset("d", size), dataset("e", 7)])
        assert [key.case_id for key in keys if key.dataset == "d"] == [
            f"d-{number}" for number in range(size)
        ]


class TestEpochs:
    def test_run_every_case_once_before_one_is_run_again(self) -> None:
        keys = case_keys(AGENTS, DATASETS, epochs=3)
        assert len(set(keys)) == len(keys) == 3 * len(KEYS)
        assert [key.epoch for key in keys] == [1] * 12 + [2] * 12 + [3] * 12
        assert keys[:12] == KEYS
        assert [(key.agent, key.case_id) for key in keys[24:]] == [
            (key.agent, key.case_id) for key in KEYS
        ]

    def test_are_counted_in_what_is_planned(self) -> None:
        counts = planned_counts(AGENTS, DATASETS, limit=3, epochs=2)
        assert counts == {"a1": {"d1": 6, "d2": 4}, "a2": {"d1": 6, "d2": 4}}

    def test_are_decided_each_for_itself(self) -> None:
        first, lost = CaseKey("a1", "d1", "d1-0", 1), CaseKey("a1", "d1", "d1-0", 2)
        deciding = {
            first: fake_result(first, Outcome.FAILED),
            lost: fake_result(lost, Outcome.PROVIDER_ERROR),
        }
        planned = plan_run(
            ["a1"],
            [dataset("d1", 1)],
            epochs=3,
            deciding=deciding,
            attempts_made=lambda _: {first: 1, lost: 3},
        )
        assert [(attempt.key.epoch, attempt.number) for attempt in planned] == [(2, 4), (3, 1)]
        assert all(attempt.attempt_id.startswith(attempt.key.digest) for attempt in planned)
        assert first.digest != lost.digest


class TestResume:
    @pytest.mark.parametrize("outcome", THE_AGENTS_OWN)
    def test_never_runs_a_case_again_that_the_agent_decided(self, outcome: Outcome) -> None:
        planned = plan_run(["a1"], DATASETS[:1], deciding=decided(c1=outcome))
        assert [attempt.key.case_id for attempt in planned] == ["d1-0", "d1-2", "d1-3"]

    @pytest.mark.parametrize("outcome", INFRASTRUCTURE)
    def test_runs_again_what_the_infrastructure_decided(self, outcome: Outcome) -> None:
        key = CaseKey("a1", "d1", "d1-1")
        planned = plan_run(
            ["a1"], DATASETS[:1], deciding=decided(c1=outcome), attempts_made=lambda _: {key: 3}
        )
        numbers = {attempt.key.case_id: attempt.number for attempt in planned}
        assert numbers == {"d1-0": 1, "d1-1": 4, "d1-2": 1, "d1-3": 1}

    def test_ignores_results_of_cases_that_are_no_longer_planned(self) -> None:
        gone = fake_result(CaseKey("gone", "d1", "d1-0"), Outcome.CANCELLED)
        planned = plan_run(["a1"], DATASETS[:1], deciding={gone.key: gone})
        assert {attempt.key.agent for attempt in planned} == {"a1"}


class TestRetry:
    def test_runs_exactly_what_was_asked_for(self) -> None:
        deciding = decided(
            c0=Outcome.PASSED, c1=Outcome.FAILED, c2=Outcome.TIMEOUT, c3=Outcome.SANDBOX_ERROR
        )
        retry = frozenset({Outcome.FAILED, Outcome.SANDBOX_ERROR})
        planned = plan_run(["a1"], DATASETS[:1], deciding=deciding, retry=retry)
        assert [attempt.key.case_id for attempt in planned] == ["d1-1", "d1-3"]

    def test_never_touches_a_passed_case(self) -> None:
        deciding = decided(c0=Outcome.PASSED)
        assert plan_run(["a1"], DATASETS[:1], deciding=deciding, retry=frozenset(Outcome)) == []

    def test_leaves_cases_without_a_result_to_resume(self) -> None:
        deciding = decided(c0=Outcome.FAILED)
        planned = plan_run(AGENTS, DATASETS, deciding=deciding, retry=frozenset({Outcome.FAILED}))
        assert [attempt.key.case_id for attempt in planned] == ["d1-0"]
