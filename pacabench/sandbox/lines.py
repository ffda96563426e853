"""Lines out of a byte stream that an agent controls, in bounded memory."""

import asyncio

from pacabench.protocol import MAX_LINE_BYTES
from pacabench.sandbox.base import STDERR_KEPT_BYTES, STDOUT_LIMIT_BYTES


class LineBuffer:
    """Takes chunks as they come and gives lines when asked.

    ``feed`` never waits: the stream behind it must always be drained, because an engine whose
    attach stream nobody reads can neither kill nor remove the container. What does not fit is
    counted and dropped: the end of a line over ``max_line``, and everything while more than
    ``limit`` bytes wait to be read. Lines are found when they are asked for and not when they
    come: a flood of short ones must cost neither time nor an object for each.
    """

    def __init__(self, *, max_line: int = MAX_LINE_BYTES, limit: int = STDOUT_LIMIT_BYTES) -> None:
        self._max_line = max_line
        self._limit = limit
        self._waiting = bytearray()
        self._searched = 0
        """Up to here ``_waiting`` holds no newline."""
        self._skipping = False
        """Drop up to the next newline: the line before it was cut."""
        self._more = asyncio.Event()
        self._ended = False
        self.total_bytes = 0
        """Everything that was fed, dropped bytes included."""

    def feed(self, data: bytes) -> None:
        """Take ``data``, which may hold any part of any number of lines."""
        self.total_bytes += len(data)
        if self._skipping:
            _, newline, data = data.partition(b"\n")
            self._skipping = not newline
        room = self._limit - len(self._waiting)
        if len(data) > room:
            self._waiting += data[:room]
            self._cut()
        else:
            self._waiting += data
        self._more.set()

    def _cut(self) -> None:
        """What was fed last does not fit: its line ends here."""
        self._skipping = True
        if self._waiting and not self._waiting.endswith(b"\n"):
            self._waiting += b"\n"

    def end(self) -> None:
        """No more data: a last line without its newline counts as a line."""
        self._ended = True
        self._more.set()

    @property
    def waiting_bytes(self) -> int:
        """What was fed and not asked for yet."""
        return len(self._waiting)

    @property
    def ended(self) -> bool:
        """Nothing more will come."""
        return self._ended

    async def read_line(self) -> bytes | None:
        """The next line without its newline, or None after the last. Cancel-safe."""
        while True:
            line = self._take()
            if line is not None:
                return line
            if self._ended:
                return None
            self._more.clear()
            await self._more.wait()

    def _take(self) -> bytes | None:
        end = self._waiting.find(b"\n", self._searched)
        after = end + 1
        if end < 0:
            self._searched = end = after = len(self._waiting)
            if end <= self._max_line and not (self._ended and end):
                return None
            self._skipping = True
        line = bytes(self._waiting[: min(end, self._max_line)])
        del self._waiting[:after]
        self._searched = 0
        return line


class Tail:
    """The last bytes of a stream, and how many there were in all."""

    def __init__(self, *, kept: int = STDERR_KEPT_BYTES) -> None:
        self._kept = kept
        self._data = bytearray()
        self.total_bytes = 0

    def feed(self, data: bytes) -> None:
        """Take ``data``."""
        self.total_bytes += len(data)
        self._data += data[-self._kept :]
        if len(self._data) > 2 * self._kept:
            del self._data[: -self._kept]

    def text(self) -> str:
        """What was kept, undecodable bytes replaced. Untrusted."""
        return bytes(self._data[-self._kept :]).decode("utf-8", "replace")
