"""An event loop whose clock stands still while the process does.

A harness can be suspended: Ctrl-Z, a debugger, a virtual machine that is paused, a machine that is
so overloaded that nothing runs. The monotonic clock goes on, and when the process does too, every
deadline has passed at once: agents that answered long ago would be held to have timed out, because
timers come before what waits to be read. With this loop, time in which nobody could look counts for
no deadline. (Where a whole machine sleeps, Linux stops the monotonic clock by itself.)
"""

import asyncio
import selectors
import time
from collections.abc import Callable

MOST_LATE_S = 1.0
"""How late a wake-up may be, and how long the loop may be at work between two looks at the clock,
before that counts as a standstill."""


class LateClock:
    """Monotonic seconds, less those in which the process stood still. Never goes back.

    Args:
        clock: what goes on meanwhile.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._read_at = clock()
        self.stood_still_s = 0.0
        """In all."""
        self.on_standstill: Callable[[float], None] = lambda _: None
        """Gets the seconds of each standstill, right after it."""

    def read(self, slept_s: float | None = 0.0) -> float:
        """The time, after a sleep of at most ``slept_s`` that was meant; None: of any length."""
        now = self._clock()
        late_s = 0.0 if slept_s is None else now - self._read_at - slept_s
        self._read_at = now
        if late_s > MOST_LATE_S:
            self.stood_still_s += late_s
            self.on_standstill(late_s)
        return now - self.stood_still_s


class StandstillLoop(asyncio.SelectorEventLoop):
    """The loop. ``clock`` says how long it stood still."""

    def __init__(self) -> None:
        self.clock = LateClock()
        super().__init__(_Selector(self.clock))

    def time(self) -> float:
        """See :meth:`asyncio.AbstractEventLoop.time`."""
        return self.clock.read()


class _Selector(selectors.DefaultSelector):
    """Tells the clock how long the loop meant to sleep."""

    def __init__(self, clock: LateClock) -> None:
        super().__init__()
        self._late = clock

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """See :meth:`selectors.BaseSelector.select`."""
        self._late.read()
        ready = super().select(timeout)
        self._late.read(timeout if timeout is None else max(0.0, timeout))
        return ready
