"""Progress as plain lines, for pipes, files and CI logs: one per finished case.

Pure: each function gives text without a newline, or None when there is nothing to say.
"""

from pacabench.budget.wording import spent_of
from pacabench.cli.figures import short_duration, short_eta
from pacabench.cli.tally import Tally
from pacabench.events import (
    AttemptFinished,
    Event,
    Notice,
    Paused,
    Preparing,
    Resumed,
    RunStarted,
    Stopping,
)
from pacabench.model import CaseKey
from pacabench.report.printable import printable

_ERROR_CHARS = 200


def event_line(event: Event, tally: Tally) -> str | None:
    """The line for ``event``. ``tally`` has it counted already."""
    line: str | None = None
    match event:
        case Preparing(text=text):
            line = f"preparing: {printable(text)}"
        case RunStarted():
            line = _started(event)
        case AttemptFinished():
            line = _finished(event, tally)
        case Paused():
            line = paused_line(event, tally)
        case Resumed(after_s=after_s):
            line = f"going on after a pause of {short_duration(after_s)}"
        case Stopping(grace_s=grace_s):
            line = stopping_line(tally, grace_s)
        case Notice(level=level, text=text):
            line = printable(text) if level == "info" else f"{level}: {printable(text)}"
    return line


def stopping_line(tally: Tally, grace_s: float) -> str:
    """What the first signal does."""
    count = len(tally.running)
    if not count:
        return "stopping; press Ctrl-C again to stop now"
    return (
        f"finishing {count} running case{'s' * (count != 1)} (up to {grace_s:.0f} s); "
        "press Ctrl-C again to stop now"
    )


def paused_line(event: Paused, tally: Tally) -> str:
    """Why nothing is started, and what becomes of it."""
    running = f"; {len(tally.running)} running" if tally.running else ""
    return (
        f"paused: {printable(event.why[:_ERROR_CHARS])}{running}; trying again by itself, "
        f"for {short_duration(event.give_up_after_s)} at most (Ctrl-C stops)"
    )


def heartbeat_line(tally: Tally) -> str:
    """Said when nothing else was for a while: the run is alive."""
    running = tally.longest_running()
    text = f"{tally.decided}/{tally.planned} cases done, {len(running)} running"
    if tally.paused is not None:
        text += f", paused: {printable(tally.paused[:_ERROR_CHARS])}"
    text += "".join(f", {used} of {most}" for used, most in spent_of(tally.budget, tally.spent))
    if running:
        longest = running[0]
        waited = short_duration(tally.clock() - longest.since_s)
        text += f", the longest for {waited} ({_name(longest.key)})"
    etas = [eta for agent in tally.agents.values() if (eta := agent.eta_s(tally.clock()))]
    return text + (f", about {short_eta(max(etas))} left" if etas else "")


def _started(event: RunStarted) -> str:
    planned = sum(event.planned.values())
    agents = len(event.planned)
    text = f"run {printable(event.run_id)}: {planned} cases, {agents} agent{'s' * (agents != 1)}"
    text += f", {event.sandbox} sandbox"
    return text + (f"; {len(event.decided)} decided before" if event.decided else "")


def _finished(event: AttemptFinished, tally: Tally) -> str:
    result = event.result
    place = f"[{tally.decided:>{len(str(tally.planned))}}/{tally.planned}]"
    text = f"{place} {result.outcome:<15} {_name(result.key)}"
    text += f"  {short_duration(result.duration_ms / 1000)}"
    if result.number > 1:
        text += f"  attempt {result.number}"
    if event.will_retry:
        text += "  will be tried again"
    if not result.decides:
        text += "  left for `resume`"
    if result.error:
        text += f"  {printable(result.error[:_ERROR_CHARS])}"
    return text


def _name(key: CaseKey) -> str:
    epoch = f"#{key.epoch}" if key.epoch > 1 else ""
    return f"{printable(key.agent)} {printable(key.dataset)}/{printable(key.case_id)}{epoch}"
