"""What a soak plans: nothing is left out, what was missed comes again, and the order works."""

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faults.deck import Deck
from faults.episode import Ended
from faults.kills import ALL_BUT_ENGINE, STEPS_OF, Hit, Kill, Victim, read_kill
from faults.order import arrange
from faults.report import Tally
from faults.steps import ATTEMPT, CLOSING, OPENING, RECOVERY, Step

ALL = (*ALL_BUT_ENGINE, Victim.ENGINE)
PAIRS = {(victim, step) for victim in ALL for step in STEPS_OF[victim]}
ENOUGH = 16
"""Episodes of twelve kills: about as many as a soak of 200 kills has."""


def dealt(deck: Deck, number: int) -> list[Kill]:
    """What episode ``number`` gets, one in three on an engine of its own."""
    alone = number % 3 == 1
    return deck.deal(ALL if alone else ALL_BUT_ENGINE, 12, alone=alone)


class TestDeck:
    @given(st.integers())
    def test_a_soak_of_200_kills_has_each_victim_at_each_step(self, seed: int) -> None:
        deck, seen = Deck(random.Random(seed), ALL), set()
        for number in range(ENOUGH + 2):
            kills = dealt(deck, number)
            seen |= {(kill.victim, kill.step) for kill in kills}
        assert seen - {(victim, None) for victim in ALL} == PAIRS

    def test_what_was_missed_is_dealt_again_before_anything_else(self) -> None:
        deck = Deck(random.Random(1), ALL)
        missed = dealt(deck, 0)
        deck.take_back(missed, [])
        again = dealt(deck, 3)
        assert {(kill.victim, kill.step) for kill in again} == {
            (kill.victim, kill.step) for kill in missed
        }

    def test_what_is_missed_again_and_again_is_given_up(self) -> None:
        deck = Deck(random.Random(1), [Victim.AGENT])
        never = Step.SENT
        tries = Counter[Step | None]()
        for _ in range(60):
            kills = deck.deal([Victim.AGENT], 5, alone=False)
            tries.update(kill.step for kill in kills)
            done = [Hit(kill, 0) for kill in kills if kill.step is not never]
            deck.take_back([kill for kill in kills if kill.step is never], done)
        assert deck.outstanding == set()  # it is waited for no longer
        assert 6 <= tries[never] < tries[Step.BOUND] + 10

    def test_a_step_is_outstanding_until_somebody_was_killed_at_it(self) -> None:
        deck = Deck(random.Random(1), ALL)
        assert deck.outstanding == set(Step)
        deck.take_back([], [Hit(Kill(Victim.AGENT, Step.SENT), 0)])
        assert deck.outstanding == set(Step) - {Step.SENT}

    @given(st.integers())
    def test_only_who_is_alone_on_an_engine_recovers_for_sure(self, seed: int) -> None:
        deck = Deck(random.Random(seed), ALL)
        kills = deck.deal(ALL_BUT_ENGINE, 40, alone=False)
        assert not {kill.step for kill in kills} & RECOVERY
        assert {kill.step for kill in dealt(deck, 1)} >= RECOVERY

    @given(st.integers())
    def test_a_sidecar_does_not_die_too_often_in_a_run(self, seed: int) -> None:
        deck = Deck(random.Random(seed), ALL)
        for number in range(ENOUGH):
            victims = [kill.victim for kill in dealt(deck, number)]
            assert victims.count(Victim.SIDECAR) <= 2


KILLS = st.sampled_from(sorted(PAIRS)).map(lambda pair: Kill(*pair))


class TestOrder:
    @given(st.lists(KILLS, max_size=14), st.integers())
    def test_nothing_is_lost_and_little_added(self, kills: list[Kill], seed: int) -> None:
        ordered = Counter(arrange(random.Random(seed), kills))
        more = ordered - Counter(kills)
        assert Counter(kills) - ordered == Counter()
        assert more.total() <= 1 + kills.count(Kill(Victim.ENGINE, Step.SPOOL_FOUND))
        assert all(kill.victim is Victim.HARNESS for kill in more)

    @given(st.lists(KILLS, max_size=14), st.integers())
    def test_the_first_steps_of_a_session_come_first_in_one(
        self, kills: list[Kill], seed: int
    ) -> None:
        sessions: list[list[Kill]] = [[]]
        for kill in arrange(random.Random(seed), kills):
            sessions[-1].append(kill)
            if kill.victim is Victim.HARNESS:
                sessions.append([])
        for session in sessions:
            steps = [kill.step for kill in session]
            opening = [step for step in steps if step in OPENING]
            assert steps[: len(opening)] == opening == sorted(opening, key=list(Step).index)

    @given(st.lists(KILLS, max_size=14), st.integers())
    def test_recovery_follows_what_leaves_something(self, kills: list[Kill], seed: int) -> None:
        last = Kill(Victim.HARNESS, None)
        for kill in arrange(random.Random(seed), kills):
            if kill.step in RECOVERY:
                assert last.step in {*ATTEMPT, *OPENING}
                assert last.victim is Victim.HARNESS
            last = kill

    @given(st.lists(KILLS, max_size=14), st.integers())
    def test_the_last_steps_come_last(self, kills: list[Kill], seed: int) -> None:
        steps = [kill.step for kill in arrange(random.Random(seed), kills)]
        closing = [step for step in steps if step in CLOSING]
        assert steps[len(steps) - len(closing) :] == closing


class TestTally:
    def ended(self, done: list[Hit], missed: list[Kill]) -> Ended:
        return Ended("some", 4, "docker", done=done, missed=missed)

    def test_it_says_planned_hit_and_calls_for_each_pair(self) -> None:
        sent = Kill(Victim.AGENT, Step.SENT)
        tally = Tally([self.ended([Hit(sent, 2), Hit(sent, 1)], [sent])], ALL)
        row = next(row for row in tally.rows() if row[0] == Step.SENT)
        assert row == ["case sent", "", "", "", "2/3 (3)", "", "2/3 (3)"]
        assert tally.rows()[-1] == ["all", "", "", "", "2/3 (3)", "", "2/3 (3)"]
        assert tally.with_calls == 2

    def test_a_step_that_was_planned_and_not_hit_is_said(self) -> None:
        hits = [Hit(Kill(victim, step), 0) for victim, step in PAIRS if step is not Step.SENT]
        tally = Tally([self.ended(hits, [Kill(Victim.AGENT, Step.SENT)])], ALL)
        assert tally.never == [Step.SENT]
        assert "agent at 'case sent'" in tally.pairs_never

    def test_what_no_wanted_victim_can_be_killed_at_is_not_missing(self) -> None:
        assert Step.SESSION_ENDED not in Tally([], [Victim.AGENT]).never
        assert Step.SENT in Tally([], [Victim.AGENT]).never


@pytest.mark.parametrize("step", [Step.SENT, None])
def test_a_plan_is_read_as_it_was_written(step: Step | None) -> None:
    kill = Kill(Victim.ENGINE, step, nth=2, delay_s=1.5, away_s=0.5)
    written = {"victim": "dockerd", "step": step, "nth": 2, "delay_s": 1.5, "away_s": 0.5}
    assert read_kill(written) == kill
