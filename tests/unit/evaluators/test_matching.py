"""Patterns that were made to hang do not."""

import asyncio
import time
from pathlib import Path

import pytest

from pacabench.config.evaluators import EvaluatorConfig, NumericConfig, RegexConfig
from pacabench.config.patterns import compile_pattern
from pacabench.errors import EvaluatorError
from pacabench.evaluators import matching
from pacabench.evaluators.factory import make_evaluator
from pacabench.evaluators.matching import last_match
from pacabench.model import Case

BOMB = "(a|aa)+$"
FUSE = "a" * 60 + "b"
CASE = Case("d", "c", input="q", expected="5", where="d.jsonl:1")


class TestLastMatch:
    @pytest.mark.parametrize(
        ("pattern", "text", "found"),
        [
            ("[0-9]+", "1 22 333", "333"),
            ("n=([0-9]+)", "n=1 n=22 m=3", "22"),
            ("n=([0-9]+)?", "n=1 n=", "1"),
            ("([0-9])|x", "x", None),
            ("z", "abc", None),
            ("", "abc", ""),
        ],
    )
    def test_the_last_one_whose_group_took_part(
        self, pattern: str, text: str, found: str | None
    ) -> None:
        assert last_match(compile_pattern(pattern), text) == found

    @pytest.mark.parametrize(
        ("bomb", "text"),
        [(BOMB, FUSE), (r"\s+$", " " * 200_000 + "x")],
        ids=["nested", "quadratic"],
    )
    def test_a_search_that_does_not_end_is_stopped(
        self, bomb: str, text: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(matching, "TIMEOUT_S", 0.3)
        began = time.monotonic()
        with pytest.raises(EvaluatorError, match="was stopped; write it without nested"):
            last_match(compile_pattern(bomb), text)
        assert time.monotonic() - began < 20

    async def test_the_event_loop_goes_on_meanwhile(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(matching, "TIMEOUT_S", 1.0)
        evaluator = make_evaluator(RegexConfig(type="regex", pattern=BOMB), Path())
        task = asyncio.create_task(evaluator.evaluate(CASE, FUSE))
        ticks = 0
        while not task.done():
            await asyncio.sleep(0.01)
            ticks += 1
        with pytest.raises(EvaluatorError, match="ran for 1 s on a text of 61 characters"):
            await task
        assert ticks > 20

    async def test_numeric_is_stopped_too(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(matching, "TIMEOUT_S", 0.3)
        evaluator = make_evaluator(NumericConfig(type="numeric", extract=BOMB), Path())
        with pytest.raises(EvaluatorError, match="was stopped"):
            await evaluator.evaluate(CASE, FUSE)


class TestLongAnswers:
    @pytest.mark.parametrize(
        "config",
        [
            RegexConfig(type="regex", pattern="5"),
            NumericConfig(type="numeric"),
            NumericConfig(type="numeric", extract="([0-9])"),
        ],
        ids=["regex", "numeric", "numeric with a pattern"],
    )
    async def test_are_wrong_without_a_search(self, config: EvaluatorConfig) -> None:
        evaluator = make_evaluator(config, Path())
        padding = " " * (matching.MAX_CHARACTERS - 1)
        assert (await evaluator.evaluate(CASE, f"{padding}5")).passed
        evaluation = await evaluator.evaluate(CASE, f"{padding} 5")
        assert not evaluation.passed
        assert evaluation.details == {"reason": "longer than 1000000 characters"}


class TestPatterns:
    @pytest.mark.parametrize("pattern", ["(", "[", "*a", "(?P<x", "\\"])
    def test_what_is_no_pattern_says_where(self, pattern: str) -> None:
        with pytest.raises(ValueError, match=r"is no regular expression: .* at position"):
            compile_pattern(pattern)

    def test_one_of_endless_length_is_refused_before_it_is_compiled(self) -> None:
        with pytest.raises(ValueError, match="must not be longer than 10000 characters"):
            compile_pattern("a" * 10_001)

    def test_case_can_be_ignored(self) -> None:
        assert compile_pattern("a", ignore_case=True).search("A")
        assert not compile_pattern("a").search("A")
