"""Ctrl-C and the other signals that ask a run to end.

The first one asks: no new cases, running ones finish. The second one cancels: containers are
removed and the run is left resumable. Further ones change nothing, and say so.
"""

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stoppable(Protocol):
    """What takes the first signal (``scheduler.Stop``)."""

    def request(self) -> None:
        """Start no more cases."""
        ...


@contextmanager
def stop_on_signals(
    work: asyncio.Task[object], stop: Stoppable, said: Callable[[int], None]
) -> Iterator[None]:
    """While open, signals stop ``work`` in two steps; ``said`` gets the count each time.

    A signal that was ignored when the process began (``nohup``, ``&`` in a script) stays so.
    Must be entered in the event loop's thread.
    """
    loop = asyncio.get_running_loop()
    count = 0

    def on_signal() -> None:
        nonlocal count
        count += 1
        if count == 1:
            stop.request()
        elif count == 2:  # noqa: PLR2004 - "the second signal" is what this is about
            work.cancel()
        said(count)

    heard = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    for number in heard:
        loop.add_signal_handler(number, on_signal)
    try:
        yield
    finally:
        for number in heard:
            loop.remove_signal_handler(number)
