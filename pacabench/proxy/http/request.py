"""A request, and how requests are read out of the bytes of a connection.

llhttp reads them, in its strict mode: line ends are CR LF and nothing else, lines are not folded, a
body has one length. What it lets through besides, and what it sets no limit to, is refused here:
what can be understood in two ways goes no further.
"""

import asyncio
import re
from collections import deque
from collections.abc import Mapping

from httptools import HttpParserCallbackError, HttpParserError, HttpParserUpgrade, HttpRequestParser
from multidict import CIMultiDict

MAX_HEAD_BYTES = 32 * 1024
MAX_HEADERS = 128
MAX_AHEAD_BYTES = 64 * 1024
"""Of requests that are sent while an earlier one is being answered."""
MAX_AHEAD = 16
"""How many of them."""
_MAX_FRAMING_BYTES = 64 * 1024
_FRAMING_OF_A_BYTE = 8
"""What goes along with a body in chunks: so much, and this with each byte. Chunks of one byte have
five; what else there can be is extensions, which nobody reads."""
_AS_SENT = "surrogateescape"
_SPACE_AT_END = re.compile(r"[ \t]+(?=\0|\Z)")
"""After a value: it is no part of it, and the parser leaves it there."""


class BadRequestError(Exception):
    """It is no HTTP/1.1, or it is doubtful. The text says what; it quotes nothing."""


class Request:
    """What a client asked, and its body as it comes in.

    Text is UTF-8; bytes that are none are surrogates in it.
    """

    __slots__ = (
        "_fault",
        "_more",
        "_parts",
        "headers",
        "is_http10",
        "is_whole",
        "keeps_alive",
        "method",
        "target",
    )

    def __init__(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        *,
        is_http10: bool = False,
        keeps_alive: bool = True,
    ) -> None:
        self.method = method
        self.target = target
        """Exactly as it was sent: nothing is decoded."""
        self.headers = headers
        """Names ignore case. Of several lines of one name the first counts."""
        self.is_http10 = is_http10
        """The client knows neither chunks nor interim replies."""
        self.keeps_alive = keeps_alive
        """The client wants to go on with its connection."""
        self.is_whole = False
        """All of the body is there."""
        self._parts: list[bytes] = []
        self._more: asyncio.Future[None] | None = None
        self._fault: Exception | None = None

    def take(self) -> bytes:
        """What came of the body since the last time."""
        parts = self._parts
        if len(parts) == 1:
            return parts.pop()
        body = b"".join(parts)
        parts.clear()
        return body

    async def more(self) -> None:
        """Return when there is more of the body to take, or when it is whole.

        Raises:
            BadRequestError: what came is no body.
            ConnectionError: the client left before its end.
        """
        if self._fault is None and not self._parts and not self.is_whole:
            self._more = asyncio.get_running_loop().create_future()
            await self._more
        if self._fault is not None:
            raise self._fault

    def add(self, part: bytes) -> None:
        """Called by who reads."""
        self._parts.append(part)
        self._wake()

    def end(self) -> None:
        """Called by who reads: the body is whole."""
        self.is_whole = True
        self._wake()

    def break_off(self, fault: Exception) -> None:
        """Called by who reads: the body will not become whole."""
        self._fault = fault
        self._wake()

    def _wake(self) -> None:
        if self._more is not None:
            if not self._more.done():
                self._more.set_result(None)
            self._more = None


