"""Calls and waits find their attempt while it is open."""

import pytest

from pacabench.figures import figures_of
from pacabench.ledger import Ledger
from pacabench.model import CaseKey, MeteredCall, Usage, new_attempt_id
from pacabench.proxy.excerpt import CallText
from pacabench.testing import fake_call
from pacabench.testing.records import fake_metered, fake_result

KEY = CaseKey("a", "d", "c")


@pytest.fixture
def journal() -> list[MeteredCall]:
    return []


@pytest.fixture
def ledger(journal: list[MeteredCall]) -> Ledger:
    return Ledger(cost=lambda _: 0.5, journal=journal.append, listener=lambda _: None)


class TestCalls:
    def test_of_an_open_attempt_are_kept_for_it(
        self, ledger: Ledger, journal: list[MeteredCall]
    ) -> None:
        attempt = new_attempt_id(KEY)
        ledger.open(attempt, KEY)
        call = fake_call(attempt_id=attempt)
        ledger.take(call)
        assert ledger.calls_of(attempt) == (call,)
        ledger.close(attempt)
        assert ledger.calls_of(attempt) == ()
        assert [metered.key for metered in journal] == [KEY]

    def test_heard_of_late_they_are_in_the_books(
        self, ledger: Ledger, journal: list[MeteredCall]
    ) -> None:
        attempt = new_attempt_id(KEY)
        ledger.open(attempt, KEY)
        ledger.close(attempt)
        ledger.take(fake_call(attempt_id=attempt))
        ledger.take(fake_call(attempt_id="of another run"))
        assert len(journal) == 1
        assert ledger.usage["a", "d"].calls == 1

    def test_of_earlier_sessions_are_added_to(self, ledger: Ledger) -> None:
        earlier = fake_metered(fake_result(KEY))
        ledger.recall(figures_of([earlier, earlier]))
        attempt = new_attempt_id(KEY)
        ledger.open(attempt, KEY)
        ledger.take(fake_call(attempt_id=attempt))
        figures = ledger.usage["a", "d"]
        assert (figures.calls, figures.cost_usd) == (3, 0.502)


class TestWaits:
    def test_unknown_is_not_zero(self, ledger: Ledger) -> None:
        assert ledger.waited_ms("a") is None
        ledger.open("a", KEY)
        assert ledger.waited_ms("a") is None
        ledger.take_wait("a", False, 0.0)
        assert ledger.waited_ms("a") == 0.0

    def test_whoever_follows_hears_each_change_once(self, ledger: Ledger) -> None:
        seen: list[bool] = []
        ledger.open("a", KEY)
        ledger.follow("a", seen.append)
        for waiting, total in ((True, 0.0), (True, 0.0), (False, 5.0), (False, 5.0)):
            ledger.take_wait("a", waiting, total)
        assert seen == [True, False]
        assert ledger.waited_ms("a") == 5.0

    def test_one_that_waits_already_is_told_so(self, ledger: Ledger) -> None:
        seen: list[bool] = []
        ledger.open("a", KEY)
        ledger.take_wait("a", True, 0.0)
        ledger.follow("a", seen.append)
        assert seen == [True]

    def test_of_an_attempt_that_is_over_nobody_hears(self, ledger: Ledger) -> None:
        ledger.open("a", KEY)
        ledger.close("a")
        ledger.take_wait("a", True, 1.0)
        assert ledger.waited_ms("a") is None


class TestEstimates:
    def test_what_nobody_told_is_counted_before_it_is_journalled(
        self, ledger: Ledger, journal: list[MeteredCall]
    ) -> None:
        attempt = new_attempt_id(KEY)
        ledger.open(attempt, KEY)
        ledger.take_text(CallText("call-7", "What is six times seven?", 24, "forty two", 9))
        ledger.take(fake_call(call_id="call-7", attempt_id=attempt, usage=None))
        [metered] = journal
        assert metered.call.usage == Usage(input_tokens=6, output_tokens=3)
        assert ledger.calls_of(attempt) == (metered.call,)

    def test_the_text_is_kept_for_its_call_alone_and_no_longer(
        self, ledger: Ledger, journal: list[MeteredCall]
    ) -> None:
        ledger.take_text(CallText("call-7", "six", 3, "two", 3))
        for call_id in ("call-8", "call-7", "call-7"):
            attempt = new_attempt_id(KEY)
            ledger.open(attempt, KEY)
            ledger.take(fake_call(call_id=call_id, attempt_id=attempt, usage=None))
        assert [metered.call.estimated for metered in journal] == [False, True, False]
