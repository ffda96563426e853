"""A connection over a real socket: what comes back, in which order, and how it ends."""

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import pytest
from served_http import LAST, Served, asks, bodies, echo, served, until

from pacabench.proxy.http import connection as serving
from pacabench.proxy.http import request as reading
from pacabench.proxy.http.reply import Reply
from pacabench.proxy.http.request import Request


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

    @pytest.mark.parametrize("size", [reading.MAX_AHEAD_BYTES, 1000])
    async def test_too_much_sent_ahead_ends_the_connection_after_the_reply(self, size: int) -> None:
        async def slow(it: Served, request: Request, reply: Reply) -> None:
            await it.go_on.wait()
            await echo(it, request, reply)

        async with served(slow) as it:
            reader, writer = await asyncio.open_connection("127.0.0.1", it.port)
            writer.write(asks("/1"))
            await until(lambda: it.seen)
            writer.write(asks("/2", b"x" * reading.MAX_AHEAD_BYTES)[: size + 100])
            await asyncio.sleep(0.05)
            writer.write(b"x" * (reading.MAX_AHEAD_BYTES - size))
            await asyncio.sleep(0.05)
            it.go_on.set()
            async with asyncio.timeout(10):
                said = await reader.read()
            writer.close()
        assert it.seen in (["/1"], ["/1", "/2"])
        assert b"/1 HTTP/1.1 400 Bad Request\r\n" in said
        assert b"Too much is sent" in said

    async def test_what_was_sent_ahead_counts_for_one_reply(self) -> None:
        async def slow(it: Served, request: Request, reply: Reply) -> None:
            await it.go_on.wait()
            it.go_on.clear()
            await echo(it, request, reply)

        body = b"x" * (reading.MAX_AHEAD_BYTES // 2)
        async with served(slow) as it:
            reader, writer = await asyncio.open_connection("127.0.0.1", it.port)
            writer.write(asks("/0", body))
            for at in range(4):
                await until(lambda at=at: f"/{at}" in it.seen)
                writer.write(asks(f"/{at + 1}", body))
                await asyncio.sleep(0.05)
                it.go_on.set()
                assert (await reader.readuntil(b" " + body)).startswith(b"HTTP/1.1 200 OK\r\n")
            writer.close()

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
        refused: list[Request] = []

        async def refuse(_: Served, request: Request, reply: Reply) -> None:
            refused.append(request)
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
        assert len(refused[0].take()) < 1_000_000

    async def test_a_body_that_nobody_read_ends_the_connection(self) -> None:
        async def hasty(_: Served, __: Request, reply: Reply) -> None:
            reply.start(204, {})
            reply.finish()

        async with served(hasty) as it:
            first = asks("/1", b"x" * 5)
            said = await it.says(first[:-5], first[-5:] + asks("/2"))
        assert it.seen == ["/1"]
        assert said.count(b"HTTP/1.1 204") == 1

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


class TestLeaving:
    async def test_a_client_that_leaves_is_noticed_at_once(self) -> None:
        async def slow(it: Served, _: Request, __: Reply) -> None:
            await it.lost.wait()

        for ending in ("close", "abort"):
            async with served(slow) as it:
                _, writer = await asyncio.open_connection("127.0.0.1", it.port)
                writer.write(asks("/"))
                await until(lambda: it.seen)
                getattr(writer.transport, ending)()
                async with asyncio.timeout(5):
                    await it.lost.wait()
                assert it.connection is not None
                assert it.connection.is_lost
                await until(it.connection.task.done)
                assert not it.open

    async def test_also_inside_its_body(self) -> None:
        async with served(echo) as it:
            _, writer = await asyncio.open_connection("127.0.0.1", it.port)
            writer.write(asks("/", b"x" * 100)[:-1])
            await until(lambda: it.seen)
            writer.close()
            async with asyncio.timeout(5):
                await it.lost.wait()
            assert it.connection is not None
            await until(it.connection.task.done)

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
            await until(lambda: len(waits) == 2)
        assert waits == ["begun", ending]

    @pytest.mark.parametrize("takes", [True, False])
    async def test_one_that_takes_nothing_is_not_waited_for_for_ever(
        self, monkeypatch: pytest.MonkeyPatch, takes: bool
    ) -> None:
        """One that takes a little each time is, however little that is."""
        monkeypatch.setattr(serving, "TAKES_NOTHING_S", 0.05)
        looked = 0

        async def much(it: Served, _: Request, reply: Reply) -> None:
            assert it.connection is not None
            reply.start(200, {})
            while not it.connection.is_behind:
                reply.send(b"x" * 100_000)
            if takes:
                transport, size = it.connection.transport, 10**6

                def left() -> int:
                    nonlocal looked, size
                    looked, size = looked + 1, size - 1
                    return size

                monkeypatch.setattr(it.connection, "transport", Slow(transport, left))
            await it.connection.caught_up()

        async with served(much) as it:
            with socket.create_connection(("127.0.0.1", it.port)) as client:
                client.sendall(asks("/"))
                if takes:
                    await until(lambda: looked > 5)
                    assert not it.lost.is_set()
                else:
                    await until(it.lost.is_set)
                    assert it.connection is not None
                    assert it.connection.unsent_bytes > 0


class Slow:
    """A transport that says it has less left each time it is asked."""

    def __init__(self, transport: asyncio.Transport, left: Callable[[], int]) -> None:
        self._transport = transport
        self.get_write_buffer_size = left

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
