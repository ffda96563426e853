"""Replies over a real socket: in how many packets they come, and where each ends."""

import asyncio

import pytest
from served_http import LAST, Served, asks, bodies, echo, served

from pacabench.proxy.http.reply import Reply
from pacabench.proxy.http.request import Request


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
        assert [type(fault) for fault in it.faults] == [KeyError] * unfinished.startswith("failed")
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
