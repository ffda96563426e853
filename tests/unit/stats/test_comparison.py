"""Two runs, paired by case: who is in a pair, what is a flip, what is a regression."""

from collections.abc import Mapping
from itertools import product
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from pacabench.model import CaseKey, CaseResult, Evaluation, MeteredCall, Outcome
from pacabench.stats import summarise
from pacabench.stats.comparison import Comparison, Pairs, Side, compare_pairs, pair_sides, sides_of
from pacabench.stats.paired import Table
from pacabench.testing.records import fake_metered, fake_result

Runs = Mapping[str, list[Outcome]]
"""Case id to the outcomes of its epochs."""
PASSED, FAILED, LOST = Outcome.PASSED, Outcome.FAILED, Outcome.PROVIDER_ERROR


def results(runs: Runs, agent: str = "agent", **changes: object) -> list[CaseResult]:
    return [
        fake_result(CaseKey(agent, "data", case, epoch), outcome, **changes)
        for case, outcomes in runs.items()
        for epoch, outcome in enumerate(outcomes, 1)
    ]


def compared(
    a: list[CaseResult],
    b: list[CaseResult],
    calls_a: list[MeteredCall] | None = None,
    calls_b: list[MeteredCall] | None = None,
) -> Comparison | None:
    of_a, of_b = (
        sides_of(summarise(found, calls or []).cases, "agent", "data")
        for found, calls in ((a, calls_a), (b, calls_b))
    )
    return compare_pairs(("agent", "agent"), pair_sides("data", of_a, of_b))


def singles(passed: str, failed: str) -> Runs:
    return {**{name: [PASSED] for name in passed}, **{name: [FAILED] for name in failed}}


class TestPairs:
    def test_are_cases_that_both_were_judged_on(self) -> None:
        a = results({"1": [PASSED], "2": [PASSED], "3": [LOST], "4": [PASSED], "5": [FAILED]})
        b = results({"1": [FAILED], "2": [LOST], "3": [PASSED], "5": [PASSED], "6": [PASSED]})
        found = compared(a, b)
        assert found is not None
        assert (found.pairs, found.only_a, found.only_b) == (2, 2, 2)
        assert (found.accuracy_a, found.accuracy_b) == (0.5, 0.5)
        assert (found.to_failed, found.to_passed) == ([("data", "1")], [("data", "5")])

    def test_of_other_agents_and_data_sets_are_none(self) -> None:
        cases = summarise(results(singles("1", "2"), agent="other"), []).cases
        assert sides_of(cases, "agent", "data") == {}
        assert sides_of(cases, "other", "data2") == {}

    def test_without_any_there_is_no_comparison(self) -> None:
        assert compared(results(singles("1", "")), results(singles("2", ""))) is None


class TestSingleAnswers:
    def test_are_tested_by_mcnemar_and_newcombe(self) -> None:
        # Armitage and Berry (1994): A alone right 2 times, B alone 12 times
        a = results(singles("abcdefghijklmnopqrst" + "uv", "ABCDEFGHIJKL" + "0123456789MNOPQR"))
        b = results(singles("abcdefghijklmnopqrst" + "ABCDEFGHIJKL", "uv" + "0123456789MNOPQR"))
        found = compared(a, b)
        assert found is not None
        assert found.table is not None
        assert (found.table.only_a, found.table.only_b, found.pairs) == (2, 12, 50)
        assert found.test == "mcnemar_exact"
        assert found.p_value == pytest.approx(0.0129, abs=5e-5)
        assert found.difference.low == pytest.approx(0.0562, abs=1e-4)
        assert found.is_decided
        assert not found.is_regression
        turned = compared(b, a)
        assert turned is not None
        assert turned.is_regression

    def test_a_small_difference_is_no_regression(self) -> None:
        found = compared(results(singles("abc", "d")), results(singles("ab", "cd")))
        assert found is not None
        assert (found.accuracy_b < found.accuracy_a, found.is_regression) == (True, False)


