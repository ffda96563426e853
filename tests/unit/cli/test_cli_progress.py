"""Progress on screens of every kind, those that go away included."""

import asyncio
import contextlib
import io
import os
import select
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO

import pytest
from rich.console import Console

from pacabench.cli.json_logs import JsonView
from pacabench.cli.logs import configure_logs
from pacabench.cli.options import LogFormat
from pacabench.cli.progress import STOPPING_NOW, Progress, choose_view, open_progress
from pacabench.cli.tally import Tally
from pacabench.cli.views import (
    HEARTBEAT_S,
    LineView,
    LiveView,
    QuietView,
    View,
)
from pacabench.events import AttemptFinished, AttemptStarted, Notice, RunStarted, Stopping
from pacabench.model import CaseKey, CaseResult, Outcome

Result = Callable[..., CaseResult]
Key = Callable[..., CaseKey]
STARTED = RunStarted("run-1", "process", {"a": 2}, ())


class Recorder:
    """A view that remembers, and fails when told to."""

    def __init__(self) -> None:
        self.acts: list[str] = []
        self.error: Exception | None = None

    def _act(self, name: str) -> None:
        self.acts.append(name)
        if self.error:
            raise self.error

    def show(self, event: object) -> None:
        self._act(type(event).__name__)

    def say(self, text: str) -> None:
        self._act(text)

    def tick(self) -> None:
        self._act("tick")

    def close(self) -> None:
        self._act("close")


@contextlib.contextmanager
def stderr_as(stream: TextIO) -> Iterator[None]:
    """In the test itself: between fixtures and test pytest sets ``sys.stderr`` again."""
    try:
        with contextlib.redirect_stderr(stream):
            yield
    finally:
        with contextlib.suppress(OSError):
            stream.close()


@contextlib.contextmanager
def terminal(term: str = "xterm-256color") -> Iterator[int]:
    """Makes stderr a terminal; gives the end that reads what is written to it."""
    leader, follower = os.openpty()
    before = os.environ.get("TERM")
    os.environ["TERM"] = term
    try:
        with stderr_as(os.fdopen(follower, "w", encoding="utf-8")):
            yield leader
    finally:
        os.environ.pop("TERM")
        if before is not None:
            os.environ["TERM"] = before
        with contextlib.suppress(OSError):
            os.close(leader)


def read_all(leader: int) -> str:
    """What has been written to the terminal so far."""
    parts = []
    while select.select([leader], [], [], 0.2)[0]:
        parts.append(os.read(leader, 4096))
    return b"".join(parts).decode()


def chosen(**changes: Any) -> View:
    return choose_view(Tally(), **{"quiet": False, "log_format": LogFormat.TEXT, **changes})


class TestChoice:
    def test_a_terminal_gets_bars(self) -> None:
        with terminal():
            view = chosen()
            view.close()
        assert isinstance(view, LiveView)

    def test_a_dumb_terminal_gets_lines(self) -> None:
        with terminal("dumb"):
            assert isinstance(chosen(), LineView)

    def test_a_pipe_gets_lines_even_where_colours_are_forced(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("FORCE_COLOR", "1")
        assert isinstance(chosen(), LineView)

    def test_json_and_quiet_win_over_the_terminal(self) -> None:
        with terminal():
            assert isinstance(chosen(log_format=LogFormat.JSON, quiet=True), JsonView)
            assert isinstance(chosen(quiet=True), QuietView)


class TestScreenThatGoesAway:
    @pytest.mark.parametrize("error", [BrokenPipeError(), OSError(5, "EIO"), ValueError("closed")])
    def test_the_run_goes_on_unseen(self, error: Exception, result: Result) -> None:
        view = Recorder()
        progress = Progress(view, Tally())
        progress(STARTED)
        view.error = error
        progress.tick()
        progress(AttemptFinished(result(), will_retry=False))
        progress.close()
        assert view.acts == ["RunStarted", "tick", "close"]
        assert progress.tally.decided == 1

    def test_a_terminal_that_is_closed(self) -> None:
        tally = Tally()
        with terminal() as leader:
            before = sys.stderr
            view = choose_view(tally, quiet=False, log_format=LogFormat.TEXT)
            progress = Progress(view, tally)
            progress(STARTED)
            os.close(leader)
            for _ in range(3):
                progress.tick()
            progress.close()
            assert sys.stderr is before
        assert tally.run_id == "run-1"

    def test_a_pipe_whose_reader_left(self) -> None:
        reader, writer = os.pipe()
        os.close(reader)
        tally = Tally()
        with stderr_as(os.fdopen(writer, "w")):
            view = choose_view(tally, quiet=False, log_format=LogFormat.TEXT)
            progress = Progress(view, tally)
            progress(STARTED)
            progress(Notice("info", "more"))
        assert tally.run_id == "run-1"


class TestSignals:
    def test_the_first_one_is_announced_by_the_run_when_it_has_begun(self) -> None:
        view = Recorder()
        progress = Progress(view, Tally())
        progress(STARTED)
        progress.signalled(1)
        assert view.acts == ["RunStarted"]

    def test_before_that_it_is_announced_here(self) -> None:
        view = Recorder()
        Progress(view, Tally()).signalled(1)
        assert view.acts == ["stopping; press Ctrl-C again to stop now"]

    def test_the_second_one_says_so(self) -> None:
        view = Recorder()
        Progress(view, Tally()).signalled(2)
        assert view.acts == [STOPPING_NOW]


class TestLines:
    def test_silence_is_broken_after_a_while(self, clock: Any, key: Key) -> None:
        tally = Tally(clock=clock)
        console = Console(file=io.StringIO(), width=40)
        view = LineView(console, tally, clock=clock)
        tally.add(STARTED)
        view.tick()
        tally.add(AttemptStarted(key(), 1))
        clock.now_s += HEARTBEAT_S - 1
        view.tick()
        assert console.file.getvalue() == ""  # type: ignore[attr-defined]
        clock.now_s += 1
        view.tick()
        view.tick()
        lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
        assert len(lines) == 1
        assert lines[0].startswith("0/2 cases done, 1 running, the longest for 30.0s")


class TestBars:
    def test_what_matters_scrolls_by_above_the_bars(self, result: Result) -> None:
        tally = Tally()
        with terminal() as leader:
            view = choose_view(tally, quiet=False, log_format=LogFormat.TEXT)
            progress = Progress(view, tally)
            progress(STARTED)
            progress(Notice("warning", "a key was replaced"))
            progress(AttemptFinished(result(Outcome.FAILED), will_retry=False))
            failed = result(Outcome.PROVIDER_ERROR, "c2", error="HTTP 503")
            progress(AttemptFinished(failed, will_retry=True))
            progress(Stopping(5))
            progress.tick()
            progress.close()
            sys.stderr.flush()
            text = read_all(leader)
        assert "warning: a key was replaced" in text
        assert "will be tried again  HTTP 503" in text
        assert "stopping; press Ctrl-C" in text
        assert "failed  " not in text
        assert text.endswith("\x1b[?25h")  # the cursor is back


async def test_it_is_drawn_while_the_block_is_open(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    configure_logs(LogFormat.JSON)
    async with open_progress(quiet=False, log_format=LogFormat.JSON) as progress:
        progress(STARTED)
        await asyncio.sleep(0)
    assert '"event": "run_started"' in capfd.readouterr().err
