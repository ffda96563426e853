"""One LLM call, from its arrival to its record.

It does not end with the connection it came on: when the agent hangs up, the call goes on reading
until the provider has said what it bills. It is tried again as long as nothing of a reply went out
and the provider's failure is one that passes.
"""

import asyncio
import hashlib
import time
from collections.abc import Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Literal, TypeAlias

from pacabench.model import CallRecord, FailedTry
from pacabench.proxy.client import Client, Refused
from pacabench.proxy.decode import BodyDecoder
from pacabench.proxy.excerpt import CallText, Excerpt
from pacabench.proxy.pacing import Turn
from pacabench.proxy.passage import KeyGuard, request_headers
from pacabench.proxy.patience import Patience, is_transient, retry_after_s
from pacabench.proxy.record import CallDraft
from pacabench.proxy.repeats import Repeats
from pacabench.proxy.routes import Route, decoded
from pacabench.proxy.texts import call_text
from pacabench.proxy.upstream import (
    Reply,
    UpstreamError,
    UpstreamRequest,
    UpstreamSilentError,
    UpstreamUnreachableError,
    already_read,
    error_head,
)
from pacabench.proxy.usage import usage_source
from pacabench.proxy.waits import WaitClock
from pacabench.proxy.wire import Meter, RequestFacts

MAX_ERROR = 500
"""Characters of an error that are recorded."""
_ERROR = 400
_SERVER_ERROR = 500
_TOO_MANY_REQUESTS = 429


class DrainOver(Exception):  # noqa: N818 - a limit that was reached
    """Enough was read for a client that is not there."""


@dataclass(frozen=True, slots=True)
class _Failure:
    """A try that came to nothing before the agent saw any of it."""

    why: str
    error: UpstreamError | None = None
    """Where no reply came."""
    reply: Reply | None = None
    """Read to its end: ``head`` is all of its body."""
    head: bytes = b""

    @property
    def status(self) -> int | None:
        return None if self.reply is None else self.reply.status

    @property
    def retry_after_s(self) -> float:
        return 0.0 if self.reply is None else retry_after_s(self.reply.headers) or 0.0


_Said: TypeAlias = _Failure | Literal["done", "refuses usage"]


