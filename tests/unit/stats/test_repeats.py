"""pass@k and pass^k, against their definition and the published estimator."""

from itertools import combinations
from math import prod

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacabench.model import CaseKey, Outcome
from pacabench.stats import summarise
from pacabench.stats.repeats import pass_at_k, pass_hat_k, repeats_of
from pacabench.testing.records import fake_result

counts = st.integers(1, 8).flatmap(
    lambda judged: st.tuples(st.just(judged), st.integers(0, judged), st.integers(1, judged))
)


class TestEstimators:
    @given(counts)
    def test_are_the_share_of_draws_without_replacement(self, drawn: tuple[int, int, int]) -> None:
        judged, passed, k = drawn
        draws = list(combinations([True] * passed + [False] * (judged - passed), k))
        assert pass_at_k(judged, passed, k) == pytest.approx(sum(map(any, draws)) / len(draws))
        assert pass_hat_k(judged, passed, k) == pytest.approx(sum(map(all, draws)) / len(draws))

    @pytest.mark.parametrize(("judged", "passed", "k"), [(200, 3, 100), (200, 40, 10), (10, 9, 2)])
    def test_pass_at_k_is_the_product_of_the_papers_listing(
        self, judged: int, passed: int, k: int
    ) -> None:
        # Chen et al. (2021), figure 3: 1 - prod(1 - k / n') for n' = n - c + 1, ..., n
        expected = 1 - prod(1 - k / place for place in range(judged - passed + 1, judged + 1))
        assert pass_at_k(judged, passed, k) == pytest.approx(expected)

    def test_of_one_are_the_share_that_passed(self) -> None:
        assert pass_at_k(4, 3, 1) == pass_hat_k(4, 3, 1) == 0.75


class TestRepeats:
    def test_are_told_only_where_something_was_repeated(self) -> None:
        assert repeats_of({1: (1, 2)}, [(1, 1), (0, 1)]) is None
        assert repeats_of({}, []) is None

    def test_of_a_run(self) -> None:
        # three cases, four epochs: always, half of the time, never
        results = [
            fake_result(
                CaseKey("agent", "data", case, epoch),
                Outcome.PASSED if epoch <= passes else Outcome.FAILED,
            )
            for case, passes in (("a", 4), ("b", 2), ("c", 0))
            for epoch in (1, 2, 3, 4)
        ]
        summary = summarise(results, [], {"agent": {"data": 12}})
        (agent,) = summary.agents
        repeats = agent.repeats
        assert repeats is not None
        assert (agent.cases, agent.passed) == (12, 6)
        assert repeats.accuracies == pytest.approx({1: 2 / 3, 2: 2 / 3, 3: 1 / 3, 4: 1 / 3})
        assert repeats.mean == pytest.approx(0.5)
        assert repeats.deviation == pytest.approx(0.19245, abs=1e-5)
        found = {at.k: (at.pass_at, at.pass_hat, at.cases) for at in repeats.at}
        assert found == {
            1: (pytest.approx(1 / 2), pytest.approx(1 / 2), 3),
            2: (pytest.approx((1 + 5 / 6) / 3), pytest.approx((1 + 1 / 6) / 3), 3),
            4: (pytest.approx(2 / 3), pytest.approx(1 / 3), 3),
        }
        assert summary.total.repeats is None

    def test_an_epoch_that_infrastructure_failed_is_none(self) -> None:
        results = [
            fake_result(CaseKey("agent", "data", "a", 1), Outcome.PASSED),
            fake_result(CaseKey("agent", "data", "a", 2), Outcome.PROVIDER_ERROR),
            fake_result(CaseKey("agent", "data", "b", 1), Outcome.PASSED),
            fake_result(CaseKey("agent", "data", "b", 2), Outcome.FAILED),
        ]
        (agent,) = summarise(results, []).agents
        assert agent.repeats is not None
        assert [(at.k, at.cases, at.pass_at) for at in agent.repeats.at] == [
            (1, 2, 0.75),
            (2, 1, 1.0),
        ]
