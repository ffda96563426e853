"""Progress as plain lines."""

from collections.abc import Callable
from typing import Any

from pacabench.cli.lines import event_line, heartbeat_line
from pacabench.cli.tally import Tally
from pacabench.events import (
    AttemptFinished,
    AttemptStarted,
    CallFinished,
    Event,
    Notice,
    Paused,
    Preparing,
    Resumed,
    RunStarted,
    Stopping,
)
from pacabench.model import CaseKey, CaseResult, MeteredCall, Outcome

Result = Callable[..., CaseResult]
Key = Callable[..., CaseKey]


def said(tally: Tally, event: Event) -> str | None:
    tally.add(event)
    return event_line(event, tally)


def test_the_start_says_what_is_planned_and_what_stands(result: Result) -> None:
    event = RunStarted("run-1", "docker", {"a": 5, "b": 5}, (result(),))
    assert said(Tally(), event) == (
        "run run-1: 10 cases, 2 agents, docker sandbox; 1 decided before"
    )


def test_a_finished_case_says_where_the_run_stands(result: Result) -> None:
    tally = Tally()
    said(tally, RunStarted("r", "docker", {"a": 10}, ()))
    line = said(tally, AttemptFinished(result(Outcome.FAILED), will_retry=False))
    assert line == "[ 1/10] failed          a d/c1  1.2s"


def test_an_error_and_another_try_are_named(result: Result) -> None:
    tally = Tally()
    said(tally, RunStarted("r", "docker", {"a": 1}, ()))
    finished = result(Outcome.PROVIDER_ERROR, number=2, error="HTTP 503")
    line = said(tally, AttemptFinished(finished, will_retry=True)) or ""
    assert line.endswith("attempt 2  will be tried again  HTTP 503")


def test_what_an_agent_chose_cannot_move_the_cursor_or_fill_the_screen(result: Result) -> None:
    error = "\x1b]0;owned\x07\r\n" + "x" * 100_000
    finished = result(Outcome.AGENT_ERROR, "\x1b[2J", error=error)
    line = said(Tally(), AttemptFinished(finished, will_retry=False)) or ""
    assert line.isprintable()
    assert len(line) < 500


def test_stopping_says_how_long_and_what_comes_next(key: Key) -> None:
    tally = Tally()
    assert said(tally, Stopping(30)) == "stopping; press Ctrl-C again to stop now"
    tally.add(AttemptStarted(key("c1"), 1))
    assert said(tally, Stopping(30)) == (
        "finishing 1 running case (up to 30 s); press Ctrl-C again to stop now"
    )
    tally.add(AttemptStarted(key("c2"), 1))
    assert "finishing 2 running cases" in (said(tally, Stopping(30)) or "")


def test_notices_and_preparations(call: Callable[..., MeteredCall], key: Key) -> None:
    tally = Tally()
    assert said(tally, Preparing("building an image")) == "preparing: building an image"
    assert said(tally, Notice("warning", "odd")) == "warning: odd"
    assert said(tally, Notice("info", "so it is")) == "so it is"
    assert said(tally, CallFinished(call())) is None
    assert said(tally, AttemptStarted(key(), 1)) is None


def test_the_heartbeat_names_the_case_that_runs_longest(
    result: Result, key: Key, clock: Any
) -> None:
    tally = Tally(clock=clock)
    said(tally, RunStarted("r", "docker", {"a": 3}, ()))
    assert heartbeat_line(tally) == "0/3 cases done, 0 running"
    tally.add(AttemptStarted(key("c1"), 1))
    tally.add(AttemptStarted(key("c2"), 1))
    clock.now_s += 90
    tally.add(AttemptFinished(result(), will_retry=False))
    assert heartbeat_line(tally) == (
        "1/3 cases done, 1 running, the longest for 1:30 (a d/c2), about 3:00 left"
    )


class TestPauses:
    def test_say_why_and_what_goes_on(self, key: Callable[..., CaseKey]) -> None:
        tally = Tally()
        tally.add(AttemptStarted(key("c1"), 1))
        event = Paused("provider p is down: \x1b[2J503", 600)
        tally.add(event)
        line = event_line(event, tally)
        assert line == (
            "paused: provider p is down: \\x1b[2J503; 1 running; trying again by itself, "
            "for 10:00 at most (Ctrl-C stops)"
        )
        assert "paused: provider p is down" in heartbeat_line(tally)

    def test_and_their_end_says_how_long_they_took(self) -> None:
        tally = Tally()
        tally.add(Paused("x", 600))
        tally.add(Resumed(41))
        assert event_line(Resumed(41), tally) == "going on after a pause of 41.0s"
        assert tally.paused is None
        assert "paused" not in heartbeat_line(tally)
