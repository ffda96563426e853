"""A child process with its group, its pipes, and an end that nothing can hold up.

asyncio's own subprocesses are not used: on some Python versions their ``wait`` does not return
while a grandchild holds a pipe open, as an agent does that leaves a daemon behind.
"""

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from pacabench.sandbox.lines import LineBuffer, Tail

_BY_SIGNAL = 128
_POLL_S = 0.005
_WATCH_S = 0.1
_LINGER_S = 1.0
"""How long output may still come once the process is over."""


def ending(status: int) -> tuple[int | None, int | None]:
    """Exit code and signal, one of them None, from the status of a shell that ran a command.

    A shell whose command died of a signal exits with 128 + signal (POSIX XCU 2.8.2 asks for more
    than 128); one that became its command has the negative status that ``Popen`` gives.
    """
    signals = {int(known) for known in signal.Signals}
    if status < 0:
        return None, -status
    if status - _BY_SIGNAL in signals:
        return None, status - _BY_SIGNAL
    return status, None


class Child:
    """A started process in a session of its own. Make one with :meth:`start`."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process
        self._transports: list[asyncio.BaseTransport] = []
        self._stdin: asyncio.WriteTransport | None = None
        self._watch: asyncio.Task[None] | None = None
        self.out = LineBuffer()
        self.err = Tail()

    @classmethod
    async def start(cls, command: Sequence[str], *, cwd: Path, env: Mapping[str, str]) -> "Child":
        """Start ``command``.

        Raises:
            OSError: it cannot be started.
        """
        # Popen blocks until exec, a millisecond; in a thread its pipes could be lost on cancel.
        process = subprocess.Popen(  # noqa: ASYNC220
            command,
            cwd=cwd,
            env=dict(env),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            bufsize=0,
        )
        child = cls(process)
        try:
            await child._connect()
        except BaseException:
            await child.end()
            raise
        return child

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        out, err = _Feed(self.out.feed, self.out.end), _Feed(self.err.feed, lambda: None)
        reading, _ = await loop.connect_read_pipe(lambda: out, self._process.stdout)
        self._transports.append(reading)
        reading, _ = await loop.connect_read_pipe(lambda: err, self._process.stderr)
        self._transports.append(reading)
        writing, _ = await loop.connect_write_pipe(asyncio.BaseProtocol, self._process.stdin)
        self._stdin = writing
        self._transports.append(writing)
        self._watch = asyncio.ensure_future(self._end_output())

    async def _end_output(self) -> None:
        """End the output soon after the process, though a grandchild may hold its pipe open."""
        await self._over(poll_s=_WATCH_S)
        await asyncio.sleep(_LINGER_S)
        self.out.end()

    def write(self, data: bytes, *, last: bool) -> None:
        """Queue ``data`` for stdin, and close stdin behind the ``last``. Never blocks or raises."""
        if self._stdin is None or self._stdin.is_closing():
            return
        self._stdin.write(data)
        if last:
            self._stdin.write_eof()

    async def exited(self, *, within_s: float) -> bool:
        """Whether the process is over by itself, at once or ``within_s``."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._over(poll_s=_POLL_S)
        return self._process.poll() is not None

    async def _over(self, *, poll_s: float) -> None:
        while self._process.poll() is None:  # noqa: ASYNC110 - no portable event tells of it
            await asyncio.sleep(poll_s)

    async def end(self) -> int:
        """Kill the whole group, close every pipe, and return the status as ``Popen`` gives it."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        await self._over(poll_s=_POLL_S)
        if self._watch is not None:
            self._watch.cancel()
        await asyncio.sleep(0)  # what stands in the pipes is read by now, or never
        # What was never read never will be. One that closes behind what it still holds is watched
        # as much as an open one, and its descriptor's number belongs to the next child's pipe soon.
        stdin = self._stdin
        if stdin is not None and (not stdin.is_closing() or stdin.get_write_buffer_size()):
            stdin.abort()
        for transport in self._transports:
            if not transport.is_closing():
                transport.close()
        await asyncio.sleep(0)
        # Also those that no transport took over, because the start was cut off.
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()
        self.out.end()
        return self._process.returncode


class _Feed(asyncio.Protocol):
    """Hands on what a pipe delivers."""

    def __init__(self, feed: Callable[[bytes], None], end: Callable[[], None]) -> None:
        self._feed = feed
        self._end = end

    def data_received(self, data: bytes) -> None:
        self._feed(data)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc  # however a pipe ends, its output is over
        self._end()
