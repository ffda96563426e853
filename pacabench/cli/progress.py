"""The listener of a run: counts its events and hands them to a view.

Everything goes to stderr; stdout is for results. A terminal or pipe that has gone away ends the
display and never the run.
"""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from pacabench.aio import settle
from pacabench.cli.lines import stopping_line
from pacabench.cli.options import LogFormat
from pacabench.cli.output import HonestConsole
from pacabench.cli.tally import Tally
from pacabench.cli.views import LineView, LiveView, QuietView, View
from pacabench.events import Event

REFRESH_S = 0.25
STOPPING_NOW = "stopping now: removing what still runs (the run stays resumable)"


class Progress:
    """Counts every event, then shows it. Use :func:`open_progress`."""

    def __init__(self, view: View, tally: Tally) -> None:
        self.tally = tally
        self._view: View | None = view

    def __call__(self, event: Event) -> None:
        """Take one event of the run."""
        self.tally.add(event)
        self._safely(lambda view: view.show(event))

    def signalled(self, count: int) -> None:
        """Say what the ``count``-th signal does.

        The first one is announced by the run itself (:class:`~pacabench.events.Stopping`) once it
        has cases to finish.
        """
        if count == 1 and self.tally.started_s is None:
            self._safely(lambda view: view.say(stopping_line(self.tally, 0)))
        elif count > 1:
            self._safely(lambda view: view.say(STOPPING_NOW))

    def tick(self) -> None:
        """Draw again."""
        self._safely(lambda view: view.tick())

    def close(self) -> None:
        """Stop drawing."""
        self._safely(lambda view: view.close())
        self._view = None

    def _safely(self, act: Callable[[View], None]) -> None:
        if self._view is None:
            return
        try:
            act(self._view)
        except (OSError, ValueError):  # gone, or closed: the run goes on unseen
            gone, self._view = self._view, None
            with contextlib.suppress(OSError, ValueError):
                gone.close()


@asynccontextmanager
async def open_progress(*, quiet: bool, log_format: LogFormat) -> AsyncIterator[Progress]:
    """The listener for a run, drawn until the block is left."""
    tally = Tally()
    progress = Progress(choose_view(tally, quiet=quiet, log_format=log_format), tally)
    ticking = asyncio.create_task(_tick(progress))
    try:
        yield progress
    finally:
        await settle({ticking})
        progress.close()


async def _tick(progress: Progress) -> None:
    while True:
        progress.tick()
        await asyncio.sleep(REFRESH_S)


def choose_view(tally: Tally, *, quiet: bool, log_format: LogFormat) -> View:
    """Bars only where stderr is a terminal that can move its cursor."""
    if log_format is LogFormat.JSON:
        from pacabench.cli.json_logs import JsonView  # noqa: PLC0415 - slow, and seldom wanted

        return JsonView(quiet=quiet)
    if quiet:
        return QuietView(tally)
    console = HonestConsole(stderr=True, highlight=False, markup=False, emoji=False)
    if sys.stderr.isatty() and console.is_terminal and not console.is_dumb_terminal:
        return LiveView(console, tally)
    return LineView(console, tally)