class RequestReader:
    """Takes a connection's bytes, cut anywhere, and has the requests that are in them."""

    __slots__ = (
        "_body_bytes",
        "_coming",
        "_fed_bytes",
        "_fields",
        "_has_moved",
        "_is_chunked",
        "_parser",
        "_url",
        "arrived",
        "is_inside_head",
    )

    def __init__(self) -> None:
        self.arrived: deque[Request] = deque()
        """Requests whose heads are whole, in their order. Who serves one takes it out."""
        self.is_inside_head = False
        """A head began and has not come to its end."""
        self._parser: HttpRequestParser | None = HttpRequestParser(self)
        self._coming: Request | None = None
        """Whose body is not whole yet."""
        self._url = b""
        self._fields: list[bytes] = []
        self._is_chunked = False
        self._has_moved = False
        """A head or a body became whole in what is being read."""
        self._fed_bytes = 0
        """Since then."""
        self._body_bytes = 0

    def feed(self, data: bytes | memoryview) -> bool:
        """Take ``data`` and keep no part of it as it is; whether there can be more after it.

        Raises:
            BadRequestError: nothing after this can be understood.
        """
        if self._parser is None:
            return False
        self._has_moved = False
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade:
            self.close()
            return False
        except HttpParserError as error:
            # What a callback raised is its context.
            said = error.__context__ if isinstance(error, HttpParserCallbackError) else None
            if not isinstance(said, BadRequestError):
                said = BadRequestError(f"This is not HTTP/1.1 as it should be: {error}.")
            raise self.failed(said) from None
        if not self._has_moved:
            self._fed_bytes += len(data)
            self._check_size()
        return True

    def close(self) -> None:
        """No more will be read."""
        # It and this object hold each other.
        self._parser = None

    def failed(self, error: BadRequestError) -> BadRequestError:
        """No more is read, and a body that was coming will not become whole; gives ``error``."""
        self.close()
        if self._coming is not None:
            self._coming.break_off(error)
            self._coming = None
        return error

    def _check_size(self) -> None:
        if self._coming is None:
            if self._fed_bytes > MAX_HEAD_BYTES:
                raise self.failed(_long_head())
        elif self._is_chunked:
            allowed = _MAX_FRAMING_BYTES + _FRAMING_OF_A_BYTE * self._body_bytes
            if self._fed_bytes > allowed:
                raise self.failed(BadRequestError("The chunks of the body say too much."))

    # What the parser calls.

    def on_message_begin(self) -> None:
        """The first byte of a request came."""
        self._url = b""
        self._fields = []
        self.is_inside_head = True

    def on_url(self, url: bytes) -> None:
        """A part of the target came."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header came."""
        self._fields += (name, value)
        if self._coming is not None:
            raise BadRequestError("Headers after the body are not taken.")

    def on_headers_complete(self) -> None:
        """A head is whole."""
        assert self._parser is not None
        fields = self._fields
        text = b"\0".join((self._url, *fields)).decode("utf-8", _AS_SENT)
        if len(fields) > 2 * MAX_HEADERS or len(text) > MAX_HEAD_BYTES:
            raise _long_head()
        if len(self.arrived) >= MAX_AHEAD:
            raise BadRequestError("Too many requests are sent before the reply to the first one.")
        if " \0" in text or "\t\0" in text or text.endswith((" ", "\t")):
            text = _SPACE_AT_END.sub("", text)
        target, *words = text.split("\0")
        headers = CIMultiDict(zip(words[::2], words[1::2], strict=True))
        version = self._parser.get_http_version()
        self._is_chunked = _check_head(headers, version)
        self._coming = request = Request(
            self._parser.get_method().decode(),
            target,
            headers,
            is_http10=version == "1.0",
            keeps_alive=version == "1.1" and self._parser.should_keep_alive(),
        )
        self._has_moved = True
        self.is_inside_head = False
        self._fed_bytes = self._body_bytes = 0
        self.arrived.append(request)

    def on_body(self, part: bytes) -> None:
        """A part of a body came."""
        assert self._coming is not None
        self._body_bytes += len(part)
        self._coming.add(part)

    def on_message_complete(self) -> None:
        """A request is whole."""
        assert self._coming is not None
        self._coming.end()
        self._coming = None
        self._has_moved = True
        self._fed_bytes = 0


def _check_head(headers: CIMultiDict[str], version: str) -> bool:
    """Whether the body comes in chunks.

    Raises:
        BadRequestError: the head can be understood in two ways.
    """
    if version not in {"1.1", "1.0"}:
        raise BadRequestError("Only HTTP/1.1 is served.")
    hosts = headers.getall("Host", ())
    if len(hosts) > 1 or (not hosts and version == "1.1"):
        raise BadRequestError("A request has to have one Host header.")
    if "Transfer-Encoding" not in headers:
        return False
    if "Content-Length" in headers:
        raise BadRequestError("It has both a Content-Length and a Transfer-Encoding.")
    codings = headers.getall("Transfer-Encoding")
    if version == "1.0" or len(codings) > 1 or codings[0].lower() != "chunked":
        raise BadRequestError("The only Transfer-Encoding is `chunked`, said once, in HTTP/1.1.")
    return True


def _long_head() -> BadRequestError:
    size = MAX_HEAD_BYTES // 1024
    return BadRequestError(f"A head is {size} KiB and {MAX_HEADERS} headers at most.")
