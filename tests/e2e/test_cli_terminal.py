"""Live progress on a real (pseudo-)terminal."""

import os
import re
import select
import signal
import subprocess
import time
from collections.abc import Callable
from typing import Any

import pytest

CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal:
    """A command on a terminal of 100 columns and 30 lines."""

    def __init__(self, project: Any, *args: str, **env: str) -> None:
        self._leader, follower = os.openpty()
        os.set_blocking(self._leader, False)
        self.process = subprocess.Popen(
            [project.command, *args],
            cwd=project.path,
            env=project.environment(TERM="xterm-256color", COLUMNS="100", LINES="30", **env),
            stdin=subprocess.DEVNULL,
            stdout=follower,
            stderr=follower,
        )
        project.started.append(self.process)
        os.close(follower)
        self.raw = ""

    @property
    def text(self) -> str:
        """All that was ever shown, without control sequences."""
        return CONTROL.sub("", self.raw)

    def read(self, done: Callable[[], bool], *, within_s: float = 60) -> None:
        """Read until ``done``."""
        deadline = time.monotonic() + within_s
        while not done():
            assert time.monotonic() < deadline, self.text[-2000:]
            if not select.select([self._leader], [], [], 0.1)[0]:
                continue
            try:
                self.raw += os.read(self._leader, 65536).decode("utf-8", "replace")
            except OSError:  # the last writer has closed it
                return

    def read_to_the_end(self) -> int:
        self.read(lambda: False)
        os.close(self._leader)
        return self.process.wait(timeout=30)


@pytest.fixture
def slow(small: Any) -> Any:
    small.cases(
        {"case_id": "quick", "input": "one", "expected": "one"},
        {"case_id": "\x1b]0;owned\x07\x1b[2Jlong", "input": "x", "expected": "x", "gate": "go"},
    )
    return small


def test_bars_counts_and_running_cases_are_drawn_and_the_end_is_tidy(slow: Any) -> None:
    terminal = Terminal(slow, "run", "--run-id", "r1")
    terminal.read(lambda: r"words/\x1b]0;owned" in terminal.text and "1/2" in terminal.text)
    assert re.search(r"first\s+[━╸╺]+\s+1/2\s+1\s+0\s+0\s+1", terminal.text)
    assert "scripted provider (no model answers)" in terminal.text
    slow.open_gates()
    assert terminal.read_to_the_end() == 0
    assert "\x1b]" not in terminal.raw  # no title was set
    assert "\x1b[2J" not in terminal.raw  # nothing was cleared
    assert terminal.raw.count("\x1b[?25l") == terminal.raw.count("\x1b[?25h") == 1
    last_frame = terminal.text[terminal.text.rindex("infra calls") :]
    assert last_frame.index("2/2") < last_frame.index("100.0%")


def test_the_first_ctrl_c_says_what_it_does_above_the_bars(slow: Any) -> None:
    terminal = Terminal(slow, "run", "--run-id", "r1", "-a", "first")
    terminal.read(lambda: "long" in terminal.text and "1/2" in terminal.text)
    terminal.process.send_signal(signal.SIGINT)
    terminal.read(lambda: "finishing 1 running case (up to" in terminal.text)
    terminal.read(lambda: "  stopping" in terminal.text)
    slow.open_gates()
    assert terminal.read_to_the_end() == 0  # nothing was left to do


def test_results_can_go_to_a_file_while_bars_are_drawn(slow: Any) -> None:
    with (slow.path / "out.txt").open("w") as out:
        leader, follower = os.openpty()
        process = subprocess.Popen(
            [slow.command, "run", "-a", "first", "--limit", "1"],
            cwd=slow.path,
            env=slow.environment(TERM="xterm"),
            stdout=out,
            stderr=follower,
        )
        slow.started.append(process)
        os.close(follower)
        shown = b""
        try:
            while part := os.read(leader, 65536):
                shown += part
        except OSError:
            pass
        os.close(leader)
        assert process.wait(timeout=30) == 0
    text = (slow.path / "out.txt").read_text()
    assert "━".encode() in shown
    assert "━" not in text
    assert "\x1b" not in text
    assert "100.0%" in text


def test_no_color_is_honoured(slow: Any) -> None:
    terminal = Terminal(slow, "run", "-a", "first", "--limit", "1", NO_COLOR="1")
    assert terminal.read_to_the_end() == 0
    assert not re.search(r"\x1b\[(?:\d+;)*3\dm", terminal.raw)


def test_quiet_draws_nothing(slow: Any) -> None:
    terminal = Terminal(slow, "run", "-q", "-a", "first", "--limit", "1", "--run-id", "r1")
    assert terminal.read_to_the_end() == 0
    assert terminal.raw.startswith("r1: 100.0% accuracy")
    assert len(terminal.raw.splitlines()) == 1