class TestEpochs:
    def test_of_a_case_are_one_pair(self) -> None:
        a = results({name: [PASSED, PASSED] for name in "abcdefgh"})
        b = results({name: [PASSED, FAILED] for name in "abcdefgh"})
        found = compared(a, b)
        assert found is not None
        assert (found.pairs, found.table, found.test) == (8, None, "sign_flip")
        assert (found.accuracy_a, found.accuracy_b) == (1.0, 0.5)
        assert found.p_value == pytest.approx(2 / 2**8)
        assert len(found.to_failed) == 8
        assert found.is_regression

    def test_that_infrastructure_failed_are_left_out(self) -> None:
        found = compared(results({"a": [PASSED, LOST]}), results({"a": [PASSED]}))
        assert found is not None
        assert (found.accuracy_a, found.test) == (1.0, "mcnemar_exact")


class TestScoresAndRatios:
    def test_scores_are_compared_where_both_have_one(self) -> None:
        half = Evaluation(passed=False, score=0.5)
        a = results({"1": [FAILED], "2": [FAILED]}, evaluation=half)
        b = [*results({"1": [PASSED]}), *results({"2": [Outcome.TIMEOUT]})]
        found = compared(a, b)
        assert found is not None
        assert (found.score_a, found.score_b) == (0.5, 1.0)
        assert found.score_difference is not None
        assert found.score_difference.low == 0.5

    def test_latency_and_cost_are_ratios_over_pairs(self) -> None:
        a = results(singles("12", ""), duration_ms=100.0)
        b = results(singles("12", ""), duration_ms=300.0)
        found = compared(
            a,
            b,
            [fake_metered(result, 0.2) for result in a],
            [fake_metered(b[0], 0.1), fake_metered(b[0], 0.1), fake_metered(b[1], None)],
        )
        assert found is not None
        assert found.latency is not None
        assert found.latency.value == 3.0
        assert found.cost is not None
        # the case with a call of unknown price is in no ratio
        assert (found.cost.value, found.cost.pairs) == (1.0, 1)


Answers = Mapping[str, tuple[Side, Side]]
"""Case id to what A and B made of it."""
AGENTS = ("agent", "agent")


def side(passed: float, score: float | None = None, *, epochs: int = 1) -> Side:
    return Side(epochs, passed, score, latency_ms=100.0 + passed, cost_usd=0.5)


def answers(*cells: int, score_b: float | None = None) -> Answers:
    """So many cases that both, A alone, B alone and neither have right."""
    kinds = list(product((1.0, 0.0), repeat=2))
    pairs = [kind for kind, number in zip(kinds, cells, strict=True) for _ in range(number)]
    return {
        f"case-{number}": (side(a, a), side(b, b if score_b is None else score_b * b))
        for number, (a, b) in enumerate(pairs)
    }


def paired(dataset: str, found: Answers) -> Pairs:
    a, b = ({name: sides[place] for name, sides in found.items()} for place in (0, 1))
    return pair_sides(dataset, a, b)


def pooled(*sets: Answers) -> Comparison:
    pool = Pairs()
    for number, found in enumerate(sets):
        pool.extend(paired(f"set-{number}", found))
    row = compare_pairs(AGENTS, pool)
    assert row is not None
    return row


