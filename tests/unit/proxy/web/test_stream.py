"""One end of a connection."""

import asyncio
import socket
import struct

from pacabench.proxy.web.stream import Stream


async def test_saying_the_end_to_a_side_that_broke_off_is_no_fault() -> None:
    met: asyncio.Queue[Stream] = asyncio.Queue()
    server = await asyncio.start_server(
        lambda reader, writer: met.put_nowait(Stream(reader, writer)), "127.0.0.1", 0
    )
    other = socket.create_connection(server.sockets[0].getsockname())
    try:
        stream = await met.get()
        other.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        other.close()  # a reset, of which the event loop does not know yet

        stream.end()

        await stream.close(within_s=5)
    finally:
        other.close()
        server.close()
