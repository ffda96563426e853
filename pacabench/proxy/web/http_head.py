"""Heads of HTTP/1 messages, read strictly: what can be understood in two ways is refused.

Doubtful framing that a proxy lets through is how a request is smuggled to a server. So line ends
are CR LF and nothing else, a colon follows a name at once, lines are not folded, and a body has one
length, said once, in one way. What goes on is written anew out of what was understood.
Source: RFC 9112.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from pacabench.allow_list import normal_host, parse_port

MAX_HEAD_BYTES = 32 * 1024
MAX_HEADERS = 100
HTTP_PORT = 80

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VERSION = re.compile(r"HTTP/1\.[01]")
_LENGTH = re.compile(r"[0-9]{1,15}")
_TARGET = re.compile(r"[!-~]+")
_STATUS = re.compile(r"(HTTP/1\.[01]) ([1-9][0-9]{2})(?: (.*))?")
_HOP_BY_HOP = frozenset(
    {
        "connection",
        "expect",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authentication-info",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)

Headers: TypeAlias = Sequence[tuple[str, str]]
"""Names as they were sent, with their values."""


class BadMessageError(ValueError):
    """It is no HTTP/1, or it is doubtful. The text says what; it quotes nothing."""


@dataclass(frozen=True, slots=True)
class Framing:
    """How a body ends."""

    length: int | None = None
    """Bytes; None: by its chunks, or with the connection."""
    chunked: bool = False

    @property
    def is_empty(self) -> bool:
        """There is no body."""
        return self.length == 0


@dataclass(frozen=True, slots=True)
class RequestHead:
    """A request as it was understood."""

    method: str
    target: str
    headers: Headers
    framing: Framing

    def value(self, name: str) -> str | None:
        """The value of a header, None where there is none.

        Raises:
            BadMessageError: it is there more than once.
        """
        values = _values(self.headers, name)
        if len(values) > 1:
            raise BadMessageError(f"{name} is there more than once")
        return values[0] if values else None


@dataclass(frozen=True, slots=True)
class ReplyHead:
    """A reply as it was understood."""

    status: int
    reason: str
    headers: Headers
    framing: Framing


@dataclass(frozen=True, slots=True)
class Target:
    """Where a request wants to go."""

    host: str
    """As :func:`~pacabench.allow_list.normal_host` gives it."""
    port: int
    path: str
    """With the query; empty for CONNECT."""


def parse_request(head: bytes) -> RequestHead:
    """A request's head, with the empty line that ends it.

    Raises:
        BadMessageError: it is not to be understood in one way only.
    """
    first, headers = _parse(head)
    parts = first.split(" ")
    if len(parts) != 3 or not _TOKEN.fullmatch(parts[0]) or not _TARGET.fullmatch(parts[1]):  # noqa: PLR2004 - method, target, version
        raise BadMessageError("the request line is not METHOD TARGET VERSION")
    if not _VERSION.fullmatch(parts[2]):
        raise BadMessageError("it is not HTTP/1.1 or HTTP/1.0")
    framing = _framing(headers) or Framing(length=0)
    if framing.chunked and parts[2] == "HTTP/1.0":
        raise BadMessageError("HTTP/1.0 has no chunks")
    return RequestHead(parts[0], parts[1], headers, framing)


def parse_reply(head: bytes, method: str) -> ReplyHead:
    """The head of a reply to a request with ``method``.

    Raises:
        BadMessageError: it is not to be understood in one way only.
    """
    first, headers = _parse(head)
    found = _STATUS.fullmatch(first)
    if found is None:
        raise BadMessageError("the reply does not begin with a status")
    status = int(found[2])
    framing = _framing(headers) or Framing()
    if method == "HEAD" or status < 200 or status in (204, 304):  # noqa: PLR2004 - RFC 9112, 6.3
        framing = Framing(length=0)
    return ReplyHead(status, found[3] or "", headers, framing)


def _parse(head: bytes) -> tuple[str, Headers]:
    """The first line and the headers."""
    lines = head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
    if any(not _is_clean(line) for line in lines):
        raise BadMessageError("it holds a control character, or a line that ends without CR LF")
    if len(lines) > MAX_HEADERS + 1:
        raise BadMessageError(f"it has more than {MAX_HEADERS} headers")
    return lines[0], [_header(line) for line in lines[1:]]


def _is_clean(line: str) -> bool:
    return all(sign == "\t" or (sign >= " " and sign != "\x7f") for sign in line)


def _header(line: str) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    if not colon or not _TOKEN.fullmatch(name):
        raise BadMessageError("a header is not NAME: VALUE")
    return name, value.strip(" \t")


def _values(headers: Headers, name: str) -> list[str]:
    return [value for known, value in headers if known.lower() == name.lower()]


def _framing(headers: Headers) -> Framing | None:
    """What the headers say of the body; None where they say nothing."""
    lengths, codings = _values(headers, "content-length"), _values(headers, "transfer-encoding")
    if lengths and codings:
        raise BadMessageError("it has both a Content-Length and a Transfer-Encoding")
    if len(lengths) > 1 or len(codings) > 1:
        raise BadMessageError("the length of its body is said more than once")
    if codings:
        if codings[0].lower() != "chunked":
            raise BadMessageError("its Transfer-Encoding is not `chunked`")
        return Framing(chunked=True)
    if lengths:
        if not _LENGTH.fullmatch(lengths[0]):
            raise BadMessageError("its Content-Length is no number")
        return Framing(length=int(lengths[0]))
    return None


def find_target(request: RequestHead) -> Target:
    """Where ``request`` wants to go, said the same way by its target and its Host.

    Raises:
        BadMessageError: that is not clear, or it is no request for a proxy.
    """
    named = request.value("host")
    if request.method == "CONNECT":
        target = Target(*_authority(request.target, None), "")
        # Some send none, and some no port.
        if named is not None and _authority(named, target.port) != (target.host, target.port):
            raise BadMessageError("its Host is another one than its target")
        return target
    scheme, mark, rest = request.target.partition("://")
    if not mark:
        raise BadMessageError("it is no request to a proxy: its target is not a full URL")
    if scheme.lower() != "http":
        raise BadMessageError("its target is not http://; https:// goes through CONNECT")
    if "#" in rest:
        raise BadMessageError("its target has a fragment")
    end = min((at for at in (rest.find("/"), rest.find("?")) if at >= 0), default=len(rest))
    path = rest[end:] if rest[end:].startswith("/") else f"/{rest[end:]}"
    target = Target(*_authority(rest[:end], HTTP_PORT), path)
    if named is None:
        raise BadMessageError("it has no Host")
    if _authority(named, HTTP_PORT) != (target.host, target.port):
        raise BadMessageError("its Host is another one than its target")
    return target


def _authority(text: str, default_port: int | None) -> tuple[str, int]:
    host, colon, digits = text.rpartition(":")
    if not colon:
        host, digits = text, "" if default_port is None else str(default_port)
    name, port = normal_host(host), parse_port(digits)
    if name is None or port is None:
        raise BadMessageError("its target is no host and port")
    return name, port


def end_to_end(headers: Headers) -> Headers:
    """``headers`` without those that are between a client and its proxy alone."""
    named = {
        token.strip().lower()
        for value in _values(headers, "connection")
        for token in value.split(",")
    }
    dropped = _HOP_BY_HOP | (named - {"content-length", "host"})
    return [(name, value) for name, value in headers if name.lower() not in dropped]


def write_head(first: str, headers: Iterable[tuple[str, str]]) -> bytes:
    """A message's head on the wire."""
    lines = [first, *(f"{name}: {value}" for name, value in headers), "", ""]
    return "\r\n".join(lines).encode("latin-1")


