"""Hands a provider's reply to the agent byte for byte, and a copy of it to the meter.

But for the provider's key, which is blotted out wherever it stands, and for content codings, which
nobody asked for.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass

from pacabench.proxy.client import Client
from pacabench.proxy.decode import BodyDecoder
from pacabench.proxy.passage import Scrubber
from pacabench.proxy.patience import Patience
from pacabench.proxy.record import CallDraft
from pacabench.proxy.routes import Route
from pacabench.proxy.taping import Tape
from pacabench.proxy.upstream import Reply, UpstreamUnreadableError
from pacabench.proxy.wire import Filter, Meter


class DrainOver(Exception):  # noqa: N818 - a limit that was reached
    """Enough was read for a client that is not there."""


@dataclass(slots=True, eq=False)
class Parties:
    """Who takes part in one call, and what is noted of it."""

    route: Route
    client: Client
    patience: Patience
    draft: CallDraft
    tape: Tape | None = None
    """Keeps what passes, where somebody wants it."""


class Handover:
    """One reply on its way: what the agent gets of it, and what the meter reads."""

    def __init__(self, parties: Parties) -> None:
        self._parties = parties
        self._client, self._draft, self._tape = parties.client, parties.draft, parties.tape
        self._scrubber = _NOTHING_TO_HIDE
        self._sieve: Filter | None = None
        self.sent_at = time.perf_counter()
        """From here the time to the first byte counts."""
        self.meter: Meter | None = None
        """What read the reply; None where none came."""

    async def pass_on(self, reply: Reply, head: bytes, *, asked_usage: bool) -> None:
        """Hand on ``head``, which was read already, and all that comes after it.

        Raises:
            ConnectionError: the agent left before the reply began.
            DrainOver: the agent left, and the reply is longer than is read for its usage alone.
            UpstreamError: the reply broke off.
        """
        decoder = self._begun(reply, asked_usage=asked_usage)
        if decoder is None:
            if head and not self._take(head):
                await self._client.caught_up()
            while await reply.pour(self._take):
                await self._client.caught_up()
        else:
            await self._pass_decoded(reply, head, decoder)
        self._finish()

    async def _pass_decoded(self, reply: Reply, head: bytes, decoder: BodyDecoder) -> None:
        """The same for a body that is coded: of a few bytes much can come, which has to wait."""
        if head:
            await self._decode(decoder, head)
        async for chunk in reply.chunks:
            await self._decode(decoder, chunk)
        decoder.finish()
        _check(decoder)

    async def _decode(self, decoder: BodyDecoder, chunk: bytes) -> None:
        draft, client = self._draft, self._client
        if draft.ttft_ms is None:
            draft.ttft_ms = (time.perf_counter() - self.sent_at) * 1000
        draft.response_bytes += len(chunk)
        for piece in decoder.feed(chunk):
            if not client.write(self._noted(self._scrubber.feed(piece))):
                await client.caught_up()
            self._end_drain()
        _check(decoder)

    def _take(self, chunk: bytes) -> bool:
        """Hand on a chunk off the wire; False where the agent should catch up first.

        Nearly all chunks are events of streams, so what is done for each is written out here.
        """
        draft, client = self._draft, self._client
        if draft.ttft_ms is None:
            draft.ttft_ms = (time.perf_counter() - self.sent_at) * 1000
        draft.response_bytes += len(chunk)
        piece = self._scrubber.feed(chunk)
        if self._tape is not None and piece:
            self._tape.took(piece)
        if self.meter is not None:
            self.meter.feed(piece)
        goes_on = client.write(piece if self._sieve is None else self._sieve.feed(piece))
        if client.missed_bytes:
            self._end_drain()
        return goes_on

    def _finish(self) -> None:
        """All of the reply is there."""
        client = self._client
        if rest := self._scrubber.finish():
            client.write(self._noted(rest))
        if self._tape is not None:
            self._tape.ended("whole")
        if self._sieve is not None:
            client.write(self._sieve.finish())
        client.finish()
        self._draft.end = "client_gone" if client.missed_bytes else "complete"

    def _begun(self, reply: Reply, *, asked_usage: bool) -> BodyDecoder | None:
        """Look at the reply's head and hand it on; what takes the coding off its body, if any."""
        route = self._parties.route
        provider, wire, headers = route.provider, route.provider.wire, reply.headers
        events = _is_events(headers, stream=self._draft.stream and reply.status < _ERROR)
        decoder = _decoder_of(headers["Content-Encoding"]) if _is_coded(headers) else None
        self._scrubber = provider.guard.scrubber()
        self._sieve = wire.usage_filter() if asked_usage and events else None
        self.meter = wire.meter(route.endpoint, events=events)
        resized = self._sieve is not None or decoder is not None
        shown = provider.guard.reply_headers(headers, wire.reply_headers, resized=resized)
        if self._tape is not None:
            self._tape.replied(reply.status, shown, asked_usage=asked_usage)
        self._client.start(reply.status, shown, events=events)
        return decoder

    def _end_drain(self) -> None:
        if self._client.missed_bytes > self._parties.patience.drain_bytes:
            raise DrainOver

    def _noted(self, piece: bytes) -> bytes:
        """A copy to tape and meter; what may go on to the agent."""
        if piece:
            if self._tape is not None:
                self._tape.took(piece)
            if self.meter is not None:
                self.meter.feed(piece)
        return piece if self._sieve is None else self._sieve.feed(piece)


_EVENTS = "text/event-stream"
_ERROR = 400
_NOTHING_TO_HIDE = Scrubber(())


def _is_events(headers: Mapping[str, str], *, stream: bool) -> bool:
    """Whether a reply is a stream of events, which few SDKs need to be told of one they asked for.

    What it is said to be counts, if it is said to be JSON (Google's arrays) or events.
    """
    kind = headers["Content-Type"].lower() if "Content-Type" in headers else ""
    return kind.startswith(_EVENTS) or (stream and "json" not in kind)


def _check(decoder: BodyDecoder) -> None:
    if decoder.problem is not None:
        raise UpstreamUnreadableError(f"the provider's reply {decoder.problem}")


def _is_coded(headers: Mapping[str, str]) -> bool:
    return "Content-Encoding" in headers and headers["Content-Encoding"] != "identity"


def _decoder_of(coding: str) -> BodyDecoder | None:
    """What takes ``coding`` off; None where it is none.

    Raises:
        UpstreamUnreadableError: nobody here knows how.
    """
    decoder = BodyDecoder(coding)
    if not decoder.known:
        raise UpstreamUnreadableError(f"the provider coded its reply as {coding[:20]!r}")
    return None if decoder.identity else decoder
