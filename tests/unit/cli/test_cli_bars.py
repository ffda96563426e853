"""Frames of the live progress."""

import io
from collections.abc import Callable
from typing import Any

import pytest
from rich.console import Console

from pacabench.cli.bars import Frame, draw
from pacabench.cli.tally import Tally
from pacabench.events import (
    AttemptFinished,
    AttemptStarted,
    CallFinished,
    Paused,
    Preparing,
    Resumed,
    RunStarted,
    Stopping,
)
from pacabench.model import CaseKey, CaseResult, MeteredCall, Outcome, Usage

Result = Callable[..., CaseResult]
Key = Callable[..., CaseKey]


def shown(tally: Tally, *, width: int = 110, height: int = 30) -> str:
    console = Console(file=io.StringIO(), width=width, height=height, force_terminal=False)
    console.print(draw(tally, Frame(width, height)))
    text = console.file.getvalue()  # type: ignore[attr-defined] # it is the StringIO above
    assert isinstance(text, str)
    return text


@pytest.fixture
def tally(clock: Any, result: Result, key: Key, call: Callable[..., MeteredCall]) -> Tally:
    tally = Tally(clock=clock)
    tally.add(RunStarted("run-1", "process", {"a": 10}, ()))
    tally.add(AttemptStarted(key("c1"), 1))
    tally.add(AttemptStarted(key("slow"), 3))
    clock.now_s += 2
    tally.add(CallFinished(call(Usage(input_tokens=12_345, output_tokens=678), 0.0123)))
    tally.add(AttemptFinished(result(Outcome.PASSED), will_retry=False))
    return tally


def test_a_wide_screen_shows_every_figure(tally: Tally) -> None:
    text = shown(tally)
    for part in ("run-1", "process sandbox", "1/10", "12.3k/678", "$0.0123", "18s"):
        assert part in text
    assert "2.0s  a  d/slow, attempt 3" in text


@pytest.mark.parametrize("width", [20, 40, 71, 80, 95, 200])
def test_no_line_is_wider_than_the_screen(tally: Tally, width: int) -> None:
    assert all(len(line) <= width for line in shown(tally, width=width).splitlines())


def test_at_eighty_columns_the_counts_are_whole(tally: Tally) -> None:
    text = shown(tally, width=80)
    assert "1/10" in text
    assert "$0.0123" in text
    assert "12.3k" not in text
    assert "tokens" not in text


def test_the_scripted_provider_is_named_as_what_it_is(
    tally: Tally, call: Callable[..., MeteredCall]
) -> None:
    assert "scripted" not in shown(tally)
    tally.add(CallFinished(call(provider="scripted")))
    assert "scripted provider (no model answers)" in shown(tally)


def test_many_agents_and_cases_fit_on_the_screen(result: Result, key: Key, clock: Any) -> None:
    tally = Tally(clock=clock)
    tally.add(RunStarted("r", "docker", {f"agent-{n}": 2 for n in range(50)}, ()))
    for number in range(64):
        tally.add(AttemptStarted(key(f"c{number}"), 1))
    text = shown(tally, height=24)
    assert len(text.splitlines()) <= 24
    assert "more agents" in text
    assert "more running" in text


def test_agents_that_are_done_make_room(result: Result, clock: Any) -> None:
    tally = Tally(clock=clock)
    tally.add(RunStarted("r", "docker", {"first": 1, **{f"b{n}": 1 for n in range(50)}}, ()))
    assert "first" in shown(tally)
    tally.add(AttemptFinished(result(agent="first"), will_retry=False))
    assert "first" not in shown(tally)


def test_names_cannot_write_on_the_screen(key: Key, clock: Any) -> None:
    tally = Tally(clock=clock)
    tally.add(RunStarted("r", "docker", {"\x1b[31m[red]agent": 1}, ()))
    tally.add(AttemptStarted(key("\x1b]52;c;AAAA\x07\n[b]x" + "y" * 100_000), 1))
    text = shown(tally)
    assert "\x1b" not in text
    assert "\x07" not in text
    assert "[red]agent" in text
    assert len(text) < 4000


def test_stopping_shows(tally: Tally) -> None:
    tally.add(Stopping(30))
    assert "stopping" in shown(tally)


def test_before_the_first_case_it_says_what_is_prepared_and_for_how_long(clock: Any) -> None:
    tally = Tally(clock=clock)
    assert "reading the configuration" in shown(tally)
    tally.add(Preparing("building\x07 the image"))
    clock.now_s += 75
    assert shown(tally).strip() == r"1:15  building\x07 the image"


def test_a_pause_shows_in_the_headline_until_it_ends(tally: Tally) -> None:
    tally.add(Paused("provider p is down: 503", 600))
    assert "paused: provider p is down: 503" in shown(tally).splitlines()[0]
    tally.add(Resumed(3))
    assert "paused" not in shown(tally)
