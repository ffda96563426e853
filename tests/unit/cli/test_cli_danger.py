"""A danger is seen in every way of showing a run: in red on a terminal, and with `--quiet` too."""

import json
from io import StringIO

import pytest
from rich.console import Console

from pacabench.cli.json_logs import JsonView
from pacabench.cli.lines import event_line
from pacabench.cli.logs import configure_logs
from pacabench.cli.options import LogFormat
from pacabench.cli.tally import Tally
from pacabench.cli.views import LineView, LiveView, QuietView
from pacabench.events import Notice

DANGER = Notice("danger", "not held as promised (a): an agent has routes")


def test_on_a_terminal_it_is_red() -> None:
    screen = StringIO()
    console = Console(file=screen, force_terminal=True, color_system="standard", width=100)
    view = LiveView(console, Tally())
    view.show(Notice("warning", "something else"))
    view.show(DANGER)
    view.close()
    assert "\x1b[1;31mdanger: not held as promised (a)" in screen.getvalue()
    assert "\x1b[33mwarning: something else" in screen.getvalue()


def test_as_a_line_it_says_what_it_is() -> None:
    screen = StringIO()
    LineView(Console(file=screen, width=100), Tally()).show(DANGER)
    assert screen.getvalue() == f"danger: {DANGER.text}\n"
    assert event_line(Notice("info", "x"), Tally()) == "x"


def test_quiet_does_not_hide_it(capsys: pytest.CaptureFixture[str]) -> None:
    view = QuietView(Tally())
    view.show(Notice("warning", "something else"))
    view.show(DANGER)
    assert capsys.readouterr().err == f"danger: {DANGER.text}\n"


@pytest.mark.parametrize("quiet", [False, True])
def test_as_json_it_is_critical(quiet: bool, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(LogFormat.JSON)
    JsonView(quiet=quiet).show(DANGER)
    said = json.loads(capsys.readouterr().err)
    assert (said["event"], said["level"], said["text"]) == ("notice", "critical", DANGER.text)
