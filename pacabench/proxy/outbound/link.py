"""One connection to a provider: a request out, its reply in, then the next.

llhttp (by ``httptools``) reads the replies. What is left to do is to bound them: a provider that is
hostile, or broken, costs its own calls and no memory.
"""

import asyncio
from collections.abc import Callable
from time import monotonic

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser
from multidict import CIMultiDict

from pacabench.proxy.outbound.answer import Answer
from pacabench.proxy.upstream import (
    UpstreamError,
    UpstreamSilentError,
    UpstreamUnreadableError,
)

MAX_HEAD_BYTES = 64 * 1024
"""Of all heads of one reply, those with a status below 200 included."""
MAX_HEADERS = 256
MAX_FRAMING_BYTES = 64 * 1024
"""In a row without a byte of body: sizes of chunks, what is said beside them, trailers."""
HELD_BYTES = 64 * 1024
"""Of a body that nobody took yet. With more the connection is not read from."""
PIECE_BYTES = 64 * 1024
"""Of a request that are written at once; it would hold up other calls."""

_FINAL = 200
_SWITCHING = 101
_WITHOUT_BODY = frozenset({204, 304})


class LinkLostError(UpstreamError):
    """The connection ended before the first byte of a reply: it may have been idle for too long."""


class Link(asyncio.BufferedProtocol):
    """A connection, with at most one request under way.

    Args:
        silence_s: how long the other side may say nothing, or take nothing, while it is asked.
        on_lost: called when it is gone for good.
        buffer: what is read goes through it, and is out of it when the event loop goes on: so all
            connections share one. To make room for each read anew costs more than the read.
    """

    def __init__(
        self, silence_s: float, on_lost: Callable[["Link"], None], buffer: memoryview
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.usable = True
        """A further request may be sent when there is none under way."""
        self.is_held_up = False
        """Nothing is read until what is held is taken."""
        self._silence_s, self._on_lost = silence_s, on_lost
        self._buffer = buffer
        self._transport: asyncio.Transport | None = None
        self._parser: HttpResponseParser | None = _parser(self)
        self._answer: Answer | None = None
        self._unsent: memoryview | None = None
        self._is_jammed = False
        """The other side takes nothing at present."""
        self._timer: asyncio.TimerHandle | None = None
        """Goes on from read to read: one for each would cost more than a look at a clock."""
        self._progress_at = 0.0
        self._fields: list[bytes] = []
        """Names and values of the head that comes in, one after the other."""
        self._head_bytes = 0
        self._framing_bytes = 0
        self._body = b""
        """What the read that is looked at brought of a body; its first piece, and the others."""
        self._more: list[bytes] = []

    # --- for whoever asks ---

    def ask(self, head: bytes, body: bytes) -> Answer:
        """Send a request; its reply comes into the answer."""
        transport = self._transport
        self._answer = answer = Answer(self)
        self._head_bytes = self._framing_bytes = 0
        if not self.usable:
            answer.fail(self._loss(answer, None))
            return answer
        assert transport is not None
        self._progress_at = monotonic()
        if self._timer is None:
            self._timer = self.loop.call_later(self._silence_s, self._look)
        if len(body) <= PIECE_BYTES:
            transport.write(head + body)
        else:
            transport.write(head)
            self._unsent = memoryview(body)
            self._send_on()
        return answer

    def let_go(self) -> bool:
        """The asker has done with the answer; whether a further request may be sent.

        Otherwise the connection is closed: the rest of a reply is not waited for.
        """
        answer, self._answer = self._answer, None
        if answer is not None and answer.ended and self.usable and self._unsent is None:
            return True
        self.abort()
        if answer is not None and not answer.ended:
            answer.fail(UpstreamError("the reply was let go of"))
        return False

    def abort(self) -> None:
        """Close the connection now, whatever was written."""
        self.usable = False
        if self._transport is not None:
            self._transport.abort()

    def read_on(self) -> None:
        """What was held is taken."""
        self.is_held_up = False
        self._progress_at = monotonic()
        if self._transport is not None:
            self._transport.resume_reading()

    # --- for the event loop ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the event loop."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: BaseException | None) -> None:
        """Called by the event loop."""
        self.usable = False
        self._unsent = None
        if self._timer is not None:
            self._timer.cancel()
        answer = self._answer
        if answer is not None and not answer.ended and answer.problem is None:
            if exc is None and _ends_with_connection(answer):
                answer.ended = True
                answer.wake()
            else:
                answer.fail(self._loss(answer, exc))
        self._parser = None  # it holds this object, and this object holds it
        self._on_lost(self)

    def eof_received(self) -> None:
        """Called by the event loop; the connection is closed then."""
        self.usable = False

    def pause_writing(self) -> None:
        """Called by the event loop."""
        self._is_jammed = True

    def resume_writing(self) -> None:
        """Called by the event loop."""
        self._is_jammed = False
        self._progress_at = monotonic()
        self._send_on()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Called by the event loop: where bytes that come are put."""
        del sizehint
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Called by the event loop: some are there."""
        self.data_received(self._buffer[:nbytes])

    def data_received(self, data: bytes | memoryview) -> None:
        """What came; none of it is kept."""
        answer, parser = self._answer, self._parser
        if answer is None or answer.ended or answer.problem is not None or parser is None:
            self.abort()  # nobody asked for it
            return
        self._progress_at = monotonic()
        had_head = answer.status
        if not had_head:
            self._head_bytes += len(data)
        try:
            parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            self._not_understood(answer, error)
        if self._body:
            self._take_body(answer)
        elif not answer.ended:
            self._bound(answer, len(data) if had_head else 0)
        if answer.ended or not had_head:
            answer.wake()

    # --- for the parser, inside feed_data ---

    def on_message_begin(self) -> None:
        """A head begins, that of a further reply where one is whole: nobody asked for it."""
        assert self._answer is not None
        if self._answer.ended:
            raise _BadReplyError("it is followed by another one")

    def on_header(self, name: bytes, value: bytes) -> None:
        """One of the head, or a trailer, which nobody waits for."""
        assert self._answer is not None
        if not self._answer.status:
            self._fields += name, value

    def on_headers_complete(self) -> None:
        """The head is whole."""
        answer, parser, fields = self._answer, self._parser, self._fields
        assert answer is not None
        assert parser is not None
        self._fields = []
        status = parser.get_status_code()
        if status < _FINAL:
            if status == _SWITCHING:
                raise _BadReplyError("it switches to another protocol")
            return
        text = b"\n".join(fields).decode("utf-8", "surrogateescape")
        if len(fields) > 2 * MAX_HEADERS or len(text) > MAX_HEAD_BYTES:
            raise _BadReplyError("its head is too long")
        words = text.split("\n")
        answer.headers = headers = CIMultiDict(zip(words[::2], words[1::2], strict=False))
        if "Transfer-Encoding" in headers:
            codings = headers.getall("Transfer-Encoding")
            if len(codings) != 1 or codings[0].strip().lower() != "chunked":
                raise _CodedError(", ".join(codings))
        if "Content-Encoding" in headers and len(lines := headers.getall("Content-Encoding")) > 1:
            headers["Content-Encoding"] = ", ".join(lines)  # as good as one line (RFC 9110, 5.3)
        answer.status = status

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        if self._body:
            self._more.append(body)
        else:
            self._body = body

    def on_message_complete(self) -> None:
        """The reply is whole, or it was only a word on the way to it."""
        answer, parser = self._answer, self._parser
        assert answer is not None
        assert parser is not None
        if answer.status:
            answer.ended = True
            if not parser.should_keep_alive():
                self.usable = False

    # --- inside ---

    def _take_body(self, answer: Answer) -> None:
        """Hand on what this read brought, as one."""
        body, self._body = self._body, b""
        if self._more:
            body = b"".join((body, *self._more))
            self._more.clear()
        self._framing_bytes = 0
        answer.came(body)
        if len(answer.held) > HELD_BYTES and not self.is_held_up and not answer.ended:
            assert self._transport is not None
            self.is_held_up = True
            self._transport.pause_reading()

    def _bound(self, answer: Answer, framing: int) -> None:
        """A read brought no body: that may not go on for ever."""
        self._framing_bytes += framing
        if answer.problem is None and (
            self._framing_bytes > MAX_FRAMING_BYTES
            or (not answer.status and self._head_bytes > MAX_HEAD_BYTES)
        ):
            part = "framing" if answer.status else "head"
            self._give_up(answer, UpstreamError(f"{_BROKE_OFF}: its reply's {part} is too long"))

    def _not_understood(self, answer: Answer, error: Exception) -> None:
        """The parser stopped. What came before is good, and a whole reply is all that is needed."""
        cause = error.__context__
        if answer.ended:
            self.usable = False
        elif isinstance(cause, _CodedError):
            text = f"the provider transferred its reply as {str(cause)[:40]!r}"
            self._give_up(answer, UpstreamUnreadableError(text))
        else:
            why = cause if isinstance(cause, _BadReplyError) else error
            text = f"{_BROKE_OFF}: its reply is no HTTP/1.1 that is understood: {why}"
            self._give_up(answer, UpstreamError(text))

    def _give_up(self, answer: Answer, problem: UpstreamError) -> None:
        answer.fail(problem)
        self.abort()

    def _loss(self, answer: Answer, exc: BaseException | None) -> UpstreamError:
        where = "inside" if answer.status or self._head_bytes else "before"
        how = "it closed the connection" if exc is None else f"{type(exc).__name__}: {exc}"
        kind = UpstreamError if where == "inside" else LinkLostError
        return kind(f"{_BROKE_OFF}: {how}, {where} its reply")

    def _look(self) -> None:
        """Give the answer up where nothing came for too long, or look again later."""
        self._timer = None
        answer = self._answer
        if answer is None or answer.ended or answer.problem is not None:
            return
        now = monotonic()
        late_at = (now if self.is_held_up else self._progress_at) + self._silence_s
        if now < late_at:
            self._timer = self.loop.call_at(late_at, self._look)
            return
        text = f"the provider was silent for too long ({self._silence_s:g} s)"
        self._give_up(answer, UpstreamSilentError(text))

    def _send_on(self) -> None:
        """Write as much of the request as the other side takes."""
        while self._unsent is not None and not self._is_jammed:
            assert self._transport is not None
            piece, rest = self._unsent[:PIECE_BYTES], self._unsent[PIECE_BYTES:]
            self._unsent = rest if len(rest) else None
            self._transport.write(piece)


_BROKE_OFF = "the provider broke off"


class _BadReplyError(ValueError):
    """A reply that is HTTP and cannot be one to this proxy's request."""


class _CodedError(_BadReplyError):
    """A transfer coding that nobody asked for."""


def _ends_with_connection(answer: Answer) -> bool:
    """Whether the end of the connection is how this reply ends."""
    return bool(answer.status) and not (
        answer.status in _WITHOUT_BODY
        or "Content-Length" in answer.headers
        or "Transfer-Encoding" in answer.headers
    )


def _parser(link: Link) -> HttpResponseParser:
    """As lenient as clients are: servers on a desk end lines with LF, or pad sizes of chunks."""
    parser = HttpResponseParser(link)
    parser.set_dangerous_leniencies(
        lenient_optional_cr_before_lf=True, lenient_spaces_after_chunk_size=True
    )
    return parser
