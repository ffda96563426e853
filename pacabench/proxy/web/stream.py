"""One end of a connection, and the limits that hold for what passes between two of them."""

import asyncio
import contextlib
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

from pacabench.proxy.web.http_head import MAX_HEAD_BYTES, BadMessageError
from pacabench.proxy.web.record import CutError, EgressDraft

PIECE_BYTES = 64 * 1024
_TOUCH_EVERY_S = 0.25


@dataclass(frozen=True, slots=True)
class Limits:
    """What one lane, one attempt and one connection may take."""

    connections: int = 64
    """Of one lane, at a time."""
    lookups: int = 4
    """Of one lane, at a time."""
    accesses: int = 10_000
    """Of one attempt; each has a record."""
    denied_records: int = 100
    """Of one attempt; further ones are counted in one record."""
    attempt_bytes: int = 4 * 1024**3
    """Both ways together."""
    head_s: float = 10.0
    """For a request's head, and for a ClientHello."""
    lookup_s: float = 10.0
    connect_s: float = 5.0
    """For each address that is tried."""
    addresses: int = 4
    """Of one host, that are tried."""
    answer_s: float = 30.0
    """For a server's first TLS message."""
    idle_s: float = 120.0
    """Without a byte either way."""
    see_off_s: float = 1.0
    """For one that was refused, to hear of it."""


@dataclass(frozen=True, slots=True)
class Stream:
    """One connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        """Write ``data``; waits while the other side takes none.

        Raises:
            ConnectionError: the other side is gone.
        """
        self.writer.write(data)
        await self.writer.drain()

    def end(self) -> None:
        """Say that nothing more is sent. Nothing happens where the other side is gone already."""
        if self.writer.can_write_eof():
            with contextlib.suppress(OSError):  # not connected any more: no ConnectionError
                self.writer.write_eof()

    async def see_off(self, *, within_s: float) -> None:
        """Take what the other side still says, until it has heard that this is the end.

        One that is closed with something unread is reset, and what was written last is lost.
        """
        self.end()
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(within_s):
                while await self.reader.read(PIECE_BYTES):
                    pass

    async def close(self, *, within_s: float) -> None:
        """Let go of it, once the other side took what was written, or ``within_s``."""
        self.writer.close()
        try:
            async with asyncio.timeout(within_s):
                await self.writer.wait_closed()
        except (OSError, TimeoutError):
            self.abort()

    def abort(self) -> None:
        """Let go of it now, whatever was written."""
        self.writer.transport.abort()

    async def read_head(self) -> bytes:
        """A whole HTTP head; empty where the other side left before its first byte.

        Raises:
            BadMessageError: it is too long, it breaks off, or a line does not end with CR LF.
        """
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            line = await self.read_line(MAX_HEAD_BYTES - len(head))
            if not line and not head:
                return b""
            if line == b"\r\n" and not head:
                raise BadMessageError("it begins with an empty line")
            head += line
            if not line:
                raise BadMessageError("its head breaks off")
        return head

    async def read_line(self, most: int) -> bytes:
        """A line with its CR LF; empty at the end.

        Raises:
            BadMessageError: it is longer than ``most`` bytes, breaks off or ends with LF alone.
        """
        try:
            line = await self.reader.readuntil(b"\n")
        except asyncio.IncompleteReadError as end:
            if end.partial:
                raise BadMessageError("it breaks off inside a line") from end
            return b""
        except asyncio.LimitOverrunError as error:
            raise BadMessageError("it is too long") from error
        if len(line) > most:
            raise BadMessageError("it is too long")
        if not line.endswith(b"\r\n"):
            raise BadMessageError("a line ends without CR LF")
        return line


class Traffic:
    """Counts what passes, for the record and against the limits."""

    def __init__(self, draft: EgressDraft, budget: "Budget", idle_s: float) -> None:
        self._draft = draft
        self._budget = budget
        self._idle_s = idle_s
        self._touched = 0.0
        self._deadline: asyncio.Timeout | None = None

    def up(self, size: int) -> None:
        """So many bytes go to the host.

        Raises:
            CutError: the attempt has used up its bytes.
        """
        self._draft.bytes_up += size
        self._moved(size)

    def down(self, size: int) -> None:
        """So many bytes go to the agent; raises as :meth:`up`."""
        self._draft.bytes_down += size
        self._moved(size)

    def _moved(self, size: int) -> None:
        self._budget.take(size)
        now = asyncio.get_running_loop().time()
        if self._deadline is not None and now - self._touched > _TOUCH_EVERY_S:
            self._touched = now
            self._deadline.reschedule(now + self._idle_s)

    async def until_idle(self, work: Coroutine[Any, Any, None]) -> None:
        """Do ``work``, and end it when nothing passes for too long.

        Raises:
            CutError: that was so.
        """
        deadline = asyncio.timeout(self._idle_s)
        try:
            async with deadline as self._deadline:
                await work
        except TimeoutError as error:
            if not deadline.expired():
                raise
            raise CutError("idle", f"nothing passed for {self._idle_s:g} s") from error


class Budget:
    """The bytes that one attempt may still move."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit = self._left = limit_bytes

    def take(self, size: int) -> None:
        """Use up ``size`` bytes.

        Raises:
            CutError: there are not so many left.
        """
        self._left -= size
        if self._left < 0:
            raise CutError("over_limit", f"the attempt moved more than {self._limit:,} bytes")


async def both(*works: Coroutine[Any, Any, None]) -> None:
    """Do all of ``works`` at once; the first that fails ends the others, and is raised."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
