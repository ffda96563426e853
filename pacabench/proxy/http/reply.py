"""A reply on its way to a client: a head and a body in one write where that can be."""

import asyncio
import socket
import struct
import time
from collections.abc import Mapping
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus

from pacabench.proxy.http.request import Request

_LENGTH = "Content-Length"
_NO_BODY = frozenset({204, 304})


class Reply:
    """The reply to one request.

    Its body is as long as the Content-Length that it is started with, or comes in chunks.
    """

    __slots__ = (
        "_head",
        "_is_bodiless",
        "_is_chunked",
        "_left",
        "_takes_chunks",
        "_transport",
        "is_finished",
        "is_started",
        "keeps_alive",
    )

    def __init__(self, transport: asyncio.Transport, request: Request) -> None:
        self._transport = transport
        self.keeps_alive = request.keeps_alive
        """The connection goes on after it."""
        self._is_bodiless = request.method == "HEAD"
        self._takes_chunks = not request.is_http10
        self.is_started = False
        """A status is settled; part of it may be out."""
        self.is_finished = False
        self._head = b""
        """What waits for the first bytes of the body."""
        self._is_chunked = False
        self._left: int | None = None
        """How many bytes of the body are missing; None where nobody knows."""

    def start(self, status: int, headers: Mapping[str, str], *, at_once: bool = False) -> None:
        """Begin with the head, which is sent along with the body's first bytes or ``at_once``.

        Raises:
            ValueError: a header cannot be sent; nothing was.
        """
        fields = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
        count = len(headers)
        if fields.count("\n") != count or fields.count("\r") != count or "\0" in fields:
            raise ValueError("a header of the reply holds a line end")
        if status in _NO_BODY:
            self._is_bodiless = True
        elif _LENGTH in headers:
            self._left = _length(headers[_LENGTH])
        elif self._takes_chunks:
            self._is_chunked = True
            fields += "Transfer-Encoding: chunked\r\n"
        if not self.keeps_alive:
            fields += "Connection: close\r\n"
        head = f"{_status_line(status)}{fields}{_date(int(time.time()))}"
        self._head = head.encode("utf-8", "surrogateescape")
        self.is_started = True
        if at_once:
            self._transport.write(self._head)
            self._head = b""

    def send(self, part: bytes) -> bool:
        """Write a part of the body at once; False where nothing arrives any more.

        What is more than the length said is left out.
        """
        transport = self._transport
        if transport.is_closing():
            return False
        if self._is_bodiless or not part:
            return True
        if self._is_chunked:
            transport.write(b"%b%x\r\n%b\r\n" % (self._head, len(part), part))
        else:
            if self._left is not None:
                part = part[: self._left]
                self._left -= len(part)
            transport.write(self._head + part if self._head else part)
        self._head = b""
        return True

    def finish(self) -> None:
        """End it in good order: where less came than its length said, the connection ends."""
        if self._left and not self._is_bodiless:
            self.break_off()
            return
        end = b"0\r\n\r\n" if self._is_chunked and not self._is_bodiless else b""
        if self._head or end:
            self._transport.write(self._head + end)
            self._head = b""
        self.is_finished = True

    def answer(self, status: int, content_type: str, body: bytes) -> None:
        """A whole reply, after which the connection ends."""
        self.keeps_alive = False
        self.start(status, {"Content-Type": content_type, _LENGTH: str(len(body))})
        self.send(body)
        self.finish()

    def break_off(self) -> None:
        """Close the connection inside the reply, so that nobody takes it for whole."""
        self.keeps_alive = False
        if self._transport.is_closing():
            return
        if self._takes_chunks or self._left is not None:
            self._transport.close()
        else:
            _reset(self._transport)


def _reset(transport: asyncio.Transport) -> None:
    """End the connection in a way that cannot be taken for the end of a body."""
    sock = transport.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


def _length(text: str) -> int:
    if not text.isascii() or not text.isdecimal():
        raise ValueError("the Content-Length of the reply is no number")
    return int(text)


@lru_cache(maxsize=1)
def _date(second: int) -> str:
    return f"Date: {formatdate(second, usegmt=True)}\r\n\r\n"


@lru_cache(maxsize=64)
def _status_line(status: int) -> str:
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = ""
    return f"HTTP/1.1 {status} {phrase}\r\n"
