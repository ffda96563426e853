"""Two agents until it is decided: which pairs are looked at, in which order, and what is kept."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacabench.contest import Contest, open_contest
from pacabench.errors import UsageError
from pacabench.model import CaseKey, CaseResult, Outcome
from pacabench.stats import summarise
from pacabench.stats.sequential import is_decided
from pacabench.testing.records import fake_metered, fake_result

PASSED, FAILED, LOST = Outcome.PASSED, Outcome.FAILED, Outcome.PROVIDER_ERROR


def result(agent: str, case: int, outcome: Outcome) -> CaseResult:
    return fake_result(CaseKey(agent, "data", str(case)), outcome)


@pytest.fixture
def contest() -> Contest:
    return Contest("a", "b", [("data", str(number)) for number in range(30)])


def play(contest: Contest, case: int, a: Outcome, b: Outcome) -> bool:
    contest.take(result("a", case, a))
    return contest.take(result("b", case, b))


def test_eight_pairs_in_a_row_decide_it_and_just_once(contest: Contest) -> None:
    decided = [play(contest, case, FAILED, PASSED) for case in range(10)]
    assert decided == [False] * 7 + [True] + [False] * 2
    assert (contest.winner, contest.pairs, contest.only_a, contest.only_b) == ("b", 8, 0, 8)


def test_pairs_that_agree_say_nothing(contest: Contest) -> None:
    for case in range(20):
        outcome = PASSED if case % 2 else FAILED
        assert not play(contest, case, outcome, outcome)
    assert (contest.pairs, contest.only_a, contest.only_b, contest.winner) == (20, 0, 0, None)


def test_pairs_are_looked_at_in_the_order_of_the_plan_whatever_is_done_first() -> None:
    outcomes = [
        (
            random.Random(case).choice([PASSED, FAILED, FAILED, FAILED]),
            random.Random(-case - 1).choice([PASSED, PASSED, FAILED]),
        )
        for case in range(60)
    ]
    order = [("data", str(number)) for number in range(60)]
    in_order, mixed = Contest("a", "b", order), Contest("a", "b", order)
    results = []
    for case, (a, b) in enumerate(outcomes):
        results += [result("a", case, a), result("b", case, b)]
    for one in results:
        in_order.take(one)
    random.Random(9).shuffle(results)
    for one in results:
        mixed.take(one)
    assert in_order.decided
    assert in_order.pairs > 10
    assert (mixed.pairs, mixed.only_a, mixed.only_b, mixed.decided) == (
        in_order.pairs, in_order.only_a, in_order.only_b, in_order.decided,
    )  # fmt: skip


def test_a_pair_waits_for_all_before_it(contest: Contest) -> None:
    for case in range(1, 10):
        assert not play(contest, case, FAILED, PASSED)
    assert contest.pairs == 0
    assert play(contest, 0, FAILED, FAILED)
    assert contest.pairs == 9  # the first one agrees, eight decide


def test_what_infrastructure_failed_for_good_is_in_no_pair(contest: Contest) -> None:
    play(contest, 0, LOST, PASSED)
    play(contest, 1, FAILED, PASSED)
    assert (contest.pairs, contest.only_b) == (1, 1)


class TestReach:
    """It ends where nothing that is left can decide it."""

    def test_ends_when_what_is_left_cannot_decide_it(self, contest: Contest) -> None:
        ended = [play(contest, case, PASSED, PASSED) for case in range(30)]
        # with 8 pairs left they may all go one way, with 7 no more
        assert ended.index(True) == 22
        assert (contest.pairs, contest.decided, contest.out_of_reach) == (23, False, True)
        assert contest.winner is None
        assert "no decision can be reached any more between a and b" in contest.said()
        assert "between -23.3% and +23.3%" in contest.said()

    def test_a_pair_of_which_half_is_known_is_open_to_one_side_alone(self) -> None:
        contest = Contest("a", "b", [("data", str(number)) for number in range(9)])
        assert not contest.take(result("a", 1, FAILED))  # open to b
        assert not contest.take(result("a", 2, FAILED))  # open to b: a can have 7 at most
        assert not contest.take(result("b", 3, FAILED))  # b can have 8
        assert contest.take(result("a", 4, PASSED))  # and now 7

    def test_what_is_known_behind_an_open_pair_counts(self, contest: Contest) -> None:
        ended = [play(contest, case, FAILED, FAILED) for case in range(1, 30)]
        assert ended.index(True) == 22  # the first pair and six others are left
        assert (contest.pairs, contest.out_of_reach) == (0, True)

    def test_what_infrastructure_failed_may_still_decide_it(self, contest: Contest) -> None:
        play(contest, 0, LOST, PASSED)
        for case in range(1, 23):
            play(contest, case, PASSED, PASSED)
        assert not contest.ended  # it and seven others may all be b's alone
        contest.take(result("a", 23, PASSED))
        assert contest.out_of_reach

    def test_ended_by_earlier_sessions(self) -> None:
        keys = [CaseKey(agent, "data", str(case)) for case in range(20) for agent in "ab"]
        contest = open_contest(["a", "b"], keys, 1, {k: fake_result(k, PASSED) for k in keys[:26]})
        assert contest.ended
        assert not open_contest(
            ["a", "b"], keys, 1, {k: fake_result(k, PASSED) for k in keys[:24]}
        ).ended

    def test_results_of_other_cases_count_for_nothing(self) -> None:
        keys = [CaseKey(agent, "data", str(case)) for case in range(8) for agent in "ab"]
        others = [CaseKey(agent, "gone", str(case)) for case in range(8) for agent in "ab"]
        contest = open_contest(["a", "b"], keys, 1, {k: fake_result(k, PASSED) for k in others})
        assert not contest.ended

    @given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=8, max_size=40), st.randoms())
    def test_never_ends_a_contest_that_would_be_decided(
        self, pairs: list[tuple[bool, bool]], chance: random.Random
    ) -> None:
        order = [("data", str(number)) for number in range(len(pairs))]
        results = [
            result(agent, case, PASSED if right else FAILED)
            for case, pair in enumerate(pairs)
            for agent, right in zip("ab", pair, strict=True)
        ]
        only_a = only_b = 0
        winner = None
        for a, b in pairs:
            only_a += a and not b
            only_b += b and not a
            if is_decided(only_a, only_b):
                winner = "a" if only_a > only_b else "b"
                break
        chance.shuffle(results)
        contest = Contest("a", "b", order)
        for one in results:
            contest.take(one)
        assert contest.winner == winner


def test_too_few_cases_to_decide_anything_are_refused() -> None:
    keys = [CaseKey(agent, "data", str(case)) for case in range(7) for agent in "ab"]
    with pytest.raises(UsageError, match="needs 8 cases at least, and there are 7"):
        open_contest(["a", "b"], keys, 1, {})


def test_what_was_cut_off_is_not_settled(contest: Contest) -> None:
    play(contest, 0, Outcome.CANCELLED, PASSED)
    play(contest, 1, FAILED, PASSED)
    assert contest.pairs == 0


def test_goes_on_where_earlier_sessions_stopped() -> None:
    keys = [CaseKey(agent, "data", str(case)) for case in range(20) for agent in "ab"]
    deciding = {
        key: fake_result(
            key, LOST if key.case_id == "3" else FAILED if key.agent == "a" else PASSED
        )
        for key in keys[:14]
    }
    contest = open_contest(["a", "b"], keys, 1, deciding)
    assert contest.pairs == 3  # the fourth pair is run again
    play(contest, 3, FAILED, PASSED)
    assert contest.pairs == 7
    assert play(contest, 7, FAILED, PASSED)


@pytest.mark.parametrize(("agents", "epochs"), [(["a"], 1), (["a", "b", "c"], 1), (["a", "b"], 2)])
def test_is_of_two_agents_and_one_epoch(agents: list[str], epochs: int) -> None:
    with pytest.raises(UsageError, match="stop-when-decided"):
        open_contest(agents, [], epochs, {})


class TestRecord:
    def test_says_what_was_saved(self, contest: Contest) -> None:
        results = [
            result(agent, case, FAILED if agent == "a" else PASSED)
            for case in range(8)
            for agent in "ab"
        ]
        for one in results:
            contest.take(one)
        calls = [fake_metered(one, 0.1 if one.key.agent == "a" else 0.3) for one in results]
        summary = summarise(results, calls, {"a": {"data": 30}, "b": {"data": 30}})
        record = contest.record(summary)
        assert (record.winner, record.pairs, record.pairs_planned) == ("b", 8, 30)
        assert record.not_run == {"a": 22, "b": 22}
        assert record.saved_usd == pytest.approx(22 * 0.1 + 22 * 0.3)
        assert record.p_value == pytest.approx(9 / 2**8)
        assert (record.share_b_low > 0.5, record.share_b_high) == (True, 1.0)

    def test_of_the_undecided_saved_nothing(self, contest: Contest) -> None:
        play(contest, 0, PASSED, PASSED)
        record = contest.record(summarise([], [], {"a": {"data": 0}}))
        assert (record.winner, record.not_run, record.saved_usd) == (None, {"a": 0, "b": 0}, 0.0)
        assert (record.out_of_reach, record.difference_low) == (False, None)

    def test_out_of_reach_says_what_was_saved_and_what_the_difference_can_be(
        self, contest: Contest
    ) -> None:
        results = [result(agent, case, PASSED) for case in range(22) for agent in "ab"]
        results += [result("a", 22, FAILED), result("b", 22, PASSED)]
        for one in results:
            contest.take(one)
        assert not contest.ended  # one alone right, and seven more to come
        for one in (result("a", 23, PASSED), result("b", 23, PASSED)):
            contest.take(one)
            results.append(one)
        calls = [fake_metered(one, 0.5) for one in results]
        record = contest.record(summarise(results, calls, {"a": {"data": 30}, "b": {"data": 30}}))
        assert (record.winner, record.out_of_reach, record.stopped_early) == (None, True, True)
        # the last pair is not b's alone, whatever b did: six are left to it
        assert (record.pairs, record.only_a, record.only_b) == (23, 0, 1)
        assert (record.difference_low, record.difference_high) == (
            pytest.approx((1 - 7) / 30),
            pytest.approx((1 + 6) / 30),
        )
        assert record.not_run == {"a": 6, "b": 6}
        assert record.saved_usd == pytest.approx(6.0)

    def test_without_a_known_cost_the_saving_is_unknown(self, contest: Contest) -> None:
        for case in range(8):
            play(contest, case, PASSED, FAILED)
        record = contest.record(summarise([], [], {"a": {"data": 5}, "b": {"data": 5}}))
        assert (record.winner, record.saved_usd) == ("a", None)
