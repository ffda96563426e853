"""Counting a run from its events."""

from collections.abc import Callable
from dataclasses import replace
from io import StringIO
from typing import Any

from rich.console import Console

from pacabench.amounts import PICO, Amount, Ceiling
from pacabench.cli.bars import Frame, draw
from pacabench.cli.lines import heartbeat_line
from pacabench.cli.tally import Tally
from pacabench.config.budget import Limits
from pacabench.events import AttemptFinished, AttemptStarted, CallFinished, RunStarted, Stopping
from pacabench.figures import CallFigures
from pacabench.model import CaseKey, CaseResult, MeteredCall, Outcome, Usage

Result = Callable[..., CaseResult]
Call = Callable[..., MeteredCall]
Key = Callable[..., CaseKey]


def started(planned: dict[str, int], *decided: CaseResult) -> RunStarted:
    return RunStarted("run-1", "process", planned, decided)


class TestCounts:
    def test_failures_of_the_agent_and_of_the_infrastructure_are_told_apart(
        self, result: Result
    ) -> None:
        tally = Tally()
        tally.add(started({"a": 4}))
        for index, outcome in enumerate(
            (Outcome.PASSED, Outcome.FAILED, Outcome.TIMEOUT, Outcome.SANDBOX_ERROR)
        ):
            tally.add(AttemptFinished(result(outcome, f"c{index}"), will_retry=False))
        agent = tally.agents["a"]
        assert (agent.passed, agent.failed, agent.infrastructure) == (1, 2, 1)
        assert tally.decided == tally.planned == 4

    def test_an_attempt_that_is_tried_again_decides_nothing(self, result: Result, key: Key) -> None:
        tally = Tally()
        tally.add(started({"a": 1}))
        tally.add(AttemptStarted(key(), 1))
        tally.add(AttemptFinished(result(Outcome.PROVIDER_ERROR), will_retry=True))
        assert tally.decided == 0
        assert not tally.running
        tally.add(AttemptStarted(key(), 2))
        tally.add(AttemptFinished(result(Outcome.PASSED, number=2), will_retry=False))
        assert tally.agents["a"].passed == 1

    def test_a_case_that_is_run_again_is_not_counted_twice(self, result: Result, key: Key) -> None:
        tally = Tally()
        tally.add(started({"a": 2}, result(Outcome.FAILED), result(case_id="c2")))
        assert tally.decided == 2
        tally.add(AttemptStarted(key(), 2))
        assert tally.decided == 1
        tally.add(AttemptFinished(result(number=2), will_retry=False))
        assert (tally.agents["a"].passed, tally.agents["a"].failed) == (2, 0)

    def test_results_and_calls_of_earlier_sessions_count(self, result: Result, call: Call) -> None:
        tally = Tally()
        earlier = CallFigures()
        earlier.add(call(Usage(input_tokens=5, output_tokens=2), 0.5))
        tally.add(RunStarted("r", "docker", {"a": 3}, (result(),), earlier_calls={"a": earlier}))
        agent = tally.agents["a"]
        assert (agent.passed, agent.usage.calls, agent.usage.cost_usd) == (1, 1, 0.5)
        assert agent.done_now == 0

    def test_calls_are_counted_as_the_summary_counts_them(self, call: Call) -> None:
        tally = Tally()
        usage = Usage(input_tokens=10, cached_tokens=90, output_tokens=7)
        tally.add(CallFinished(call(usage, 0.01)))
        tally.add(CallFinished(call(end="denied")))
        agent = tally.agents["a"]
        assert (agent.usage.calls, agent.usage.denied_calls) == (1, 1)
        assert (agent.usage.input_tokens, agent.usage.output_tokens) == (100, 7)

    def test_the_scripted_provider_is_noticed(self, call: Call) -> None:
        tally = Tally()
        tally.add(CallFinished(call()))
        assert not tally.scripted
        tally.add(CallFinished(call(provider="scripted")))
        assert tally.scripted

    def test_an_agent_that_nobody_announced_is_counted_too(self, result: Result) -> None:
        tally = Tally()
        tally.add(AttemptFinished(result(agent="new"), will_retry=False))
        assert tally.agents["new"].passed == 1


class TestTime:
    def test_the_eta_follows_the_pace_of_this_session_only(
        self, result: Result, key: Key, clock: Any
    ) -> None:
        tally = Tally(clock=clock)
        tally.add(started({"a": 10}, *(result(case_id=f"old{n}") for n in range(4))))
        tally.add(AttemptStarted(key("c1"), 1))
        assert tally.agents["a"].eta_s(clock()) is None
        clock.now_s += 3.0
        tally.add(AttemptFinished(result(), will_retry=False))
        assert tally.agents["a"].eta_s(clock()) == 5 * 3.0

    def test_the_attempt_that_runs_longest_stands_first(self, key: Key, clock: Any) -> None:
        tally = Tally(clock=clock)
        for name in ("z", "a"):
            tally.add(AttemptStarted(key(name), 1))
            clock.now_s += 1
        assert [run.key.case_id for run in tally.longest_running()] == ["z", "a"]

    def test_nothing_has_elapsed_before_the_start(self, clock: Any) -> None:
        tally = Tally(clock=clock)
        clock.now_s += 60
        assert tally.elapsed_s == 0.0

    def test_stopping_is_remembered(self) -> None:
        tally = Tally()
        tally.add(Stopping(30))
        assert tally.stopping


class TestBudget:
    def test_an_attempt_that_a_budget_cut_short_decides_nothing(
        self, result: Result, key: Key
    ) -> None:
        tally = Tally()
        tally.add(started({"a": 2}, result(Outcome.FAILED)))
        cut = replace(result(Outcome.BUDGET_EXCEEDED, number=2), budget="run")
        tally.add(AttemptStarted(key(), 2))
        assert tally.decided == 0
        tally.add(AttemptFinished(cut, will_retry=False))
        assert (tally.decided, tally.agents["a"].failed) == (1, 1)
        assert not tally.running

    def test_what_is_spent_stands_in_the_bars_and_the_sign_of_life(self, call: Call) -> None:
        tally = Tally()
        budget = Ceiling.of(Limits(usd=2, calls=9))
        earlier = Amount(calls=1, pico=PICO // 2)
        tally.add(RunStarted("r", "docker", {"a": 3}, (), budget=budget, spent=earlier))
        tally.add(CallFinished(call(Usage(input_tokens=5, output_tokens=2), 0.25)))
        assert "$0.75 of $2.00, 2 of 9 calls" in heartbeat_line(tally)
        console = Console(width=120, record=True, file=StringIO())
        console.print(draw(tally, Frame(width=120, height=24)))
        assert "$0.75 of $2.00  2 of 9 calls" in console.export_text()
