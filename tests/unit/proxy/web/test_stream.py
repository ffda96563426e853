"""One end of a connection."""

import asyncio
import socket
import struct

import pytest

from pacabench.proxy.web.http_head import BadMessageError
from pacabench.proxy.web.stream import PIECE_BYTES, Stream

MOST = 32 * 1024
CONNECT = b"CONNECT a.example:443 HTTP/1.1\r\n"


def said(data: bytes, *, ended: bool = False) -> Stream:
    """A stream whose other side said ``data``."""
    reader = asyncio.StreamReader(limit=PIECE_BYTES)  # as of a lane's second port
    reader.feed_data(data)
    if ended:
        reader.feed_eof()
    return Stream(reader, None)  # type: ignore[arg-type]


def padded(size: int, *, lines: int) -> bytes:
    """The head of a CONNECT, so long in all, with its padding in so many lines."""
    rest = size - len(CONNECT) - 2
    sizes = [rest // lines] * (lines - 1) + [rest - (lines - 1) * (rest // lines)]
    return CONNECT + b"".join(b"X: %s\r\n" % (b"x" * (it - 5)) for it in sizes) + b"\r\n"


class TestHeads:
    @pytest.mark.parametrize("lines", [1, 2, 90])
    async def test_one_may_be_so_long_and_not_a_byte_longer(self, lines: int) -> None:
        most = padded(MOST, lines=lines)
        assert len(most) == MOST
        assert await said(most + b"more").read_head() == most
        for more in (1, 2, 3, 5000):
            with pytest.raises(BadMessageError, match="too long"):
                await said(padded(MOST + more, lines=lines)).read_head()

    @pytest.mark.parametrize("size", [MOST + 1, PIECE_BYTES - 1, 3 * PIECE_BYTES])
    async def test_a_line_without_end_is_not_waited_for(self, size: int) -> None:
        stream = said(CONNECT + b"X: " + b"x" * size + b"\r\n" * (size < PIECE_BYTES))
        async with asyncio.timeout(5):
            with pytest.raises(BadMessageError, match="too long"):
                await stream.read_head()

    async def test_lines_without_end_are_not_read_to_their_end(self) -> None:
        lines = b"X: y\r\n" * (MOST // 6 + 1000)
        stream = said(CONNECT + lines, ended=True)
        with pytest.raises(BadMessageError, match="too long"):
            await stream.read_head()
        left = await stream.reader.read(-1)
        assert len(left) >= len(CONNECT + lines) - MOST - len(b"X: y\r\n")

    @pytest.mark.parametrize(
        ("data", "why"),
        [
            (CONNECT, "its head breaks off"),
            (CONNECT + b"X: y", "inside a line"),
            (CONNECT + b"X: y\n\r\n", "without CR LF"),
            (b"\r\n" + CONNECT, "an empty line"),
        ],
    )
    async def test_one_that_breaks_off_is_none(self, data: bytes, why: str) -> None:
        with pytest.raises(BadMessageError, match=why):
            await said(data, ended=True).read_head()

    async def test_nothing_at_all_is_an_end(self) -> None:
        assert await said(b"", ended=True).read_head() == b""

    @pytest.mark.parametrize(("most", "fits"), [(5, True), (4, False), (6, True)])
    async def test_a_line_is_counted_with_its_end(self, most: int, fits: bool) -> None:
        if fits:
            assert await said(b"abc\r\n").read_line(most) == b"abc\r\n"
        else:
            with pytest.raises(BadMessageError, match="too long"):
                await said(b"abc\r\n").read_line(most)


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
