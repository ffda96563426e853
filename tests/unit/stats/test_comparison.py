"""Two runs, paired by case: who is in a pair, what is a flip, what is a regression."""

from collections.abc import Mapping

import pytest

from pacabench.model import CaseKey, CaseResult, Evaluation, MeteredCall, Outcome
from pacabench.stats import summarise
from pacabench.stats.comparison import Comparison, compare_sides, sides_of
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
    return compare_sides(("agent", "agent"), "data", of_a, of_b)


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
        assert (list(found.to_failed), list(found.to_passed)) == (["1"], ["5"])

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
