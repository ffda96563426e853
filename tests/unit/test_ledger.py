"""Calls and waits find their attempt while it is open."""

import pytest

from pacabench.ledger import Ledger
from pacabench.model import CaseKey, MeteredCall, new_attempt_id
from pacabench.testing import fake_call

KEY = CaseKey("a", "d", "c")


@pytest.fixture
def journal() -> list[MeteredCall]:
    return []


@pytest.fixture
def ledger(journal: list[MeteredCall]) -> Ledger:
    return Ledger([KEY], cost=lambda _: 0.5, journal=journal.append, listener=lambda _: None)


class TestCalls:
    def test_of_an_open_attempt_are_kept_for_it(
        self, ledger: Ledger, journal: list[MeteredCall]
    ) -> None:
        attempt = new_attempt_id(KEY)
        ledger.open(attempt)
        call = fake_call(attempt_id=attempt)
        ledger.take(call)
        assert ledger.calls_of(attempt) == (call,)
        ledger.close(attempt)
        assert ledger.calls_of(attempt) == ()
        assert [metered.key for metered in journal] == [KEY]

    def test_heard_of_late_they_are_in_the_books(
        self, ledger: Ledger, journal: list[MeteredCall]
    ) -> None:
        ledger.take(fake_call(attempt_id=new_attempt_id(KEY)))
        ledger.take(fake_call(attempt_id="of another run"))
        assert len(journal) == 1


class TestWaits:
    def test_unknown_is_not_zero(self, ledger: Ledger) -> None:
        assert ledger.waited_ms("a") is None
        ledger.open("a")
        assert ledger.waited_ms("a") is None
        ledger.take_wait("a", False, 0.0)
        assert ledger.waited_ms("a") == 0.0

    def test_whoever_follows_hears_each_change_once(self, ledger: Ledger) -> None:
        seen: list[bool] = []
        ledger.open("a")
        ledger.follow("a", seen.append)
        for waiting, total in ((True, 0.0), (True, 0.0), (False, 5.0), (False, 5.0)):
            ledger.take_wait("a", waiting, total)
        assert seen == [True, False]
        assert ledger.waited_ms("a") == 5.0

    def test_one_that_waits_already_is_told_so(self, ledger: Ledger) -> None:
        seen: list[bool] = []
        ledger.open("a")
        ledger.take_wait("a", True, 0.0)
        ledger.follow("a", seen.append)
        assert seen == [True]

    def test_of_an_attempt_that_is_over_nobody_hears(self, ledger: Ledger) -> None:
        ledger.open("a")
        ledger.close("a")
        ledger.take_wait("a", True, 1.0)
        assert ledger.waited_ms("a") is None
