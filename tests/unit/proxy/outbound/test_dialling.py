"""What a forward proxy says of a tunnel: read to its head's end, and not without end."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

import pytest

from pacabench.proxy.outbound.dialling import _open_tunnel
from pacabench.proxy.outbound.origin import Origin
from pacabench.proxy.upstream import UpstreamUnreachableError

MOST = 16 * 1024
GOOD = b"HTTP/1.1 200 OK\r\n"
ORIGIN = Origin("llm.example", 443, tls=True)
ASKED = b"CONNECT llm.example:443 HTTP/1.1\r\nHost: llm.example:443\r\n\r\n"


@contextlib.asynccontextmanager
async def gate_says(data: bytes, *, leaves: bool = False) -> AsyncIterator[socket.socket]:
    """A socket to a proxy that says ``data`` to whatever it is asked; and takes what is asked."""
    ours, theirs = socket.socketpair()
    loop = asyncio.get_running_loop()
    for sock in (ours, theirs):
        sock.setblocking(False)

    async def say() -> None:
        assert await loop.sock_recv(theirs, 65536) == ASKED
        await loop.sock_sendall(theirs, data)
        if leaves:
            theirs.close()

    saying = asyncio.create_task(say())
    try:
        async with asyncio.timeout(10):
            yield ours
    finally:
        saying.cancel()
        await asyncio.gather(saying, return_exceptions=True)
        ours.close()
        theirs.close()


def padded(size: int, *, ended: bool = True) -> bytes:
    end = b"\r\n\r\n" if ended else b""
    head = GOOD + b"X: "
    return head + b"x" * (size - len(head) - len(end)) + end


@pytest.mark.parametrize("size", [len(GOOD) + 8, 4096, 4097, MOST])
async def test_a_head_may_be_so_long(size: int) -> None:
    async with gate_says(padded(size)) as sock:
        await _open_tunnel(sock, ORIGIN, None)


@pytest.mark.parametrize("more", [1, 2, 4000, 100_000])
async def test_and_not_a_byte_longer(more: int) -> None:
    async with gate_says(padded(MOST + more)) as sock:
        with pytest.raises(UpstreamUnreachableError, match="said too much"):
            await _open_tunnel(sock, ORIGIN, None)


async def test_one_without_end_is_not_read_for_ever() -> None:
    size = 4 * MOST
    async with gate_says(padded(size, ended=False), leaves=True) as sock:
        with pytest.raises(UpstreamUnreachableError, match="said too much"):
            await _open_tunnel(sock, ORIGIN, None)
        left = 0
        while piece := await asyncio.get_running_loop().sock_recv(sock, 65536):
            left += len(piece)
    assert left >= size - MOST - 4096


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "broke off"),
        (GOOD, "broke off"),
        (GOOD + b"\r\n" + b"early", "spoke before it was spoken to"),
        (b"HTTP/1.1 407 Who are you\r\n\r\n", "refused with HTTP status 407"),
        (b"HTTP/1.1 199 Odd\r\n\r\n", "refused with HTTP status 199"),
        (b"HTTP/1.1 300 Odd\r\n\r\n", "refused with HTTP status 300"),
        (b"SSH-2.0-x\r\n\r\n", "does not speak HTTP"),
    ],
)
async def test_what_is_no_good_answer_is_none(data: bytes, why: str) -> None:
    async with gate_says(data, leaves=True) as sock:
        with pytest.raises(UpstreamUnreachableError, match=why):
            await _open_tunnel(sock, ORIGIN, None)


async def test_a_login_goes_along() -> None:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.settimeout(5)
    with ours, theirs:
        theirs.sendall(GOOD + b"\r\n")
        await _open_tunnel(ours, ORIGIN, "Basic eDp5")
        asked = theirs.recv(65536)
    assert asked == ASKED[:-2] + b"Proxy-Authorization: Basic eDp5\r\n\r\n"
