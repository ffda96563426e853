"""Hands a provider's reply to the agent byte for byte, and a copy of it to the meter.

But for the provider's key, which is blotted out wherever it stands, and for content codings, which
nobody asked for.
"""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pacabench.proxy.client import Client
from pacabench.proxy.decode import BodyDecoder
from pacabench.proxy.passage import KeyGuard
from pacabench.proxy.patience import Patience
from pacabench.proxy.record import CallDraft
from pacabench.proxy.routes import Route
from pacabench.proxy.taping import Tape
from pacabench.proxy.upstream import Reply, UpstreamUnreadableError
from pacabench.proxy.wire import Filter, Meter


class DrainOver(Exception):  # noqa: N818 - a limit that was reached
    """Enough was read for a client that is not there."""


@dataclass(frozen=True, slots=True)
class Parties:
    """Who takes part in one call, and what is noted of it."""

    route: Route
    client: Client
    patience: Patience
    guard: KeyGuard
    draft: CallDraft
    tape: Tape | None = None
    """Keeps what passes, where somebody wants it."""


class Handover:
    """One reply on its way: what the agent gets of it, and what the meter reads."""

    def __init__(self, parties: Parties) -> None:
        self._parties = parties
        self._sent = time.perf_counter()
        self._decoder = BodyDecoder("")
        self._scrubber = parties.guard.scrubber()
        self._sieve: Filter | None = None
        self.meter: Meter | None = None
        """What read the reply; None where none came."""

    def request_leaves(self) -> None:
        """From here the time to the first byte counts."""
        self._sent = time.perf_counter()

    async def pass_on(self, reply: Reply, head: bytes, *, asked_usage: bool) -> None:
        """Hand on ``head``, which was read already, and all that comes after it.

        Raises:
            ConnectionError: the agent left before the reply began.
            DrainOver: the agent left, and the reply is longer than is read for its usage alone.
            UpstreamError: the reply broke off.
        """
        parties = self._parties
        route, client, guard, draft = parties.route, parties.client, parties.guard, parties.draft
        wire = route.provider.wire
        events = reply.headers.get("Content-Type", "").startswith("text/event-stream")
        coding = reply.headers.get("Content-Encoding", "")
        self._decoder = decoder = BodyDecoder(coding)
        if not decoder.known:
            raise UpstreamUnreadableError(f"the provider coded its reply as {coding[:20]!r}")
        self._scrubber = guard.scrubber()
        self._sieve = wire.usage_filter() if asked_usage and events else None
        self.meter = wire.meter(route.endpoint, events=events)
        resized = self._sieve is not None or not decoder.identity
        headers = guard.reply_headers(reply.headers, wire.reply_headers, resized=resized)
        if parties.tape is not None:
            parties.tape.replied(reply.status, headers, asked_usage=asked_usage)
        client.start(reply.status, headers, events=events)
        for piece in self._took(head) if head else ():
            client.write(piece)
        async for chunk in reply.chunks:
            for piece in self._took(chunk):
                if not client.write(piece):
                    await client.caught_up()
            if client.missed_bytes > parties.patience.drain_bytes:
                raise DrainOver
        client.write(self._noted(self._scrubber.finish()))
        if parties.tape is not None:
            parties.tape.ended("whole")
        if self._sieve is not None:
            client.write(self._sieve.finish())
        client.finish()
        draft.end = "client_gone" if client.missed_bytes else "complete"

    def _took(self, chunk: bytes) -> Iterable[bytes]:
        """What the agent gets for a chunk off the wire: its plain text without keys."""
        draft = self._parties.draft
        if draft.ttft_ms is None:
            draft.ttft_ms = (time.perf_counter() - self._sent) * 1000
        draft.response_bytes += len(chunk)
        if self._decoder.identity:
            return (self._noted(self._scrubber.feed(chunk)),)
        return self._decoded(chunk)

    def _decoded(self, chunk: bytes) -> Iterator[bytes]:
        for piece in self._decoder.feed(chunk):
            yield self._noted(self._scrubber.feed(piece))
        if self._decoder.problem is not None:
            raise UpstreamUnreadableError(f"the provider's reply {self._decoder.problem}")

    def _noted(self, piece: bytes) -> bytes:
        """A copy to tape and meter; what may go on to the agent."""
        if self._parties.tape is not None and piece:
            self._parties.tape.took(piece)
        if self.meter is not None:
            self.meter.feed(piece)
        return piece if self._sieve is None else self._sieve.feed(piece)