class TestPool:
    def test_decides_what_no_data_set_decides(self) -> None:
        sets = [answers(5, 4, 1, 0) for _ in range(4)]
        for found in sets:
            row = compare_pairs(AGENTS, paired("set", found))
            assert row is not None
            assert row.accuracy_b - row.accuracy_a == pytest.approx(-0.3)
            assert not row.is_decided
        pool = pooled(*sets)
        assert (pool.pairs, pool.table) == (40, Table(both=20, only_a=16, only_b=4, neither=0))
        assert list(pool.datasets) == ["set-0", "set-1", "set-2", "set-3"]
        assert pool.is_regression

    def test_is_tested_as_scipy_and_a_sum_of_coins_test_it(self) -> None:
        pool = pooled(answers(5, 4, 1, 0), answers(30, 9, 3, 2), answers(0, 2, 1, 7))
        assert pool.pairs == 64
        assert pool.p_value == scipy_stats.binomtest(15, 20).pvalue
        assert pool.p_value == pytest.approx(2 * sum(comb(20, few) for few in range(6)) / 2**20)
        moved = [-1.0] * 15 + [1.0] * 5 + [0.0] * 44
        means = scipy_stats.bootstrap(
            (moved,), np.mean, method="percentile", rng=np.random.default_rng(7)
        ).confidence_interval
        # Newcombe's interval and the bootstrap are two methods for the same thing
        assert pool.difference.low == pytest.approx(means.low, abs=0.03)
        assert pool.difference.high == pytest.approx(means.high, abs=0.03)

    def test_of_scores_is_a_bootstrap_over_all_pairs(self) -> None:
        pool = pooled(answers(6, 4, 1, 2, score_b=0.5), answers(20, 9, 3, 2, score_b=0.75))
        moved = [-0.5] * 6 + [-1.0] * 4 + [0.5] + [0.0] * 2
        moved += [-0.25] * 20 + [-1.0] * 9 + [0.75] * 3 + [0.0] * 2
        assert pool.score_a is not None
        assert pool.score_b is not None
        assert pool.score_b - pool.score_a == pytest.approx(float(np.mean(moved)))
        drawn = scipy_stats.bootstrap(
            (moved,), np.mean, method="percentile", rng=np.random.default_rng(7)
        ).confidence_interval
        assert pool.score_difference is not None
        assert pool.score_difference.low == pytest.approx(drawn.low, abs=0.015)
        assert pool.score_difference.high == pytest.approx(drawn.high, abs=0.015)

    def test_keeps_cases_of_the_same_id_apart(self) -> None:
        pool = pooled({"1": (side(1), side(0))}, {"1": (side(0), side(1))})
        assert (pool.pairs, pool.accuracy_a, pool.accuracy_b) == (2, 0.5, 0.5)
        assert pool.to_failed == [("set-0", "1")]
        assert pool.to_passed == [("set-1", "1")]

    def test_with_a_case_of_several_epochs_goes_by_means_per_case(self) -> None:
        often = {f"{n}": (side(1.0, epochs=2), side(0.5, epochs=2)) for n in range(4)}
        pool = pooled(often, answers(3, 4, 0, 0))
        assert (pool.test, pool.table) == ("sign_flip", None)
        assert pool.p_value == pytest.approx(2 / 2**8)
        assert pool.accuracy_b == pytest.approx((4 * 0.5 + 3) / 11)

    def test_adds_unpaired_cases_costs_and_times_up(self) -> None:
        one = pair_sides("one", {"1": side(1), "2": side(1)}, {"1": side(1)})
        dear = Side(1, 1.0, None, latency_ms=300.0, cost_usd=1.0)
        unknown = Side(1, 1.0, None, latency_ms=300.0, cost_usd=None)
        two = pair_sides(
            "two", {"1": side(1), "2": side(1)}, {"1": dear, "2": unknown, "3": side(1)}
        )
        pool = Pairs()
        for pairs in (one, two):
            pool.extend(pairs)
        row = compare_pairs(AGENTS, pool)
        assert row is not None
        assert (row.pairs, row.only_a, row.only_b) == (3, 1, 1)
        assert row.cost is not None
        assert (row.cost.value, row.cost.pairs) == (1.5 / 1.0, 2)
        assert row.latency is not None
        assert row.latency.value == pytest.approx((101 + 600) / 303)
        assert row.score_a is None

    @given(st.lists(st.tuples(*[st.integers(0, 9)] * 4).filter(any), min_size=2, max_size=4))
    @settings(max_examples=30, deadline=None)
    def test_lies_between_its_data_sets(self, cells: list[tuple[int, ...]]) -> None:
        differences = [(b - a) / sum(of) for of in cells for _, a, b, _ in [of]]
        pool = pooled(*(answers(*of) for of in cells))
        difference = pool.accuracy_b - pool.accuracy_a
        weighted = sum(d * sum(of) for d, of in zip(differences, cells, strict=True))
        assert difference == pytest.approx(weighted / sum(map(sum, cells)))
        assert min(differences) - 1e-9 <= difference <= max(differences) + 1e-9
