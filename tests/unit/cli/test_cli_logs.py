"""structlog, as text and as JSON lines."""

import json
import logging
from collections.abc import Callable, Iterator

import pytest
import structlog

from pacabench.cli.json_logs import log_event
from pacabench.cli.logs import configure_logs
from pacabench.cli.options import LogFormat
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
from pacabench.model import CaseKey, CaseResult, MeteredCall, Outcome, Usage

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    root, ours = logging.getLogger(), logging.getLogger("pacabench")
    before = (root.handlers[:], root.level, ours.level, logging.raiseExceptions)
    yield
    root.handlers[:], logging.raiseExceptions = before[0], before[3]
    root.setLevel(before[1])
    ours.setLevel(before[2])
    structlog.reset_defaults()


def logged(event: Event, capsys: Capture) -> dict[str, object]:
    configure_logs(LogFormat.JSON)
    log_event(event)
    found = json.loads(capsys.readouterr().err)
    assert isinstance(found, dict)
    assert found.pop("timestamp").endswith("Z")
    return found


class TestEvents:
    def test_an_attempt(self, capsys: Capture, result: Callable[..., CaseResult]) -> None:
        finished = AttemptFinished(result(Outcome.TIMEOUT, error="late"), will_retry=False)
        assert logged(finished, capsys) == {
            "event": "attempt_finished",
            "level": "info",
            "agent": "a",
            "dataset": "d",
            "case_id": "c1",
            "epoch": 1,
            "attempt_id": "a-c1-1",
            "number": 1,
            "outcome": "timeout",
            "score": None,
            "duration_ms": 1200.0,
            "provider_wait_ms": None,
            "error": "late",
            "will_retry": False,
        }

    def test_a_call(self, capsys: Capture, call: Callable[..., MeteredCall]) -> None:
        usage = Usage(input_tokens=1, cached_tokens=2, output_tokens=3)
        found = logged(CallFinished(call(usage, 0.5)), capsys)
        assert found["input_tokens"] == 3
        assert (found["cached_tokens"], found["output_tokens"], found["cost_usd"]) == (2, 3, 0.5)

    def test_unknown_usage_is_null(self, capsys: Capture, call: Callable[..., MeteredCall]) -> None:
        found = logged(CallFinished(call()), capsys)
        assert found["input_tokens"] is None
        assert found["cost_usd"] is None

    def test_every_other_event(self, capsys: Capture, key: Callable[..., CaseKey]) -> None:
        names = [
            logged(event, capsys)["event"]
            for event in (
                Preparing("image"),
                RunStarted("r", "docker", {"a": 1}, ()),
                AttemptStarted(key(), 1),
                Paused("x", 60),
                Resumed(3),
                Stopping(3),
                Notice("info", "x"),
            )
        ]
        assert names == [
            "preparing",
            "run_started",
            "attempt_started",
            "paused",
            "resumed",
            "stopping",
            "notice",
        ]

    def test_a_pause_is_a_warning(self, capsys: Capture) -> None:
        found = logged(Paused("provider p is down: 503", 60), capsys)
        assert (found["level"], found["give_up_after_s"]) == ("warning", 60)

    def test_a_warning_has_its_level(self, capsys: Capture) -> None:
        assert logged(Notice("warning", "x"), capsys)["level"] == "warning"


class TestFormats:
    def test_json_lines_are_ascii_whatever_an_agent_wrote(self, capsys: Capture) -> None:
        configure_logs(LogFormat.JSON)
        log_event(Notice("info", "\x1b[2J\x9b31m \u202e \ud800 ü\n"))
        line = capsys.readouterr().err
        assert line.isascii()
        assert line.rstrip("\n").isprintable()
        assert json.loads(line)["text"] == "\x1b[2J\x9b31m \u202e \ud800 ü\n"

    def test_libraries_warnings_take_the_same_way(self, capsys: Capture) -> None:
        configure_logs(LogFormat.JSON)
        logging.getLogger("asyncio").warning("slow %s", "callback")
        logging.getLogger("asyncio").info("not said")
        assert json.loads(capsys.readouterr().err)["event"] == "slow callback"

    def test_text_is_escaped_and_keeps_its_lines(self, capsys: Capture) -> None:
        configure_logs(LogFormat.TEXT)
        logging.getLogger("aiohttp").error("odd", exc_info=ValueError("\x1b[2J"))
        text = capsys.readouterr().err
        assert text.startswith("error: odd\nValueError: ")
        assert "\x1b" not in text

    def test_text_says_nothing_of_events(self, capsys: Capture) -> None:
        configure_logs(LogFormat.TEXT)
        log_event(Preparing("image"))
        assert capsys.readouterr().err == ""
