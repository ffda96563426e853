"""A plain HTTP request, its body and its reply: one, then both connections end."""

import re
from collections.abc import Callable

from pacabench.proxy.web.http_head import (
    BadMessageError,
    Framing,
    ReplyHead,
    RequestHead,
    Target,
    parse_reply,
    write_reply,
    write_request,
)
from pacabench.proxy.web.record import CutError, DeniedError, EgressDraft, FailedError
from pacabench.proxy.web.stream import PIECE_BYTES, Stream, Traffic

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;[\t -~]*)?\r\n")
_MAX_CHUNK_LINE = 4096
_MAX_TRAILER_BYTES = 16 * 1024
_MAX_INTERIM = 10


async def exchange(
    agent: Stream,
    host: Stream,
    request: RequestHead,
    target: Target,
    draft: EgressDraft,
    traffic: Traffic,
) -> None:
    """Send ``request`` on and bring its reply back.

    Raises:
        DeniedError: its body is not well-formed.
        FailedError: there is no reply that could be understood, and nothing of one was passed on.
        CutError: the attempt has used up its bytes, or the reply's body breaks off.
        ConnectionError: one side broke off.
    """
    head = write_request(request, target)
    traffic.up(len(head))
    await host.send(head)
    if (request.value("expect") or "").lower() == "100-continue" and not request.framing.is_empty:
        await agent.send(b"HTTP/1.1 100 Continue\r\n\r\n")
    try:
        await _send_body(agent, host, request.framing, traffic.up)
    except BadMessageError as error:
        text = f"the body is not to be understood: {error}"
        raise DeniedError("bad_request", text, status=400) from error
    except ConnectionError:
        pass  # it may have replied all the same: too long, not allowed
    try:
        reply = await _read_reply(host, request.method)
    except (BadMessageError, ConnectionError) as error:
        raise FailedError("bad_reply", f"the reply is not to be understood: {error}") from error
    draft.status = reply.status
    head = write_reply(reply)
    traffic.down(len(head))
    await agent.send(head)
    try:
        await _send_body(host, agent, reply.framing, traffic.down)
    except BadMessageError as error:
        # It breaks off for the agent too: the connection ends behind it.
        raise CutError("bad_reply", f"the reply's body is not to be understood: {error}") from error


async def _read_reply(host: Stream, method: str) -> ReplyHead:
    """The head of the final reply.

    Raises:
        BadMessageError: there is none.
    """
    for _ in range(_MAX_INTERIM):
        head = await host.read_head()
        if not head:
            raise BadMessageError("there is none")
        reply = parse_reply(head, method)
        if reply.status == 101:  # noqa: PLR2004 - Switching Protocols, which nobody asked for
            raise BadMessageError("it changes the protocol")
        if reply.status >= 200:  # noqa: PLR2004 - the final one
            return reply
    raise BadMessageError("it does not come to an end")


async def _send_body(
    source: Stream, sink: Stream, framing: Framing, count: Callable[[int], None]
) -> None:
    """A body, framed anew.

    Raises:
        BadMessageError: it is not framed as its head says.
    """
    if framing.chunked:
        await _send_chunks(source, sink, count)
    else:
        await _send_bytes(source, sink, framing.length, count)


async def _send_bytes(
    source: Stream, sink: Stream, length: int | None, count: Callable[[int], None]
) -> None:
    """So many bytes, or all that come."""
    left = length
    while left != 0:
        piece = await source.reader.read(PIECE_BYTES if left is None else min(left, PIECE_BYTES))
        if not piece:
            if left is None:
                return
            raise BadMessageError("it breaks off before its end")
        count(len(piece))
        await sink.send(piece)
        left = None if left is None else left - len(piece)


async def _send_chunks(source: Stream, sink: Stream, count: Callable[[int], None]) -> None:
    while True:
        found = _CHUNK.fullmatch(await source.read_line(_MAX_CHUNK_LINE))
        if found is None:
            raise BadMessageError("a chunk does not begin with its length")
        size = int(found[1], 16)
        if size == 0:
            break
        start = b"%x\r\n" % size
        count(len(start) + 2)
        await sink.send(start)
        await _send_bytes(source, sink, size, count)
        if await source.read_line(_MAX_CHUNK_LINE) != b"\r\n":
            raise BadMessageError("a chunk is longer than it says")
        await sink.send(b"\r\n")
    left = _MAX_TRAILER_BYTES
    while (line := await source.read_line(left)) != b"\r\n":
        if not line:
            raise BadMessageError("its chunks break off")
        left -= len(line)
    await sink.send(b"0\r\n\r\n")
