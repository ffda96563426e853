"""When a run pauses, what it is told, and when it goes on."""

import pytest

from pacabench.breaker import Breaker, BreakerPolicy
from pacabench.model import CaseResult, Outcome
from pacabench.testing.records import fake_result

PROVIDER, SANDBOX = Outcome.PROVIDER_ERROR, Outcome.SANDBOX_ERROR


class Bench:
    """A breaker with a clock of its own, and all that it said."""

    def __init__(self, *, give_up_after_s: float = 100.0) -> None:
        self.now = 1000.0
        self.said: list[str] = []
        self.certain: list[Outcome] = []
        policy = BreakerPolicy(
            pile=3, trial_s=2.0, trial_cap_s=8.0, give_up_after_s=give_up_after_s
        )
        self.breaker = Breaker(
            policy,
            on_pause=lambda why: self.said.append(f"paused: {why}"),
            on_resume=lambda after_s: self.said.append(f"resumed: {after_s:g}"),
            clock=lambda: self.now,
        )
        self.breaker.on_certain = self.certain.append

    def end(self, *outcomes: Outcome, error: str = "boom") -> None:
        for outcome in outcomes:
            self.breaker.ended(fake_result(outcome=outcome, error=error))

    def trial(self, outcome: Outcome) -> CaseResult:
        result = fake_result(outcome=outcome, error="still")
        self.breaker.started(result.attempt_id)
        assert self.breaker.admits_in_s() is None
        self.breaker.ended(result)
        return result


@pytest.fixture
def bench() -> Bench:
    return Bench()


class TestPiles:
    def test_failures_with_others_in_between_are_no_pile(self, bench: Bench) -> None:
        for _ in range(5):
            bench.end(SANDBOX, SANDBOX, Outcome.FAILED)
        assert bench.breaker.admits_in_s() == 0
        assert bench.said == []

    def test_a_row_of_one_kind_pauses_and_says_why(self, bench: Bench) -> None:
        bench.end(SANDBOX, SANDBOX, SANDBOX, error="the engine hiccups")
        assert bench.said == [
            "paused: 3 attempts in a row ended as sandbox_error, the last with: the engine hiccups"
        ]
        assert bench.breaker.admits_in_s() == 2.0

    def test_cancelled_attempts_say_nothing(self, bench: Bench) -> None:
        bench.end(*[Outcome.CANCELLED] * 10)
        assert not bench.breaker.paused

    def test_one_trial_at_a_time_ever_more_slowly(self, bench: Bench) -> None:
        bench.end(SANDBOX, SANDBOX, SANDBOX)
        waits = []
        for _ in range(4):
            bench.now += bench.breaker.admits_in_s() or 0
            bench.trial(SANDBOX)
            waits.append(bench.breaker.admits_in_s())
        assert waits == [4.0, 8.0, 8.0, 8.0]
        assert len(bench.said) == 1

    def test_a_trial_that_ends_as_attempts_should_ends_the_pause(self, bench: Bench) -> None:
        bench.end(SANDBOX, SANDBOX, SANDBOX)
        bench.now += 2
        bench.trial(Outcome.FAILED)
        assert bench.said[1:] == ["resumed: 2"]
        assert bench.breaker.admits_in_s() == 0
        bench.end(SANDBOX, SANDBOX)
        assert not bench.breaker.paused

    def test_so_does_one_that_ran_already(self, bench: Bench) -> None:
        bench.end(SANDBOX, SANDBOX, SANDBOX, Outcome.PASSED)
        assert not bench.breaker.paused

    def test_only_a_failed_trial_makes_it_certain(self, bench: Bench) -> None:
        bench.end(SANDBOX, SANDBOX, SANDBOX, SANDBOX)
        assert not bench.breaker.explains(SANDBOX, 0.0)
        bench.trial(SANDBOX)
        assert bench.certain == [SANDBOX]
        assert bench.breaker.explains(SANDBOX, bench.now)
        assert not bench.breaker.explains(PROVIDER, 0.0)

    def test_what_began_before_its_end_is_explained_by_it(self, bench: Bench) -> None:
        bench.end(SANDBOX, SANDBOX, SANDBOX)
        bench.trial(SANDBOX)
        bench.now += 10
        bench.trial(Outcome.PASSED)
        assert bench.breaker.explains(SANDBOX, bench.now - 1)
        assert not bench.breaker.explains(SANDBOX, bench.now + 1)


class TestProviders:
    def test_nothing_starts_until_the_proxy_says_so(self, bench: Bench) -> None:
        bench.breaker.provider("openai", "down", "HTTP status 503")
        assert bench.said == ["paused: provider openai is down: HTTP status 503"]
        assert bench.certain == [PROVIDER]
        bench.now += 50
        assert bench.breaker.admits_in_s() is None
        bench.breaker.provider("openai", "trying", "")
        assert bench.breaker.admits_in_s() == 0
        bench.trial(PROVIDER)
        bench.breaker.provider("openai", "down", "again")
        assert bench.breaker.admits_in_s() is None
        bench.breaker.provider("openai", "up", "")
        assert bench.breaker.admits_in_s() == 0
        assert bench.said[1:] == ["resumed: 50"]

    def test_its_failures_make_no_pile_besides(self, bench: Bench) -> None:
        bench.breaker.provider("openai", "down", "x")
        bench.end(PROVIDER, PROVIDER, PROVIDER, PROVIDER)
        assert len(bench.said) == 1
        bench.breaker.provider("openai", "trying", "")
        assert bench.breaker.admits_in_s() == 0
        bench.breaker.provider("openai", "up", "")
        assert not bench.breaker.paused

    def test_a_pile_that_was_there_before_goes_with_it(self, bench: Bench) -> None:
        bench.end(PROVIDER, PROVIDER, PROVIDER)
        bench.breaker.provider("openai", "down", "x")
        bench.breaker.provider("openai", "up", "")
        assert not bench.breaker.paused

    def test_another_one_that_is_down_keeps_it_paused(self, bench: Bench) -> None:
        bench.breaker.provider("a", "down", "x")
        bench.breaker.provider("b", "down", "y")
        bench.breaker.provider("a", "up", "")
        assert bench.breaker.admits_in_s() is None
        assert len(bench.said) == 2

    def test_one_that_is_up_as_always_is_no_news(self, bench: Bench) -> None:
        bench.breaker.provider("a", "up", "")
        bench.breaker.provider("a", "trying", "")
        assert bench.said == []

    def test_an_agent_that_needs_no_provider_ends_no_outage(self, bench: Bench) -> None:
        bench.breaker.provider("a", "down", "x")
        bench.end(Outcome.PASSED)
        assert bench.breaker.paused


class TestGivingUp:
    def test_after_a_while_and_with_the_reason(self) -> None:
        bench = Bench(give_up_after_s=10)
        assert bench.breaker.gives_up_in_s() is None
        bench.breaker.provider("a", "down", "x")
        bench.now += 9
        bench.breaker.check()
        assert bench.breaker.gave_up is None
        bench.now += 1
        bench.breaker.check()
        assert bench.breaker.gave_up == "gave up waiting: provider a is down: x"
        assert bench.breaker.over.is_set()
        assert bench.breaker.admits_in_s() is None

    def test_a_pause_that_ended_does_not_count(self) -> None:
        bench = Bench(give_up_after_s=10)
        bench.breaker.provider("a", "down", "x")
        bench.now += 9
        bench.breaker.provider("a", "up", "")
        bench.breaker.provider("a", "down", "x")
        assert bench.breaker.gives_up_in_s() == 10
