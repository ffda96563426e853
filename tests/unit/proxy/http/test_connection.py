"""A connection over a real socket: what comes back, in which order, and how it ends."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import pytest

from pacabench.proxy.http import connection as serving
from pacabench.proxy.http import request as reading
from pacabench.proxy.http.connection import Connection
from pacabench.proxy.http.reply import Reply
from pacabench.proxy.http.request import Request

Handler = Callable[["Served", Request, Reply], Awaitable[None]]


@dataclass
class Served:
    """A server, and what it saw."""

    port: int = 0
    seen: list[str] = field(default_factory=list)
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


@asynccontextmanager
async def served(handler: Handler) -> AsyncIterator[Served]:
    it = Served()

    async def serve(connection: Connection, request: Request, reply: Reply) -> None:
        it.seen.append(request.target)
        it.connection = connection
        connection.when_lost = it.lost.set
        await handler(it, request, reply)

    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(serve, it.open), "127.0.0.1", 0)
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


class TestRequests:
    async def test_one_after_the_other_on_one_connection(self) -> None:
        async with served(echo) as it:
            reader, writer = await asyncio.open_connection("127.0.0.1", it.port)
            for at in range(3):
                writer.write(asks(f"/{at}", b"abc"))
                assert (await reader.readuntil(b"abc")).endswith(b"/%d abc" % at)
            assert len(it.open) == 1
            writer.close()

    async def test_those_sent_ahead_are_answered_in_their_order(self) -> None:
        wire = b"".join(asks(f"/{at}", b"x" * at) for at in range(6)) + asks("/6", b"", LAST)
        for size in (len(wire), 100, 7):
            async with served(echo) as it:
                said = await it.says(*(wire[at : at + size] for at in range(0, len(wire), size)))
            assert bodies(said) == [b"/%d " % at + b"x" * at for at in range(6)] + [b"/6 "]

    async def test_too_much_sent_ahead_ends_the_connection_after_the_reply(self) -> None:
        async def slow(it: Served, request: Request, reply: Reply) -> None:
            await it.go_on.wait()
            await echo(it, request, reply)

        async with served(slow) as it:
            reader, writer = await asyncio.open_connection("127.0.0.1", it.port)
            writer.write(asks("/1"))
            while not it.seen:
                await asyncio.sleep(0.005)
            writer.write(asks("/2", b"x" * 2 * reading.MAX_AHEAD_BYTES))
            await asyncio.sleep(0.1)
            it.go_on.set()
            async with asyncio.timeout(10):
                said = await reader.read()
            writer.close()
        assert it.seen in (["/1"], ["/1", "/2"])
        assert b"/1 HTTP/1.1 400 Bad Request\r\n" in said
        assert b"Too much is sent" in said

    async def test_a_bad_one_is_answered_after_the_good_one_before_it(self) -> None:
        async with served(echo) as it:
            said = await it.says(asks("/1") + b"GET / HTTP/1.1\nHost: x\n\n")
        assert said.index(b"/1 HTTP/1.1 400 Bad Request\r\n") > 0
        assert said.count(b"Connection: close") == 1
        assert it.seen == ["/1"]

    async def test_a_long_body_comes_whole(self) -> None:
        body = bytes(range(256)) * 8000
        async with served(echo) as it:
            [said] = bodies(await it.says(asks("/", body, LAST)))
        assert said == b"/ " + body

    async def test_who_is_refused_inside_its_body_gets_the_reply(self) -> None:
        async def refuse(_: Served, __: Request, reply: Reply) -> None:
            reply.answer(413, "text/plain", b"too long")

        async with served(refuse) as it:
            reader, writer = await asyncio.open_connection("127.0.0.1", it.port)
            # More than what the sockets hold: closed at once, it would be reset.
            writer.write(asks("/", b"x" * 20_000_000))
            async with asyncio.timeout(10):
                await writer.drain()
                said = await reader.read()
            writer.close()
            async with asyncio.timeout(10):
                await it.lost.wait()
        assert said.startswith(b"HTTP/1.1 413 ")
        assert said.endswith(b"too long")
        assert not it.open

    async def test_nobody_sees_off_a_client_for_ever(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(serving, "HEAD_WITHIN_S", 0.1)
        monkeypatch.setattr(serving, "SEE_OFF_S", 0.1)

        async def refuse(_: Served, __: Request, reply: Reply) -> None:
            reply.answer(413, "text/plain", b"too long")

        async with served(refuse) as it:
            reader, writer = await asyncio.open_connection("127.0.0.1", it.port)
            writer.write(asks("/", b"x" * 1000)[:-1])
            async with asyncio.timeout(10):
                await reader.read()
                await it.lost.wait()
            writer.close()

    async def test_a_connection_may_be_idle_but_not_for_ever(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(serving, "HEAD_WITHIN_S", 0.1)
        monkeypatch.setattr(serving, "IDLE_WITHIN_S", 0.5)
        loop = asyncio.get_running_loop()
        async with served(echo) as it:
            began = loop.time()
            said = await it.says(asks("/1"))
        assert 0.5 <= loop.time() - began < 5
        assert bodies(said) == [b"/1 "]

    async def test_half_a_head_sent_ahead_is_not_waited_for(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(serving, "HEAD_WITHIN_S", 0.2)
        async with served(echo) as it:
            assert bodies(await it.says(asks("/1") + asks("/2")[:10])) == [b"/1 "]

    async def test_the_elder_http_is_answered_once(self) -> None:
        async with served(echo) as it:
            said = await it.says(asks("/", b"", "Connection: keep-alive", version="1.0"))
        assert bodies(said) == [b"/ "]
        assert b"Connection: close\r\n" in said


class TestReplies:
    async def test_a_short_one_is_one_packet(self) -> None:
        async def two_parts(_: Served, __: Request, reply: Reply) -> None:
            reply.start(200, {"Content-Length": "4"})
            reply.send(b"ab")
            await asyncio.sleep(0.05)
            reply.send(b"cd")
            reply.finish()

        async with served(two_parts) as it:
            reader, writer = await asyncio.open_connection("127.0.0.1", it.port)
            writer.write(asks("/"))
            assert (await reader.read(65536)).endswith(b"\r\n\r\nab")
            assert await reader.read(65536) == b"cd"
            writer.close()

    async def test_events_come_one_by_one_in_chunks(self) -> None:
        async def events(_: Served, __: Request, reply: Reply) -> None:
            reply.start(200, {"Content-Type": "text/event-stream"}, at_once=True)
            for at in range(3):
                await asyncio.sleep(0.05)
                reply.send(b"data: %d\n\n" % at)
            reply.finish()

        async with served(events) as it:
            reader, writer = await asyncio.open_connection("127.0.0.1", it.port)
            writer.write(asks("/"))
            start = await reader.read(65536)
            assert start.endswith(b"\r\n\r\n")
            assert b"Transfer-Encoding: chunked\r\n" in start
            for at in range(2):
                assert await reader.read(65536) == b"9\r\ndata: %d\n\n\r\n" % at
            assert (await reader.readuntil(b"0\r\n\r\n")).startswith(b"9\r\ndata: 2")
            writer.close()

    async def test_without_chunks_the_connection_ends_it(self) -> None:
        async def unknown(_: Served, __: Request, reply: Reply) -> None:
            reply.start(200, {})
            reply.send(b"abc")
            reply.finish()

        async with served(unknown) as it:
            said = await it.says(asks("/", version="1.0"))
        assert said.endswith(b"\r\n\r\nabc")
        assert b"chunked" not in said

    async def test_without_chunks_a_broken_one_has_no_good_end(self) -> None:
        async def unknown(it: Served, __: Request, reply: Reply) -> None:
            reply.start(200, {})
            reply.send(b"abc")
            await it.go_on.wait()
            reply.break_off()

        async with served(unknown) as it:
            reader, writer = await asyncio.open_connection("127.0.0.1", it.port)
            writer.write(asks("/", version="1.0"))
            assert (await reader.read(65536)).endswith(b"abc")
            it.go_on.set()
            with pytest.raises(ConnectionResetError):
                await asyncio.wait_for(reader.read(), 10)
            writer.close()

    @pytest.mark.parametrize("method", ["HEAD", "GET"])
    async def test_a_head_is_answered_without_a_body(self, method: str) -> None:
        wire = asks("/", b"", LAST).replace(b"POST", method.encode())
        async with served(echo) as it:
            said = await it.says(wire)
        assert b"Content-Length: 2\r\n" in said
        assert said.endswith(b"\r\n\r\n" if method == "HEAD" else b"\r\n\r\n/ ")

    @pytest.mark.parametrize("status", [204, 304])
    async def test_nor_are_statuses_that_have_none(self, status: int) -> None:
        async def empty(_: Served, __: Request, reply: Reply) -> None:
            reply.start(status, {})
            reply.send(b"abc")
            reply.finish()

        async with served(empty) as it:
            said = await it.says(asks("/1") + asks("/2", b"", LAST))
        assert said.count(b"HTTP/1.1 %d" % status) == 2
        assert b"abc" not in said
        assert b"chunked" not in said

    async def test_what_is_longer_than_it_said_is_cut(self) -> None:
        async def longer(_: Served, __: Request, reply: Reply) -> None:
            reply.start(200, {"Content-Length": "3"})
            reply.send(b"abHTTP/1.1 200 OK")
            reply.send(b"c")
            reply.finish()

        async with served(longer) as it:
            said = await it.says(asks("/1") + asks("/2", b"", LAST))
        assert bodies(said) == [b"abH", b"abH"]

    async def test_what_is_shorter_than_it_said_ends_the_connection(self) -> None:
        async def shorter(_: Served, __: Request, reply: Reply) -> None:
            reply.start(200, {"Content-Length": "3"})
            reply.send(b"ab")
            reply.finish()

        async with served(shorter) as it:
            said = await it.says(asks("/1") + asks("/2"))
        assert said.endswith(b"\r\n\r\nab")
        assert it.seen == ["/1"]

    @pytest.mark.parametrize("unfinished", ["never begun", "begun", "failed", "failed late"])
    async def test_one_that_is_not_finished_ends_the_connection(self, unfinished: str) -> None:
        async def leave(_: Served, __: Request, reply: Reply) -> None:
            if unfinished in ("begun", "failed late"):
                reply.start(200, {}, at_once=True)
            if unfinished.startswith("failed"):
                raise KeyError("bug")

        async with served(leave) as it:
            said = await it.says(asks("/1") + asks("/2"))
        assert it.seen == ["/1"]
        assert b"0\r\n\r\n" not in said
        statuses = {"never begun": b"", "begun": b"HTTP/1.1 200", "failed": b"HTTP/1.1 500"}
        assert said[:12] == statuses.get(unfinished, b"HTTP/1.1 200")

    @pytest.mark.parametrize(
        "headers",
        [{"A": "b\r\nC: d"}, {"A\r\nC": "d"}, {"A": "b\n"}, {"A": "b\r"}, {"A": "\0"}]
        + [{"Content-Length": it} for it in ("-1", "+1", "x", "", "\u0661", "1, 1")],
    )
    async def test_a_header_cannot_become_two(self, headers: dict[str, str]) -> None:
        async def answer(_: Served, __: Request, reply: Reply) -> None:
            with pytest.raises(ValueError, match="of the reply"):
                reply.start(200, headers)
            assert not reply.is_started
            reply.answer(502, "text/plain", b"no")

        async with served(answer) as it:
            assert (await it.says(asks("/"))).startswith(b"HTTP/1.1 502 Bad Gateway\r\n")


class TestLeaving:
    async def test_a_client_that_leaves_is_noticed_at_once(self) -> None:
        async def slow(it: Served, _: Request, __: Reply) -> None:
            await it.lost.wait()

        for ending in ("close", "abort"):
            async with served(slow) as it:
                _, writer = await asyncio.open_connection("127.0.0.1", it.port)
                writer.write(asks("/"))
                while not it.seen:
                    await asyncio.sleep(0.005)
                getattr(writer.transport, ending)()
                async with asyncio.timeout(5):
                    await it.lost.wait()
                assert it.connection is not None
                assert it.connection.is_lost
                async with asyncio.timeout(5):
                    while not it.connection.task.done():
                        await asyncio.sleep(0.005)
                assert not it.open

    async def test_also_inside_its_body(self) -> None:
        async with served(echo) as it:
            _, writer = await asyncio.open_connection("127.0.0.1", it.port)
            writer.write(asks("/", b"x" * 100)[:-1])
            while not it.seen:
                await asyncio.sleep(0.005)
            writer.close()
            async with asyncio.timeout(5):
                await it.lost.wait()
            assert it.connection is not None
            async with asyncio.timeout(5):
                while not it.connection.task.done():
                    await asyncio.sleep(0.005)

    @pytest.mark.parametrize("ending", ["reads", "leaves"])
    async def test_one_that_reads_slowly_is_waited_for(self, ending: str) -> None:
        waits: list[str] = []

        async def much(it: Served, _: Request, reply: Reply) -> None:
            assert it.connection is not None
            reply.start(200, {})
            while not it.connection.is_behind:
                reply.send(b"x" * 100_000)
            waits.append("begun")
            await it.connection.caught_up()
            waits.append("leaves" if it.connection.is_lost else "reads")

        async with served(much) as it:
            with socket.create_connection(("127.0.0.1", it.port)) as client:
                client.sendall(asks("/"))
                await asyncio.sleep(0.2)
                assert waits == ["begun"]
                if ending == "reads":
                    client.settimeout(5)
                    await asyncio.to_thread(lambda: [*iter(lambda: client.recv(1 << 16), b"")])
            async with asyncio.timeout(5):
                while len(waits) < 2:
                    await asyncio.sleep(0.005)
        assert waits == ["begun", ending]
