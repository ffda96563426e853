"""A web gateway with one bound lane, before a web that is all on loopback and keeps books."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pacabench.egress import EgressRecord
from pacabench.proxy.spool import Spool
from pacabench.proxy.web.addresses import AddressPolicy
from pacabench.proxy.web.server import WebGateway
from pacabench.proxy.web.stream import Limits

PEM = Path(__file__).parents[3] / "support" / "fake_web.pem"
"""A certificate that signed itself, for ``*.pedia.example`` and others, and its key."""
ATTEMPT = "attempt-1"
NAME = "en.pedia.example"
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class LoopbackIsPublic(AddressPolicy):
    """The policy of the real thing, but for the one address that the fake web has."""

    def problem(self, text: str) -> str | None:
        return None if text == "127.0.0.1" else super().problem(text)


@dataclass
class Resolver:
    """Answers as it is told, in order; the last answer is given again."""

    answers: dict[str, list[Sequence[str]]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    delay_s: float = 0.0

    async def __call__(self, host: str) -> Sequence[str]:
        self.asked.append(host)
        await asyncio.sleep(self.delay_s)
        if host not in self.answers:
            if host.endswith("pedia.example"):
                return ["127.0.0.1"]
            raise OSError(-2, "Name or service not known")
        answers = self.answers[host]
        return answers.pop(0) if len(answers) > 1 else answers[0]


@dataclass
class Site:
    """One server of the fake web."""

    port: int
    connections: int = 0
    received: bytes = b""


Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def open_site(talk: Talk, context: ssl.SSLContext | None = None) -> AsyncIterator[Site]:
    """A server on loopback that talks as ``talk`` does."""
    site = Site(0)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        site.connections += 1
        try:
            await talk(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    def spy(reader: asyncio.StreamReader) -> None:
        feed = reader.feed_data

        def feed_data(data: bytes) -> None:
            site.received += data
            feed(data)

        reader.feed_data = feed_data

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        spy(reader)
        await serve(reader, writer)

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=context)
    site.port = server.sockets[0].getsockname()[1]
    try:
        yield site
    finally:
        server.close()


def server_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(PEM)
    return context


def client_context() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(PEM))


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Sends back what it gets."""
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


@dataclass
class Web:
    """What a test talks to, as an agent would."""

    gateway: WebGateway
    port: int
    resolver: Resolver
    records: list[EgressRecord]
    notices: list[str]
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    async def dial(self) -> Streams:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        self.writers.append(writer)
        return reader, writer

    async def say(self, data: bytes) -> bytes:
        """What comes back, to its end, when ``data`` is written on a connection of its own."""
        reader, writer = await self.dial()
        writer.write(data)
        async with asyncio.timeout(10):
            try:
                return await reader.read()
            except ConnectionError:
                return b""

    async def connect(self, host: str, port: int) -> Streams:
        """An open tunnel."""
        reader, writer = await self.dial()
        writer.write(f"CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
        async with asyncio.timeout(10):
            head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 "), head
        return reader, writer

    async def settled(self, count: int = 1) -> list[EgressRecord]:
        """The records, once there are ``count``."""
        async with asyncio.timeout(20):
            while len(self.records) < count:  # noqa: ASYNC110 - a sink has no event
                await asyncio.sleep(0.005)
        assert len(self.records) == count
        return self.records

    async def record(self) -> EgressRecord:
        """The only record."""
        (record,) = await self.settled()
        return record


OpenWeb = Callable[..., AbstractAsyncContextManager[Web]]


@pytest.fixture
def open_web() -> OpenWeb:
    """Opens a web gateway whose one lane may reach what is given."""

    @asynccontextmanager
    async def open_(
        *allow: str, limits: Limits | None = None, spool: Spool | None = None, bound: bool = True
    ) -> AsyncIterator[Web]:
        records: list[EgressRecord] = []
        notices: list[str] = []
        resolver = Resolver()
        gateway = WebGateway(
            records.append,
            spool,
            policy=LoopbackIsPublic(),
            resolve=resolver,
            limits=limits or Limits(),
            on_notice=notices.append,
        )
        sock = socket.create_server(("127.0.0.1", 0), backlog=64)
        web = Web(gateway, sock.getsockname()[1], resolver, records, notices)
        await gateway.add_lane("lane-1", sock)
        if bound:
            gateway.bind("lane-1", ATTEMPT, allow)
        try:
            yield web
        finally:
            await gateway.close()
            for writer in web.writers:
                writer.transport.abort()
            await asyncio.sleep(0)
        assert not notices

    return open_