class Call:
    """Serves one request: ``run`` it, and tell it when its client left."""

    def __init__(
        self,
        route: Route,
        client: Client,
        *,
        attempt_id: str,
        waits: WaitClock,
        repeats: Repeats,
        patience: Patience,
        path: str,
        headers: Mapping[str, str],
        begin: Callable[[CallDraft], None],
        tell_text: Callable[[CallText], None],
        end: Callable[[CallRecord], None],
        notice: Callable[[str], None],
    ) -> None:
        self._route = route
        self._client = client
        self._waits, self._repeats, self._patience = waits, repeats, patience
        self._path = path
        self._headers = headers
        self._begin, self._end, self._notice = begin, end, notice
        self._tell_text = tell_text
        self._body = b""
        self._draft = CallDraft(attempt_id, route.provider.name, route.endpoint.name)
        self._draft.sent = False
        self._guard = KeyGuard(route.provider.api_key, *route.provider.secrets)
        self._arrived = self._sent = time.perf_counter()
        self._failed_at: float | None = None
        self._tries = 0
        self._deadline: asyncio.Timeout | None = None
        self._meter: Meter | None = None
        self._resting = False
        """It waits for its turn, or for a better time; stays so when it is cut there."""
        self._counted = False
        """Its attempt waits for it."""

    def client_left(self) -> None:
        """The agent hung up: from now on the call is read for its usage only, and not for long."""
        self._client.gone = True
        self._stop_waiting()
        if self._deadline is not None and self._deadline.when() is None:
            within_s = 0.0 if self._resting else self._patience.drain_s
            self._deadline.reschedule(asyncio.get_running_loop().time() + within_s)

    async def run(self) -> None:
        """Serve the call and record it, once, whatever happens.

        Cancellation cuts it: the agent's connection is closed, and what is known is recorded.
        """
        try:
            await self._within_deadline()
        except asyncio.CancelledError:
            self._client.break_off()
            self._draft.error = "cut off: its attempt was over"
            self._cut()
            raise
        except Refused as refusal:
            self._draft.end, self._draft.error = "denied", refusal.message
            await self._answer(refusal.status, refusal.message)
        except (ConnectionError, DrainOver, TimeoutError):
            self._cut()
        except Exception as error:  # noqa: BLE001 - a fault of ours must not lose the record
            self._notice(f"a call failed inside the proxy: {type(error).__name__}: {error}")
            self._draft.error = f"inside the proxy: {type(error).__name__}"
            await self._fail(500, "The metering proxy failed.")
        finally:
            self._client.release()
            self._stop_waiting()
            self._close_record()

    def _cut(self) -> None:
        """The agent is gone. Where its call was still waiting, that was the provider's doing."""
        self._draft.end = "client_gone"
        if self._resting:
            self._draft.end = "upstream_error"
            last = self._draft.failed_tries[-1:]
            why = (last[0].error if last else None) or self._route.provider.pacer.why
            self._draft.error = f"the agent left while its call waited: {why}"[:MAX_ERROR]

    async def _within_deadline(self) -> None:
        async with asyncio.timeout(None) as self._deadline:
            if self._client.gone:
                self.client_left()
            await self._serve()

    async def _serve(self) -> None:
        self._body = body = await self._client.read_body()
        route, wire = self._route, self._route.provider.wire
        facts = wire.read_request(route.endpoint, decoded(route.params), body)
        headers = request_headers(self._headers, wire.request_headers)
        draft = self._draft
        draft.model, draft.stream = facts.model, facts.stream
        draft.request_bytes, draft.request_digest = len(body), _digest(self._path, body)
        draft.repeat_of = self._repeats.original(draft.call_id, draft.request_digest, self._headers)
        if self._client.gone:
            raise ConnectionError
        self._counted = True
        self._waits.enter()
        try:
            await self._exchange(facts, headers, body)
        except UpstreamError as error:
            draft.end = "client_gone" if self._client.gone else "upstream_error"
            draft.error = self._guard.text(str(error))[:MAX_ERROR]
            await self._fail(502, str(error))

    def _stop_waiting(self) -> None:
        if self._counted:
            self._counted = False
            self._waits.leave()

    async def _exchange(self, facts: RequestFacts, headers: dict[str, str], body: bytes) -> None:
        """Ask until there is an answer to hand on.

        With usage where that is needed, and again without where it is not understood.
        """
        pacer = self._route.provider.pacer
        asking = facts.body_with_usage
        failure: _Failure | None = None
        while (turn := await self._turn(failure)) is not None:
            try:
                said = await self._try(
                    headers, body if asking is None else asking, turn, asked=asking is not None
                )
            finally:
                pacer.give_back(turn)
            if said == "done":
                return
            if said == "refuses usage":
                asking = failure = None
            else:
                failure = said
        assert failure is not None
        await self._hand_on(failure)

    async def _turn(self, failure: _Failure | None) -> Turn | None:
        """Wait until the provider may be asked (again); None where it is not worth it any more."""
        pacer, draft = self._route.provider.pacer, self._draft
        began = time.perf_counter()
        self._resting = True
        turn: Turn | None = None
        if failure is None:
            turn = await pacer.turn(draft.attempt_id)
        elif (wait_s := self._wait_before(failure)) is not None:
            earlier = draft.failed_tries
            draft.failed_tries = (*earlier, FailedTry(failure.status, failure.why, 0.0))
            try:
                async with asyncio.timeout(self._patience_left_s()):
                    await asyncio.sleep(wait_s)
                    turn = await pacer.turn(draft.attempt_id, again=True)
            except TimeoutError:
                draft.failed_tries = earlier
            else:
                waited_ms = (time.perf_counter() - began) * 1000
                draft.failed_tries = (*earlier, FailedTry(failure.status, failure.why, waited_ms))
        self._resting = False
        draft.waited_ms += (time.perf_counter() - began) * 1000
        return turn

    def _wait_before(self, failure: _Failure) -> float | None:
        """Seconds until the next try, or None: no one is left to wait, or for too long."""
        if self._failed_at is None:
            self._failed_at = time.perf_counter()
        asked_s = failure.retry_after_s
        wait_s = max(asked_s, self._patience.backoff(len(self._draft.failed_tries) + 1))
        too_long = asked_s > self._patience.retry_after_cap_s or wait_s > self._patience_left_s()
        return None if too_long or self._client.gone else wait_s

    def _patience_left_s(self) -> float:
        spent_s = 0.0 if self._failed_at is None else time.perf_counter() - self._failed_at
        return self._patience.retry_for_s - spent_s

    async def _try(self, headers: dict[str, str], body: bytes, turn: Turn, *, asked: bool) -> _Said:
        """One request. What it brings goes to the agent, unless it is worth another try."""
        provider, endpoint, draft = self._route.provider, self._route.endpoint, self._draft
        if provider.api_key is not None:
            headers = headers | provider.wire.key_headers(provider.api_key)
        sent = body if endpoint.method == "POST" else b""
        request = UpstreamRequest(endpoint, headers, sent, self._route.target, draft.model)
        self._note_sending()
        try:
            async with provider.upstream.send(request) as reply, aclosing(reply.chunks):
                draft.status = reply.status
                head, whole = await error_head(reply)
                if asked and provider.wire.refuses_usage(reply.status, head):
                    provider.pacer.answered(turn)
                    return "refuses usage"
                failure = self._judge(turn, reply, head)
                if failure is not None and whole and not self._client.gone:
                    return failure
                await self._pass_on(reply, head, asked_usage=asked)
                return "done"
        except UpstreamError as error:
            if self._client.started:
                raise
            draft.sent = self._tries > 1 or not isinstance(error, UpstreamUnreachableError)
            why = self._guard.text(str(error))[:MAX_ERROR]
            provider.pacer.failed(turn, why)
            if self._client.gone or isinstance(error, UpstreamSilentError):
                raise
            return _Failure(why, error)

    def _note_sending(self) -> None:
        draft = self._draft
        draft.status, draft.sent = None, True
        draft.retries = self._tries
        self._tries += 1
        if self._tries == 1:
            self._begin(draft)
        self._sent = time.perf_counter()

    def _judge(self, turn: Turn, reply: Reply, head: bytes) -> _Failure | None:
        """Tell the pacer how the provider does; the failure, where it may pass."""
        pacer, status = self._route.provider.pacer, reply.status
        if status < _ERROR:
            pacer.answered(turn)
            return None
        failure = _Failure(self._why(reply, head), reply=reply, head=head)
        passing = is_transient(status, reply.headers, head)
        if passing and status >= _SERVER_ERROR:
            pacer.failed(turn, failure.why)
        elif passing and status == _TOO_MANY_REQUESTS:
            pacer.limited(turn, retry_after_s(reply.headers))
        else:
            pacer.answered(turn)
        return failure if passing else None

    def _why(self, reply: Reply, head: bytes) -> str:
        """The status, and the provider's own words where they can be read."""
        meter = self._route.provider.wire.meter(self._route.endpoint, events=False)
        for piece in BodyDecoder(reply.headers.get("Content-Encoding", "")).feed(head):
            meter.feed(piece)
        said = meter.read().error
        text = f"HTTP status {reply.status}" + (f": {said}" if said else "")
        return self._guard.text(text)[:MAX_ERROR]

    async def _hand_on(self, failure: _Failure) -> None:
        """Patience is at its end: the agent gets what the provider said last."""
        if failure.error is not None:
            raise failure.error
        assert failure.reply is not None
        await self._pass_on(already_read(failure.reply), failure.head, asked_usage=False)

    async def _pass_on(self, reply: Reply, head: bytes, *, asked_usage: bool) -> None:
        """Hand the reply to the agent byte for byte, and a copy of it to the meter."""
        wire = self._route.provider.wire
        events = reply.headers.get("Content-Type", "").startswith("text/event-stream")
        coding = reply.headers.get("Content-Encoding", "")
        decoder = BodyDecoder(coding)
        if not decoder.known:
            self._draft.error = f"its tokens are unknown: the reply is coded as {coding[:20]!r}"
        sieve = wire.usage_filter() if asked_usage and events and decoder.identity else None
        self._meter = wire.meter(self._route.endpoint, events=events)
        clean_head = self._guard.body(head)
        resized = sieve is not None or clean_head != head
        headers = self._guard.reply_headers(reply.headers, wire.reply_headers, resized=resized)
        await self._client.start(reply.status, headers, events=events)
        if head:
            self._took(head, decoder)
            await self._client.write(clean_head)
        async for chunk in reply.chunks:
            self._took(chunk, decoder)
            await self._client.write(chunk if sieve is None else sieve.feed(chunk))
            if self._client.missed_bytes > self._patience.drain_bytes:
                raise DrainOver
        if sieve is not None:
            await self._client.write(sieve.finish())
        await self._client.finish()
        self._draft.end = "client_gone" if self._client.missed_bytes else "complete"

    def _took(self, chunk: bytes, decoder: BodyDecoder) -> None:
        if self._draft.ttft_ms is None:
            self._draft.ttft_ms = (time.perf_counter() - self._sent) * 1000
        self._draft.response_bytes += len(chunk)
        if self._meter is not None:
            for piece in decoder.feed(chunk):
                self._meter.feed(piece)

    async def _fail(self, status: int, message: str) -> None:
        """Tell the agent, or break off where the reply has begun."""
        if self._client.started:
            self._client.break_off()
        else:
            await self._answer(status, message)

    async def _answer(self, status: int, message: str) -> None:
        body = self._route.provider.wire.error_body(status, self._guard.text(message), None)
        await self._client.answer(status, body)

    def _close_record(self) -> None:
        draft = self._draft
        if self._meter is not None:
            self._add_reading(self._meter)
        draft.duration_ms = (time.perf_counter() - self._arrived) * 1000
        record = draft.record()
        self._repeats.ended(
            draft.request_digest, well=draft.end == "complete" and not record.is_provider_failure
        )
        if record.usage_source != "provider" and record.may_be_billed:
            # Nobody told what it used: the harness will count.
            said = Excerpt() if self._meter is None else self._meter.said()
            self._tell_text(call_text(record.call_id, self._body, said))
        self._end(record)

    def _add_reading(self, meter: Meter) -> None:
        found, draft = meter.read(), self._draft
        if found.broken and draft.end == "complete":
            draft.end = "upstream_error"
        final = found.ended or draft.end == "complete"
        draft.usage, draft.usage_source = found.usage, usage_source(found.usage, final=final)
        draft.raw_usage, draft.answered_model = found.raw_usage, found.model
        draft.service_tier, draft.usage_note = found.service_tier, found.note
        if draft.error is None and found.error is not None:
            draft.error = self._guard.text(found.error)


def _digest(path: str, body: bytes) -> str:
    digest = hashlib.blake2b(path.encode("utf-8", "surrogateescape"), digest_size=16)
    digest.update(b"\0")
    digest.update(body)
    return digest.hexdigest()
