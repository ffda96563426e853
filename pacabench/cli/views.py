"""Ways to show a run's progress: bars, plain lines, and next to nothing.

``json_logs`` has the fourth one, JSON lines.

All write to stderr and are called from the event loop's thread alone.
"""

import contextlib
import sys
import time
from collections.abc import Callable
from typing import Protocol

from rich.console import Console
from rich.live import Live
from rich.text import Text

from pacabench.cli.bars import Frame, draw
from pacabench.cli.lines import event_line, heartbeat_line, paused_line, stopping_line
from pacabench.cli.tally import Tally
from pacabench.events import AttemptFinished, Event, Notice, Paused, Resumed, Stopping

HEARTBEAT_S = 30.0
_NOTICE_STYLE = {"info": "", "warning": "yellow", "danger": "bold red"}


class View(Protocol):
    """One way to show progress. What it raises for a screen that is gone is an ``OSError``."""

    def show(self, event: Event) -> None:
        """Show ``event``, which the tally has counted."""
        ...

    def say(self, text: str) -> None:
        """Show a line of ours."""
        ...

    def tick(self) -> None:
        """Called a few times a second."""
        ...

    def close(self) -> None:
        """Leave the screen in good order."""
        ...


class LiveView:
    """Bars on a terminal; what the user should know scrolls by above them."""

    def __init__(self, console: Console, tally: Tally) -> None:
        self._console, self._tally = console, tally
        self._live = Live(
            console=console,
            auto_refresh=False,  # no thread: the event loop ticks
            redirect_stdout=False,
            vertical_overflow="crop",
        )
        self._live.start()

    def show(self, event: Event) -> None:
        """Print notices, pauses, a stop, and failures of the infrastructure."""
        match event:
            case Notice(level=level):
                self._above(event, _NOTICE_STYLE[level])
            case Stopping() | Paused():
                self._above(event, "bold yellow")
            case Resumed():
                self._above(event, "")
            case AttemptFinished(result=result) if result.outcome.is_infrastructure:
                self._above(event, "yellow")

    def _above(self, event: Event, style: str) -> None:
        if line := event_line(event, self._tally):
            self._console.print(Text(line, style=style))

    def say(self, text: str) -> None:
        """Print ``text`` above the bars."""
        self._console.print(Text(text, style="bold yellow"))

    def tick(self) -> None:
        """Draw a frame."""
        frame = Frame(width=self._console.width, height=self._console.height)
        self._live.update(draw(self._tally, frame), refresh=True)

    def close(self) -> None:
        """Leave the last frame, or nothing where no case began, and give the cursor back."""
        with contextlib.suppress(OSError):
            if self._tally.started_s is None:
                self._live.update(Text(), refresh=True)
            else:
                self._tally.running.clear()  # ended, or cut off
                self.tick()
        self._live.stop()


class LineView:
    """A line per event, and a sign of life when nothing happens for a while."""

    def __init__(
        self, console: Console, tally: Tally, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._console, self._tally, self._clock = console, tally, clock
        self._last_s = clock()

    def show(self, event: Event) -> None:
        """Print the event's line, where it has one."""
        if line := event_line(event, self._tally):
            self.say(line)

    def say(self, text: str) -> None:
        """Print ``text``, however long, as one line."""
        self._console.print(Text(text), soft_wrap=True)
        self._last_s = self._clock()

    def tick(self) -> None:
        """After ``HEARTBEAT_S`` of silence, say that the run is alive."""
        alive = self._tally.running or self._tally.paused is not None
        if alive and self._clock() - self._last_s >= HEARTBEAT_S:
            self.say(heartbeat_line(self._tally))

    def close(self) -> None:
        """Nothing is left open."""


class QuietView:
    """Says only what signals do, why nothing happens, and that agents are held too weakly."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally

    def show(self, event: Event) -> None:
        """Say nothing of the run itself."""
        if isinstance(event, Stopping):
            self.say(stopping_line(self._tally, event.grace_s))
        elif isinstance(event, Notice) and event.level == "danger":
            self.say(event_line(event, self._tally) or "")
        elif isinstance(event, Paused):
            self.say(paused_line(event, self._tally))

    def say(self, text: str) -> None:
        """Print ``text``."""
        sys.stderr.write(text + "\n")

    def tick(self) -> None:
        """Nothing moves."""

    def close(self) -> None:
        """Nothing is left open."""
