"""Calls of a replayed run for which the cassette held no answer, one by one."""

from rich.console import Group, RenderableType
from rich.text import Text

from pacabench.report.printable import printable
from pacabench.report.view import RunView
from pacabench.report.wording import case_name

_SHOWN = 20
_CHARS = 600


def misses(view: RunView) -> RenderableType | None:
    """Which case, which model, and where the nearest recorded call differs; None: there are none.

    Raises:
        JournalError: the calls cannot be read.
    """
    agents, judges = view.summary.total.usage.unmatched_calls, view.judge.unmatched_calls
    if not agents and not judges:
        return None
    said: dict[str, None] = {}
    calls = [("", view.record.calls())] if agents else []
    if judges:
        calls.append(("judge: ", view.record.judge_calls()))
    for who, metered in ((who, metered) for who, those in calls for metered in those):
        call, key = metered.call, metered.key
        if call.replay == "unmatched" and len(said) < _SHOWN:
            case = f"{key.agent} / {key.dataset} / {case_name(key)}"
            said[f"{case}: {who}{call.endpoint} {call.model or ''}: {call.error}"] = None
    lines = [Text(f"  {printable(line, _CHARS)}") for line in said]
    more = [Text("  ... and more; `show RUN --case ID` has each case's", style="dim")]
    head = Text("Without a match in the cassette:", style="bold yellow")
    return Group(head, *lines, *(more if len(lines) == _SHOWN else []))
