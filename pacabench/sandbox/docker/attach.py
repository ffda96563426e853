"""A container's stdin, stdout and stderr as asyncio sees them.

The engine's attach stream is read to its end whatever happens: when nobody reads it during a flood,
``kill`` and ``rm`` hang (moby#41827). Reading never waits for whoever wants the lines; past the
limits bytes are counted and dropped.
"""

import asyncio
import os
import socket
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import docker
import requests
from docker.errors import APIError

from pacabench.errors import SandboxError
from pacabench.sandbox.docker.bridge import bridged
from pacabench.sandbox.docker.connection import explain
from pacabench.sandbox.docker.engine import Engine
from pacabench.sandbox.docker.framing import ENGINE_ERROR, STDERR, STDOUT, FrameReader
from pacabench.sandbox.lines import LineBuffer, Tail

_STREAM_TYPE = "application/vnd.docker."
"""Of engines that do not switch protocols: ``raw-stream``, ``multiplexed-stream``."""
OWN_OUTPUT_LIMIT_BYTES = 1024**3
"""For containers of our own, whose lines are read as they come: none may be dropped."""


class Attachment(asyncio.Protocol):
    """One attached container. Make one with :func:`attach`, before the container starts."""

    def __init__(
        self,
        *,
        limit_bytes: int,
        on_stderr: Callable[[bytes], None] | None,
        on_stdout: Callable[[bytes], None] | None = None,
    ) -> None:
        self._lines = LineBuffer(limit=limit_bytes)
        self._stderr = Tail()
        self._on_stderr = on_stderr
        self._on_stdout = on_stdout
        self._frames = FrameReader()
        self._transport: asyncio.Transport | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._ended = asyncio.Event()
        self._broken: str | None = None

    @property
    def stdout_bytes(self) -> int:
        """All that was written, dropped bytes included."""
        return self._lines.total_bytes

    @property
    def waiting_bytes(self) -> int:
        """Of stdout, what nobody asked for yet."""
        return self._lines.waiting_bytes

    @property
    def stderr_bytes(self) -> int:
        """All that was written."""
        return self._stderr.total_bytes

    @property
    def stderr_tail(self) -> str:
        """The last part of stderr. Untrusted."""
        return self._stderr.text()

    @property
    def ended(self) -> bool:
        """The container wrote all that it will."""
        return self._ended.is_set()

    @property
    def broke_off(self) -> bool:
        """The stream ended without its container: nothing tells when, or whether, that ends."""
        return self._broken is not None

    async def read_line(self) -> bytes | None:
        """The next stdout line without its newline, None at the end. Cancel-safe.

        Raises:
            SandboxError: the stream broke.
        """
        line = await self._lines.read_line()
        if line is None and self._broken is not None:
            raise SandboxError(f"the container's output broke off: {self._broken}")
        return line

    async def write(self, data: bytes) -> None:
        """Hand ``data`` over to stdin. Returns at once when the container is gone."""
        if self._transport is None or self._transport.is_closing():
            return
        self._transport.write(data)
        await self._writable.wait()

    def close_stdin(self) -> None:
        """End stdin after what was written; output goes on."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write_eof()

    def break_off(self, reason: str) -> None:
        """Make readers raise: whatever still comes is worth nothing."""
        self._end(reason)

    async def wait_ended(self) -> None:
        """Wait until the stream is over: the container wrote all that it will."""
        await self._ended.wait()

    async def close(self) -> None:
        """Let go of the connection, once the container is gone. Idempotent."""
        if self._transport is not None:
            self._transport.abort()
            await self._ended.wait()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio: attached."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """asyncio: a chunk of the stream."""
        try:
            for stream, piece in self._frames.feed(data):
                self._accept(stream, bytes(piece))
        except ValueError as error:
            self._end(str(error))

    def _accept(self, stream: int, piece: bytes) -> None:
        if stream == STDOUT and self._on_stdout is not None:
            self._on_stdout(piece)
        elif stream == STDOUT:
            self._lines.feed(piece)
        elif stream == STDERR:
            self._stderr.feed(piece)
            if self._on_stderr is not None:
                self._on_stderr(piece)
        elif stream == ENGINE_ERROR:
            self._end(piece[:1000].decode(errors="replace"))

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncio: the container ended, or the engine did."""
        if exc is not None and not isinstance(exc, BrokenPipeError):
            self._end(str(exc))
        elif self._frames.inside_frame:
            self._end("it ended in the middle of a frame")
        self._end(None)

    def pause_writing(self) -> None:
        """asyncio: stdin is full."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """asyncio: stdin has room again."""
        self._writable.set()

    def _end(self, reason: str | None) -> None:
        if self._ended.is_set():
            return
        self._broken = reason
        self._lines.end()
        self._ended.set()
        self._writable.set()


async def attach(
    engine: Engine,
    container_id: str,
    *,
    limit_bytes: int = OWN_OUTPUT_LIMIT_BYTES,
    on_stderr: Callable[[bytes], None] | None = None,
    on_stdout: Callable[[bytes], None] | None = None,
) -> Attachment:
    """Attach to a container that has not been started, so that no byte of it is missed.

    ``limit_bytes`` bounds the part of stdout that waits to be read; ``on_stderr`` gets stderr as
    it comes. ``on_stdout`` gets stdout so, and then there are no lines to read.

    Raises:
        SandboxError, EngineUnreachableError: as :meth:`Engine.call`, and where the engine refuses.
    """
    params = {"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1}
    try:
        return await open_stream(
            engine,
            lambda client: client.attach_socket(container_id, params=params),
            lambda: Attachment(limit_bytes=limit_bytes, on_stderr=on_stderr, on_stdout=on_stdout),
        )
    except APIError as error:
        raise explain(error, "attaching to a container") from error


async def open_stream(
    engine: Engine,
    ask: Callable[[docker.APIClient], Any],
    make: Callable[[], Attachment],
) -> Attachment:
    """The stream that ``ask`` gets from docker-py, carried by what ``make`` gives.

    Nothing may come on it before this returns.

    Raises:
        SandboxError, EngineUnreachableError, APIError: as :meth:`Engine.call`.
    """
    sock = await engine.call(lambda client: plain_socket(ask(client)), dispose=socket.socket.close)
    try:
        _, attachment = await asyncio.get_running_loop().create_connection(make, sock=sock)
    except BaseException:
        sock.close()
        raise
    return attachment


def plain_socket(raw: Any) -> socket.socket:
    """A plain socket that carries docker-py's ``raw`` stream, for asyncio to own.

    Raises:
        ValueError: the engine answered with something else than a stream.
    """
    response = getattr(raw, "_response", None)  # docker-py keeps it there; it owns the first socket
    release = response.close if response is not None else raw.close
    if response is not None and not _is_stream(response):
        release()
        raise ValueError(f"status {response.status_code} in place of a stream")
    if not isinstance(raw, socket.SocketIO):
        return bridged(raw, release=release)
    # Nothing can have been read ahead into http.client's buffer: nothing runs yet that writes.
    sock = socket.socket(fileno=os.dup(raw.fileno()))
    release()
    sock.setblocking(False)
    return sock


def _is_stream(response: requests.Response) -> bool:
    """Whether an end of it is the container's: that of any other answer would be taken for it."""
    kind = response.headers.get("Content-Type", "")
    return response.status_code == HTTPStatus.SWITCHING_PROTOCOLS or kind.startswith(_STREAM_TYPE)
