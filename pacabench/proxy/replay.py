"""Answers calls out of a cassette, in place of their provider.

What was recorded is handed to the agent on the same way as a provider's reply, so that it is
metered and worded alike. Pacing and retries have no part in it: the answer is the one there was.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import TypeAlias

from multidict import CIMultiDict

from pacabench.json_pointer import Pointer
from pacabench.proxy.canonical import outline, request_digest
from pacabench.proxy.exchange import Asked, Exchange
from pacabench.proxy.handover import Handover, Parties
from pacabench.proxy.taping import path_of, query_of, without_keys
from pacabench.proxy.upstream import Reply, UpstreamError, UpstreamRequest

HOLD_GRACE_S = 5.0
"""How much later than in the recording an agent may hang up. Then its reply is broken off."""
_LOOK_EVERY_S = 0.05


@dataclass(frozen=True, slots=True)
class Found:
    """What there is for it."""

    exchange: Exchange | None = None
    live: bool = False
    """The provider is to be asked: the case is new to the cassette, and is being recorded."""
    why: str = ""
    """Why there is neither."""


Find: TypeAlias = Callable[[Asked], Awaitable[Found]]
"""Raises UpstreamError where the cassette cannot be read."""


class NoRecordingError(UpstreamError):
    """The cassette holds no answer to a call. SDKs do not try again after its status."""

    status = 424


class SealedUpstream:
    """An :class:`~pacabench.proxy.upstream.Upstream` that leads nowhere: no replay gets out."""

    @asynccontextmanager
    async def send(self, request: UpstreamRequest) -> AsyncIterator[Reply]:
        """Refuse."""
        raise NoRecordingError(f"this run is replayed: nothing is sent to {request.target}")
        yield


@dataclass(frozen=True, slots=True)
class Replay:
    """Finds the answer to a call and hands it on."""

    find: Find
    ignore: Sequence[Pointer] = ()
    """What of a request's body is not compared."""
    speed: float | None = None
    """1 answers at the pace of the recording, 10 ten times as fast; None at once."""

    async def serve(
        self, parties: Parties, handover: Handover, body: bytes, secrets: Sequence[bytes]
    ) -> bool:
        """Answer the call; False where its provider is to be asked.

        ``secrets`` were taken out of what was recorded and so are taken out before comparing.

        Raises:
            NoRecordingError: there is no answer to it.
            UpstreamError: the recorded call had failed so; or the cassette cannot be read.
            ConnectionError, DrainOver: as ``Handover.pass_on``.
        """
        route, draft = parties.route, parties.draft
        clean = without_keys(body, secrets)
        method, path = route.endpoint.method, path_of(route, secrets)
        found = await self.find(
            Asked(
                draft.attempt_id,
                request_digest(method, path, query_of(route, secrets), clean, self.ignore),
                f"{method} {path}",
                draft.model,
                outline(clean, self.ignore),
            )
        )
        if found.live:
            return False
        if found.exchange is None:
            draft.replay = "unmatched"
            raise NoRecordingError(f"no recording fits this call: {found.why}")
        draft.replay, draft.sent = "served", True
        await self._hand_on(found.exchange, parties, handover)
        return True

    async def _hand_on(self, exchange: Exchange, parties: Parties, handover: Handover) -> None:
        began = time.perf_counter()
        handover.sent_at = time.perf_counter()
        chunks = self._chunks(exchange, began, lambda: parties.client.gone)
        if exchange.status is None:
            async for _ in chunks:  # it has none, and raises what there was in place of a reply
                pass
            raise UpstreamError("the recording ends before the reply")
        parties.draft.status = exchange.status
        parties.draft.output_limit = exchange.output_limit
        reply = Reply(exchange.status, CIMultiDict(exchange.reply_headers), chunks)
        async with aclosing(chunks):
            await handover.pass_on(reply, b"", asked_usage=exchange.asked_usage)

    async def _chunks(
        self, exchange: Exchange, began: float, left: Callable[[], bool]
    ) -> AsyncGenerator[bytes]:
        for frame in exchange.frames:
            await self._until(began, frame.at_us)
            yield frame.data
        if exchange.ending == "broken":
            await self._until(began, exchange.ended_us)
            raise UpstreamError(exchange.error or "the provider broke off")
        if exchange.ending == "left":
            await _until_left(exchange.ended_us / 1e6 + HOLD_GRACE_S, left)
            raise UpstreamError("the recording ends here: its agent had hung up")

    async def _until(self, began: float, at_us: int) -> None:
        """Keep the recording's pace, where that is asked for."""
        if self.speed is None:
            await asyncio.sleep(0)
            return
        wait_s = began + at_us / 1e6 / self.speed - time.perf_counter()
        await asyncio.sleep(max(0.0, wait_s))


async def _until_left(within_s: float, left: Callable[[], bool]) -> None:
    """Wait for the agent to hang up, as it did in the recording."""
    until = time.perf_counter() + within_s
    while not left() and time.perf_counter() < until:  # noqa: ASYNC110 - a hang-up has no event
        await asyncio.sleep(_LOOK_EVERY_S)
