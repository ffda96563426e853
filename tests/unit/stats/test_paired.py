"""Paired tests and intervals, against published examples, enumeration and each other."""

import math
from itertools import product
from statistics import fmean

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pacabench.stats.paired import (
    Table,
    bootstrap_mean,
    mcnemar_exact,
    newcombe,
    ratio_of_means,
    sign_flip,
)

BENTUR = Table(both=1, only_a=1, only_b=7, neither=12)
"""Airway hyper-responsiveness before and after stem cell transplantation (Bentur et al., 2009)."""


class TestMcNemar:
    @pytest.mark.parametrize(
        ("only_a", "only_b", "p_value"),
        [
            # Fagerland, Lydersen and Laake, "The McNemar test for binary matched-pairs data", BMC
            # Medical Research Methodology 13:91 (2013): Bentur's data
            (1, 7, 0.0703),
            # Armitage and Berry, "Statistical Methods in Medical Research" (1994), page 127
            (12, 2, 0.0129),
        ],
    )
    def test_gives_the_published_figures(self, only_a: int, only_b: int, p_value: float) -> None:
        assert mcnemar_exact(only_a, only_b) == pytest.approx(p_value, abs=5e-5)
        assert mcnemar_exact(only_b, only_a) == mcnemar_exact(only_a, only_b)

    def test_without_a_discordant_pair_says_nothing(self) -> None:
        assert mcnemar_exact(0, 0) == 1.0


class TestNewcombe:
    @pytest.mark.parametrize(
        ("table", "low", "high"),
        [
            # Fagerland, Lydersen and Laake, "Recommended tests and confidence intervals for paired
            # binomial proportions", Statistics in Medicine 33 (2014); signs turned: theirs is A - B
            (BENTUR, 0.026, 0.507),
            # Altman et al., "Statistics with Confidence" (2000), table 6.2
            (Table(both=14, only_a=0, only_b=5, neither=22), 0.011, 0.226),
        ],
    )
    def test_gives_the_published_figures(self, table: Table, low: float, high: float) -> None:
        found = newcombe(table)
        assert (found.low, found.high) == pytest.approx((low, high), abs=5e-4)

    @given(st.tuples(*[st.integers(0, 40)] * 4).filter(sum))
    def test_turns_with_its_sides_and_stays_in_range(self, cells: tuple[int, ...]) -> None:
        both, only_a, only_b, neither = cells
        found = newcombe(Table(both, only_a, only_b, neither))
        turned = newcombe(Table(both, only_b, only_a, neither))
        assert (found.low, found.high) == pytest.approx((-turned.high, -turned.low))
        assert -1 <= found.low <= (only_b - only_a) / sum(cells) <= found.high <= 1

    def test_is_no_point_where_nobody_disagrees(self) -> None:
        found = newcombe(Table(both=10, only_a=0, only_b=0, neither=0))
        assert found.low < -0.2
        assert found.high > 0.2

    @pytest.mark.parametrize("shares", [(0.5, 0.2, 0.1, 0.2), (0.7, 0.1, 0.1, 0.1)])
    def test_covers_the_truth_about_as_often_as_it_says(
        self, shares: tuple[float, float, float, float]
    ) -> None:
        number, truth, covered = 25, shares[2] - shares[1], 0.0
        for both, only_a, only_b in product(range(number + 1), repeat=3):
            neither = number - both - only_a - only_b
            if neither < 0:
                continue
            cells = (both, only_a, only_b, neither)
            chance = math.factorial(number) * math.prod(
                share**cell / math.factorial(cell)
                for share, cell in zip(shares, cells, strict=True)
            )
            covered += chance * (truth in newcombe(Table(*cells)))
        assert 0.93 < covered < 0.98


class TestSignFlip:
    @given(st.integers(0, 6), st.integers(0, 6), st.integers(0, 5))
    @settings(max_examples=30)
    def test_on_single_answers_is_mcnemars_exact_test(
        self, only_a: int, only_b: int, same: int
    ) -> None:
        moved = [-1.0] * only_a + [1.0] * only_b + [0.0] * same
        assert sign_flip(moved) == pytest.approx(mcnemar_exact(only_a, only_b))

    def test_tries_all_signs_of_a_few_values(self) -> None:
        # of 8 ways, two are as far from 0 as +++, so 2/8; ++- has sums -6, -4, -2, 0, 0, 2, 4, 6
        assert sign_flip([1.0, 2.0, 3.0]) == pytest.approx(2 / 8)
        assert sign_flip([1.0, -2.0, 3.0]) == pytest.approx(6 / 8)

    def test_is_the_same_each_time(self) -> None:
        moved = [0.25, -0.5, 0.75, 1.0, 0.25] * 10
        assert sign_flip(moved) == sign_flip(moved)


MICE = [94.0, 197.0, 16.0, 38.0, 99.0, 141.0, 23.0]
"""Survival of treated mice in days: Efron and Tibshirani (1993), table 2.1."""


class TestBootstrap:
    def test_has_the_spread_that_was_published_for_the_mice(self) -> None:
        # table 2.2: the bootstrap standard error of the mean is 23.36 for ever more resamples
        found = bootstrap_mean(MICE, level=0.6827)  # one standard error to either side
        assert (found.high - found.low) / 2 == pytest.approx(23.36, rel=0.04)

    def test_is_the_percentile_interval_over_all_resamples(self) -> None:
        values = [0.0, 1.0, 5.0]
        means = sorted(fmean(drawn) for drawn in product(values, repeat=3))
        found = bootstrap_mean(values, level=0.5)
        assert found.low == pytest.approx(means[len(means) // 4], abs=0.34)
        assert found.high == pytest.approx(means[3 * len(means) // 4], abs=0.34)

    def test_is_the_same_each_time(self) -> None:
        assert bootstrap_mean(MICE) == bootstrap_mean(MICE)

    @pytest.mark.parametrize("values", [[2.0], [2.0, 2.0, 2.0]])
    def test_of_values_that_do_not_differ_is_a_point(self, values: list[float]) -> None:
        found = bootstrap_mean(values)
        assert (found.low, found.high) == (2.0, 2.0)

    def test_a_hundred_thousand_cases_fit_in_memory(self) -> None:
        found = bootstrap_mean([0.0, 1.0] * 50_000)
        assert found.low == pytest.approx(0.5 - 1.96 * 0.5 / math.sqrt(100_000), abs=5e-4)


class TestRatio:
    def test_is_of_means_and_paired(self) -> None:
        found = ratio_of_means([(1.0, 2.0), (10.0, 20.0), (100.0, 200.0)])
        assert found is not None
        assert (found.value, found.pairs) == (2.0, 3)
        assert (found.interval.low, found.interval.high) == (2.0, 2.0)  # wide were they not paired

    def test_of_nothing_is_unknown(self) -> None:
        assert ratio_of_means([]) is None
        assert ratio_of_means([(0.0, 1.0)]) is None

    def test_a_draw_with_nothing_in_it_is_no_error(self) -> None:
        found = ratio_of_means([(0.0, 1.0), (1.0, 1.0)])
        assert found is not None
        assert (found.value, found.interval.high) == (2.0, math.inf)
