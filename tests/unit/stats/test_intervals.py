"""Intervals of one proportion, against published figures, scipy and exact coverage."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from pacabench.stats.intervals import Interval, clustered_wilson, wilson


class TestWilson:
    @pytest.mark.parametrize(
        ("passed", "number", "low", "high"),
        [
            # R. G. Newcombe, "Two-sided confidence intervals for the single proportion: comparison
            # of seven methods", Statistics in Medicine 17 (1998), table I, method 3
            (81, 263, 0.2553, 0.3662),
            (15, 148, 0.0624, 0.1605),
            (0, 20, 0.0, 0.1611),
            (1, 29, 0.0061, 0.1718),
        ],
    )
    def test_gives_newcombes_published_figures(
        self, passed: int, number: int, low: float, high: float
    ) -> None:
        found = wilson(passed / number, number)
        assert (found.low, found.high) == pytest.approx((low, high), abs=5e-5)

    @given(st.integers(1, 5000), st.data())
    def test_agrees_with_scipy(self, number: int, data: st.DataObject) -> None:
        passed = data.draw(st.integers(0, number))
        level = data.draw(st.sampled_from([0.8, 0.95, 0.99]))
        expected = binomtest(passed, number).proportion_ci(level, method="wilson")
        found = wilson(passed / number, number, level)
        assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-9)

    def test_is_no_point_where_all_are_right(self) -> None:
        assert wilson(1.0, 10).high == 1.0
        assert wilson(1.0, 10).low == pytest.approx(0.7225, abs=1e-4)

    @pytest.mark.parametrize("share", [0.1, 0.35, 0.5, 0.8])
    def test_covers_the_truth_about_as_often_as_it_says(self, share: float) -> None:
        number = 50
        covered = sum(
            math.comb(number, passed) * share**passed * (1 - share) ** (number - passed)
            for passed in range(number + 1)
            if share in wilson(passed / number, number)
        )
        assert 0.93 < covered < 0.975


clusters = st.lists(
    st.integers(1, 6).flatmap(lambda trials: st.tuples(st.integers(0, trials), st.just(trials))),
    min_size=1,
    max_size=30,
)


class TestClustered:
    def test_of_nothing_is_unknown(self) -> None:
        assert clustered_wilson([]) is None
        assert clustered_wilson([(0, 0)]) is None

    @given(st.lists(st.booleans(), min_size=1))
    def test_of_single_epochs_is_wilsons(self, passed: list[bool]) -> None:
        expected = wilson(sum(passed) / len(passed), len(passed))
        assert clustered_wilson((int(right), 1) for right in passed) == expected

    def test_epochs_that_always_agree_add_nothing(self) -> None:
        once = wilson(7 / 20, 20)
        found = clustered_wilson([(5, 5)] * 7 + [(0, 5)] * 13)
        assert found is not None
        assert (found.low, found.high) == pytest.approx((once.low, once.high))

    def test_epochs_that_are_independent_count_in_full(self) -> None:
        # As much spread between cases as coins have: 1, 4, 6, 4, 1 of 16 with 0 to 4 heads
        cases = [(heads, 4) for heads in range(5) for _ in range(math.comb(4, heads))]
        found = clustered_wilson(cases)
        assert found is not None
        assert found.high - found.low == pytest.approx(
            wilson(0.5, 64).high - wilson(0.5, 64).low, rel=0.05
        )

    @given(clusters)
    def test_is_never_surer_than_independent_trials_nor_less_than_one_per_case(
        self, cases: list[tuple[int, int]]
    ) -> None:
        found = clustered_wilson(cases)
        share = sum(passed for passed, _ in cases) / sum(trials for _, trials in cases)
        most, least = wilson(share, len(cases)), wilson(share, sum(n for _, n in cases))
        assert found is not None
        assert _width(least) - 1e-12 <= _width(found) <= _width(most) + 1e-12
        assert found.low - 1e-12 <= share <= found.high + 1e-12

    def test_covers_the_truth_where_cases_differ_and_wilson_alone_does_not(self) -> None:
        chance = random.Random(7)
        clustered = naive = 0
        rounds, truth = 600, 0.5
        for _ in range(rounds):
            cases = []
            for _ in range(40):
                of_case = chance.betavariate(0.5, 0.5)  # most cases nearly always or never pass
                cases.append((sum(chance.random() < of_case for _ in range(8)), 8))
            found = clustered_wilson(cases)
            assert found is not None
            clustered += truth in found
            naive += truth in wilson(sum(passed for passed, _ in cases) / 320, 320)
        assert clustered / rounds > 0.92
        assert naive / rounds < 0.75


def _width(interval: Interval) -> float:
    return interval.high - interval.low
