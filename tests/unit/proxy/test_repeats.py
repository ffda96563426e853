"""Repetitions of SDKs, told from new questions."""

import pytest

from pacabench.proxy import repeats as module
from pacabench.proxy.repeats import Repeats


class TestRepeats:
    def test_the_same_request_after_a_success_is_a_new_question(self) -> None:
        repeats = Repeats()
        assert repeats.original("a", "d", {}) is None
        repeats.ended("d", well=True)
        assert repeats.original("b", "d", {}) is None

    def test_the_same_request_after_a_failure_repeats_it(self) -> None:
        repeats = Repeats()
        repeats.original("a", "d", {})
        repeats.ended("d", well=False)
        assert repeats.original("b", "d", {}) == "a"
        repeats.ended("d", well=False)
        assert repeats.original("c", "d", {}) == "a"
        repeats.ended("d", well=True)
        assert repeats.original("e", "d", {}) is None

    def test_an_sdk_says_so_while_the_first_one_is_still_under_way(self) -> None:
        repeats = Repeats()
        repeats.original("a", "d", {"x-stainless-retry-count": "0"})
        assert repeats.original("b", "d", {"x-stainless-retry-count": "1"}) == "a"
        assert repeats.original("c", "other", {"x-stainless-retry-count": "1"}) is None

    def test_an_idempotency_key_tells_although_the_request_differs(self) -> None:
        repeats = Repeats()
        repeats.original("a", "d", {"Idempotency-Key": "k"})
        assert repeats.original("b", "e", {"Idempotency-Key": "k"}) == "a"
        assert repeats.original("c", "e", {"Idempotency-Key": "other"}) is None

    def test_memory_is_bounded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "MAX_KEPT", 3)
        repeats = Repeats()
        for number in range(10):
            repeats.original(f"c{number}", f"d{number}", {"Idempotency-Key": f"k{number}"})
            repeats.ended(f"d{number}", well=False)
        assert len(repeats._by_request) == len(repeats._by_key) == len(repeats._failed) == 3
