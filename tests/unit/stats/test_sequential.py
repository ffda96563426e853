"""A test that may be looked at after every flip: what it promises, worked out exactly."""

import functools
import itertools
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacabench.stats.paired import mcnemar_exact
from pacabench.stats.sequential import (
    always_valid_p,
    always_valid_share,
    can_be_decided,
    fewest_flips,
    is_decided,
    log_evidence,
)

counts = st.integers(0, 300)


def ever_refuted(share: float, flips: int, alpha: float = 0.05) -> float:
    """The chance that the true coin is refuted at any of the first looks, summed over all paths."""
    alive = {0: 1.0}  # B's wins to the chance of being there and never having been refuted
    refuted = 0.0
    for flip in range(1, flips + 1):
        after: dict[int, float] = {}
        for wins, chance in alive.items():
            after[wins] = after.get(wins, 0.0) + chance * (1 - share)
            after[wins + 1] = after.get(wins + 1, 0.0) + chance * share
        alive = {}
        for wins, chance in after.items():
            if log_evidence(flip - wins, wins, share) >= math.log(1 / alpha):
                refuted += chance
            else:
                alive[wins] = chance
    return refuted


class TestValidity:
    @pytest.mark.parametrize("share", [0.5, 0.2, 0.7, 0.95])
    def test_the_truth_is_ever_refuted_in_less_than_5_percent(self, share: float) -> None:
        assert 0.005 < ever_refuted(share, 400) < 0.05

    def test_an_ordinary_test_that_is_looked_at_as_often_is_not_valid(self) -> None:
        chance = random.Random(1)
        found = 0
        rounds = 80
        for _ in range(rounds):
            wins = 0
            for flip in range(1, 101):
                wins += chance.random() < 0.5
                if flip % 10 == 0 and mcnemar_exact(flip - wins, wins) < 0.05:
                    found += 1
                    break
        assert found / rounds > 0.1

    def test_holds_for_cases_drawn_from_a_data_set_in_which_nobody_is_better(self) -> None:
        # Without replacement, to the end of the data set: 120 cases, 40 flips to either side
        chance = random.Random(3)
        found = 0
        rounds = 1500
        for _ in range(rounds):
            cases = [-1] * 40 + [1] * 40 + [0] * 40
            chance.shuffle(cases)
            only_a = only_b = 0
            for case in cases:
                only_a += case < 0
                only_b += case > 0
                if is_decided(only_a, only_b):
                    found += 1
                    break
        assert found / rounds < 0.05

    def test_has_power(self) -> None:
        # Of 300 flips that fall for B in 70%, nearly all sequences are decided, after 60 or so
        chance = random.Random(5)
        taken = []
        for _ in range(200):
            only_a = only_b = 0
            while not is_decided(only_a, only_b) and only_a + only_b < 300:
                if chance.random() < 0.7:
                    only_b += 1
                else:
                    only_a += 1
            taken.append(only_a + only_b)
        assert sum(number < 300 for number in taken) > 190
        assert 40 < sum(taken) / len(taken) < 80


class TestFigures:
    def test_evidence_of_a_streak_is_what_the_mixture_gives(self) -> None:
        # all coins alike give n flips to one side with 1 / (n + 1), the fair one with 2 ** -n
        for flips in range(12):
            assert math.exp(log_evidence(0, flips)) == pytest.approx(2**flips / (flips + 1))
        assert not is_decided(0, 7)
        assert is_decided(0, 8)
        assert is_decided(8, 0)

    @given(counts, counts)
    def test_interval_test_and_p_value_agree(self, only_a: int, only_b: int) -> None:
        found = always_valid_share(only_a, only_b)
        assert (0.5 not in found) == is_decided(only_a, only_b)
        assert is_decided(only_a, only_b) == (always_valid_p(only_a, only_b) <= 0.05)
        assert 0 <= found.low <= found.high <= 1
        if only_a + only_b:
            assert only_b / (only_a + only_b) in found

    @given(counts, counts)
    def test_is_the_same_for_both_sides(self, only_a: int, only_b: int) -> None:
        one, other = always_valid_share(only_a, only_b), always_valid_share(only_b, only_a)
        assert (one.low, one.high) == pytest.approx((1 - other.high, 1 - other.low), abs=1e-9)

    def test_of_nothing_is_all(self) -> None:
        assert (always_valid_p(0, 0), always_valid_share(0, 0).low) == (1.0, 0.0)


class TestReach:
    """Whether pairs that are left can decide it: against all that they can do."""

    def test_is_what_some_way_through_the_rest_finds(self) -> None:
        # every count up to 14, every rest up to 14: the next pair goes to A, to B or to neither
        @functools.cache
        def some_way(only_a: int, only_b: int, left: int) -> bool:
            if is_decided(only_a, only_b):
                return True
            return left > 0 and (
                some_way(only_a + 1, only_b, left - 1)
                or some_way(only_a, only_b + 1, left - 1)
                or some_way(only_a, only_b, left - 1)
            )

        found = set()
        for only_a, only_b, left in itertools.product(range(15), repeat=3):
            expected = some_way(only_a, only_b, left)
            assert can_be_decided(only_a, only_b, left, left) == expected
            found.add(expected)
        assert found == {True, False}

    def test_by_hand(self) -> None:
        # 14 to 4: 2 ** 18 / (19 * C(18, 4)) = 262144 / (19 * 3060) = 4.509, less than 20
        assert math.exp(log_evidence(14, 4)) == pytest.approx(262144 / 58140)
        assert not can_be_decided(4, 4, 10, 10)
        # 19 to 4: 2 ** 23 / (24 * C(23, 4)) = 8388608 / (24 * 8855) = 39.5; 17 to 4: 15.9
        assert can_be_decided(4, 4, 15, 15)
        assert not can_be_decided(4, 4, 13, 13)

    def test_pairs_that_only_one_side_may_still_have_count_for_that_side(self) -> None:
        assert can_be_decided(0, 0, 8, 0)
        assert can_be_decided(0, 0, 0, 8)
        assert not can_be_decided(0, 0, 7, 7)

    def test_a_decision_that_is_there_is_not_out_of_reach(self) -> None:
        assert can_be_decided(8, 0, 0, 0)

    def test_stopping_there_changes_no_decision_and_saves_some(self) -> None:
        # 400 data sets of 100 pairs each, from equal agents to very different ones
        chance = random.Random(11)
        decided = saved = 0
        for round_ in range(400):
            alone, share_b = 0.3, 0.5 + round_ / 1000
            pairs = [
                (-1 if chance.random() > share_b else 1) if chance.random() < alone else 0
                for _ in range(100)
            ]
            only_a = only_b = 0
            stopped_at = None
            for at, pair in enumerate(pairs, start=1):
                only_a += pair < 0
                only_b += pair > 0
                if is_decided(only_a, only_b):
                    decided += 1
                    assert stopped_at is None
                    break
                left = 100 - at
                if left and stopped_at is None and not can_be_decided(only_a, only_b, left, left):
                    stopped_at = at
                    saved += left
        assert decided > 50
        assert saved > 1000

    def test_eight_in_a_row_are_the_fewest_that_decide(self) -> None:
        assert fewest_flips() == 8
        assert fewest_flips(0.5) == 3  # 2 ** 3 / 4 is 2
