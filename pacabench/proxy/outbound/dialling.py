"""From an origin to a connected socket: a checked address, a tunnel where a proxy is between."""

import asyncio
import re
import socket
from collections.abc import Sequence
from itertools import chain, zip_longest
from typing import Any, TypeAlias

from pacabench.proxy.outbound.origin import Origin
from pacabench.proxy.resolver import CheckedResolver
from pacabench.proxy.upstream import UpstreamUnreachableError

_NEXT_AFTER_S = 0.25
"""Until the next address is tried beside one that does not answer (RFC 8305, section 5)."""
_MAX_TUNNEL_HEAD = 16 * 1024
_STATUS = re.compile(rb"HTTP/1\.[01] ([1-9][0-9]{2})[ \r]")
_HEAD_END = b"\r\n\r\n"
_GOOD = range(200, 300)

_Place: TypeAlias = tuple[socket.AddressFamily, Any]


async def dial(origin: Origin, resolver: CheckedResolver) -> socket.socket:
    """A socket whose other end is ``origin``; with TLS the handshake comes next.

    Cancellation leaves nothing open.

    Raises:
        OSError: nobody answers there, or no address may be connected to.
        UpstreamUnreachableError: the forward proxy would not let it through.
    """
    gate = origin.gate
    host, port = (origin.host, origin.port) if gate is None else (gate.host, gate.port)
    sock = await _connected(_places(await resolver.addresses(host), port))
    if gate is not None and origin.tls:
        try:
            await _open_tunnel(sock, origin, gate.login)
        except BaseException:
            sock.close()
            raise
    return sock


def _places(addresses: Sequence[str], port: int) -> Sequence[_Place]:
    """Socket addresses, the families in turn. Numeric, so that nothing is looked up again."""
    found = [
        (entry[0], entry[4])
        for address in addresses
        for entry in socket.getaddrinfo(
            address, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST
        )
    ]
    first = found[0][0]
    turns = zip_longest(
        [place for place in found if place[0] == first],
        [place for place in found if place[0] != first],
    )
    return [place for place in chain.from_iterable(turns) if place is not None]


async def _connected(places: Sequence[_Place]) -> socket.socket:
    """The first that answers; each has a moment before the next one is tried beside it."""
    tries: set[asyncio.Task[socket.socket]] = set()
    problem: BaseException | None = None
    waiting = list(reversed(places))
    try:
        while waiting or tries:
            if waiting:
                tries.add(asyncio.create_task(_connect(*waiting.pop())))
            pause = _NEXT_AFTER_S if waiting else None
            done, _ = await asyncio.wait(tries, timeout=pause, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                tries.discard(task)
                problem = task.exception()
                if problem is None:
                    tries |= done - {task}
                    return task.result()
        assert problem is not None
        raise problem
    finally:
        _give_up(tries)


def _give_up(tries: set[asyncio.Task[socket.socket]]) -> None:
    """Those that lost the race, or whose call was cut: none stays open."""
    for task in tries:
        task.add_done_callback(_close_socket)
        task.cancel()


def _close_socket(task: asyncio.Task[socket.socket]) -> None:
    if not task.cancelled() and task.exception() is None:
        task.result().close()


async def _connect(family: socket.AddressFamily, address: Any) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, address)
    except BaseException:
        sock.close()
        raise
    return sock


async def _open_tunnel(sock: socket.socket, origin: Origin, login: str | None) -> None:
    """Have the forward proxy connect to ``origin``. What it says is read to its head's end only.

    Raises:
        OSError: it broke off.
        UpstreamUnreachableError: it refused, or did not speak HTTP.
    """
    loop = asyncio.get_running_loop()
    asked = f"CONNECT {origin.authority} HTTP/1.1\r\nHost: {origin.authority}\r\n"
    if login is not None:
        asked += f"Proxy-Authorization: {login}\r\n"
    await loop.sock_sendall(sock, f"{asked}\r\n".encode("ascii"))
    said = b""
    while _HEAD_END not in said:
        piece = await loop.sock_recv(sock, 4096)
        said += piece
        if not piece or len(said) > _MAX_TUNNEL_HEAD:
            raise UpstreamUnreachableError(f"{_GATE} broke off, or said too much")
    status = _STATUS.match(said)
    if status is None:
        raise UpstreamUnreachableError(f"{_GATE} does not speak HTTP")
    if int(status[1]) not in _GOOD:
        raise UpstreamUnreachableError(f"{_GATE} refused with HTTP status {int(status[1])}")
    if not said.endswith(_HEAD_END):
        raise UpstreamUnreachableError(f"{_GATE} spoke before it was spoken to")


_GATE = "the provider cannot be reached: the forward proxy"