def write_request(request: RequestHead, target: Target) -> bytes:
    """The head that goes to the server: one request, then the connection ends."""
    default = target.port == HTTP_PORT
    host = target.host if default else f"{target.host}:{target.port}"
    kept = [(name, value) for name, value in end_to_end(request.headers) if name.lower() != "host"]
    return write_head(
        f"{request.method} {target.path} HTTP/1.1",
        [("Host", host), *kept, *_own(request.framing)],
    )


def write_reply(reply: ReplyHead) -> bytes:
    """The head that goes to the agent."""
    return write_head(
        f"HTTP/1.1 {reply.status} {reply.reason}",
        [*end_to_end(reply.headers), *_own(reply.framing)],
    )


def _own(framing: Framing) -> Iterable[tuple[str, str]]:
    if framing.chunked:
        yield "Transfer-Encoding", "chunked"
    yield "Connection", "close"


def write_refusal(status: int, reason: str, text: str, extra: Mapping[str, str]) -> bytes:
    """A whole reply of the proxy's own."""
    body = f"{text}\n".encode("ascii", "backslashreplace")
    headers = {
        "Content-Type": "text/plain; charset=us-ascii",
        "Content-Length": str(len(body)),
        "Connection": "close",
        **extra,
    }
    return write_head(f"HTTP/1.1 {status} {reason}", headers.items()) + body
