"""What a call makes of a client that is slow, or gone."""

import asyncio

from served_http import Served, asks, served

from pacabench.proxy.client import Client
from pacabench.proxy.held_bytes import HeldBytes
from pacabench.proxy.http.reply import Reply
from pacabench.proxy.http.request import Request


async def test_nobody_waits_for_a_slow_client_whose_connection_was_closed() -> None:
    seen: list[object] = []

    async def hang_up(it: Served, request: Request, reply: Reply) -> None:
        assert it.connection is not None
        client = Client(it.connection, request, reply, HeldBytes(0))
        client.start(200, {})
        while client.write(b"x" * 100_000):
            pass
        it.connection.close()
        seen.extend((client.gone, client.write(b"abc"), client.gone, client.missed_bytes))

    async with served(hang_up) as it:
        _, writer = await asyncio.open_connection("127.0.0.1", it.port)
        writer.transport.pause_reading()
        writer.write(asks("/"))
        async with asyncio.timeout(10):
            while not seen:  # noqa: ASYNC110 - plain state has no event
                await asyncio.sleep(0.005)
        assert it.connection is not None
        assert it.connection.is_behind
        writer.transport.abort()
    assert seen == [False, True, True, 3]
