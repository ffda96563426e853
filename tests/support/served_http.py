"""A server of connections over real sockets, and what a client of it gets."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from pacabench.proxy.http.connection import Connection
from pacabench.proxy.http.reply import Reply
from pacabench.proxy.http.request import Request

Handler = Callable[["Served", Request, Reply], Awaitable[None]]


@dataclass
class Served:
    """A server, and what it saw."""

    port: int = 0
    seen: list[str] = field(default_factory=list)
    faults: list[Exception] = field(default_factory=list)
    lost: asyncio.Event = field(default_factory=asyncio.Event)
    open: set[Connection] = field(default_factory=set)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    connection: Connection | None = None
    """Of the last request."""

    async def says(self, *pieces: bytes) -> bytes:
        """All that comes back."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        for piece in pieces:
            writer.write(piece)
            await asyncio.sleep(0.01)
        async with asyncio.timeout(10):
            said = await reader.read()
        writer.close()
        return said


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - plain state has no event
            await asyncio.sleep(0.005)


@asynccontextmanager
async def served(handler: Handler) -> AsyncIterator[Served]:
    it = Served()

    async def serve(connection: Connection, request: Request, reply: Reply) -> None:
        it.seen.append(request.target)
        it.connection = connection
        connection.when_lost = it.lost.set
        await handler(it, request, reply)

    loop = asyncio.get_running_loop()

    buffer = memoryview(bytearray(65536))

    def accept() -> Connection:
        return Connection(serve, it.open, buffer, it.faults.append)

    server = await loop.create_server(accept, "127.0.0.1", 0)
    it.port = server.sockets[0].getsockname()[1]
    try:
        yield it
    finally:
        server.close()
        for connection in list(it.open):
            connection.transport.abort()
            if connection.task is not None:
                connection.task.cancel()
                with suppress(asyncio.CancelledError):
                    await connection.task
        await asyncio.sleep(0)


async def echo(_: Served, request: Request, reply: Reply) -> None:
    body = bytearray(request.target.encode() + b" ")
    while not request.is_whole:
        body += request.take()
        await request.more()
    body += request.take()
    reply.start(200, {"Content-Length": str(len(body))})
    reply.send(bytes(body))
    reply.finish()


def asks(target: str, body: bytes = b"", *lines: str, version: str = "1.1") -> bytes:
    first = f"POST {target} HTTP/{version}"
    return (
        "\r\n".join([first, "Host: x", f"Content-Length: {len(body)}", *lines, "", ""]).encode()
        + body
    )


def bodies(said: bytes) -> list[bytes]:
    """The bodies of replies of a known length, one after the other."""
    found = []
    while said:
        start, _, said = said.partition(b"\r\n\r\n")
        assert start.startswith(b"HTTP/1.1 200 OK\r\n"), start
        [length] = [it for it in start.split(b"\r\n") if it.startswith(b"Content-Length: ")]
        size = int(length.split(b" ")[1])
        found.append(said[:size])
        said = said[size:]
    return found


LAST = "Connection: close"
