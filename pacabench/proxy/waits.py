"""How long an attempt waited for its provider, all its calls together."""

import time
from collections.abc import Callable


class WaitClock:
    """Counts the time in which at least one call of an attempt is under way.

    That is the union of the calls' times, from the request read to the reply's end: queueing,
    pauses between tries and the provider itself. Calls that go on without their client do not
    count.

    Args:
        on_change: called when a wait begins (True) and ends (False), with ``total_ms``.
    """

    def __init__(self, on_change: Callable[[bool, float], None] | None = None) -> None:
        self._on_change = on_change
        self._calls = 0
        self._since = 0.0
        self._total_s = 0.0

    @property
    def total_ms(self) -> float:
        """So far."""
        running = time.perf_counter() - self._since if self._calls else 0.0
        return (self._total_s + running) * 1000

    def enter(self) -> None:
        """A call begins to wait."""
        self._calls += 1
        if self._calls == 1:
            self._since = time.perf_counter()
            if self._on_change is not None:
                self._on_change(True, self.total_ms)

    def leave(self) -> None:
        """A call ended, or its client left."""
        self._calls -= 1
        if not self._calls:
            self._total_s += time.perf_counter() - self._since
            if self._on_change is not None:
                self._on_change(False, self.total_ms)
