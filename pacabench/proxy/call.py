"""One LLM call, from its arrival to its record.

It does not end with the connection it came on: when the agent hangs up, the call goes on reading
until the provider has said what it bills.
"""

import asyncio
import hashlib
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from pacabench.aio import finish
from pacabench.model import CallRecord, Usage
from pacabench.proxy.additions import NOTHING_ADDED, Additions
from pacabench.proxy.admission import Admission
from pacabench.proxy.body import RequestBody, read_body
from pacabench.proxy.client import Client, Refused
from pacabench.proxy.excerpt import CallText, Excerpt
from pacabench.proxy.handover import DrainOver, Handover, Parties
from pacabench.proxy.http.connection import TAKES_NOTHING_S
from pacabench.proxy.model_names import is_other_model
from pacabench.proxy.passage import request_headers
from pacabench.proxy.patience import Patience
from pacabench.proxy.record import MAX_ERROR, CallDraft
from pacabench.proxy.repeats import Repeats
from pacabench.proxy.routes import Route, decoded
from pacabench.proxy.tapes import CallTape
from pacabench.proxy.texts import call_text
from pacabench.proxy.tools.search import Finding, refuse_ways_out, searching
from pacabench.proxy.tries import Tries
from pacabench.proxy.upstream import UpstreamError
from pacabench.proxy.usage import usage_source
from pacabench.proxy.waits import WaitClock
from pacabench.proxy.wire import Meter

_FEW_BYTES = 16 * 1024
"""Of a lane's longer requests one is looked into at a time, so that they do not fill the memory."""


_LONG_BYTES = 1024**2
"""A longer request is hashed and read in a thread, so that other calls go on meanwhile. Not at all
times: within a single text the interpreter goes on with nothing else."""
_OK = 200
_T = TypeVar("_T")


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
        admission: Admission,
        looking: asyncio.Lock,
        path: str,
        headers: Mapping[str, str],
        begin: Callable[[CallDraft], None],
        tell_text: Callable[[CallText], None],
        end: Callable[[CallRecord], None],
        notice: Callable[[str], None],
        taped: CallTape | None,
    ) -> None:
        self._route = route
        self._client = client
        self._waits, self._repeats, self._patience = waits, repeats, patience
        self._admission = admission
        self._looking = looking
        self._path = path
        self._headers = headers
        self._end, self._notice, self._tell_text = end, notice, tell_text
        self._body = b""
        self._draft = CallDraft(attempt_id, route.provider.name, route.endpoint.name)
        self._draft.sent = False
        self._guard = route.provider.guard
        self._taped = taped
        tape = None if taped is None else taped.tape
        self._parties = parties = Parties(route, client, patience, self._draft, tape)
        self._handover = Handover(parties)
        self._tries = Tries(parties, self._handover, begin)
        self._arrived = time.perf_counter()
        self._serving: asyncio.Task[Any] | None = None
        """What is cut when the agent is gone for too long; None before and afterwards."""
        self._deadline: asyncio.TimerHandle | None = None
        self._is_too_late = False
        self._counted = False
        """Its attempt waits for it."""
        self._queued = False
        """It was not let out yet."""

    def client_left(self) -> None:
        """The agent hung up: from now on the call is read for its usage only, and not for long."""
        self._client.gone = True
        self._stop_waiting()
        if self._serving is not None and self._deadline is None:
            idle = self._queued or self._tries.resting
            within_s = 0.0 if idle else self._patience.drain_s
            loop = asyncio.get_running_loop()
            self._deadline = loop.call_later(within_s, self._cut_short)

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
            self._draft.end = "denied"
            self._draft.error = f"{refusal.status}: {refusal.message}"[:MAX_ERROR]
            self._answer(refusal.status, refusal.message, refusal.code)
        except (ConnectionError, DrainOver, TimeoutError):
            self._cut()
        except Exception as error:  # noqa: BLE001 - a fault of ours must not lose the record
            self._notice(f"a call failed inside the proxy: {type(error).__name__}: {error}")
            self._draft.error = f"inside the proxy: {type(error).__name__}"
            self._fail(500, "The metering proxy failed.")
        finally:
            self._client.release()
            self._stop_waiting()
            self._note_left()
            self._close_record()

    def _note_left(self) -> None:
        if self._client.takes_nothing and self._draft.error is None:
            self._draft.error = f"the agent took nothing of its reply for {TAKES_NOTHING_S:g} s"

    def _cut(self) -> None:
        """The agent is gone. Where its call was still waiting, that was the provider's doing."""
        self._draft.end = "client_gone"
        if self._tries.resting:
            self._draft.end = "upstream_error"
            last = self._draft.failed_tries[-1:]
            why = (last[0].error if last else None) or self._route.provider.pacer.why
            self._draft.error = f"the agent left while its call waited: {why}"[:MAX_ERROR]

    async def _within_deadline(self) -> None:
        """Serve the call, and raise TimeoutError where its agent is gone for too long.

        As ``asyncio.timeout`` does it, but at no cost for the calls whose agents stay.
        """
        self._serving = task = asyncio.current_task()
        assert task is not None
        cancelled_before = task.cancelling()
        try:
            if self._client.gone:
                self.client_left()
            await self._serve()
        except asyncio.CancelledError as error:
            # Who else cancelled it meanwhile wants it to end.
            if self._is_too_late and task.uncancel() <= cancelled_before:
                raise TimeoutError from error
            raise
        finally:
            self._serving = None
            if self._deadline is not None:
                self._deadline.cancel()

    def _cut_short(self) -> None:
        if self._serving is not None:
            self._is_too_late = True
            self._serving.cancel()

    async def _serve(self) -> None:
        self._body = body = await self._client.read_body()
        draft, taped = self._draft, self._taped
        draft.request_bytes = len(body)
        draft.request_digest = await _aside(len(body), partial(_digest, self._path, body))
        self._queued = True
        async with self._looking if len(body) > _FEW_BYTES else nullcontext():
            headers, additions = await self._admitted(body)
        self._queued = False
        try:
            if taped is None or not await taped.replayed(self._parties, self._handover, body):
                await self._tries.run(headers, body, additions)
        except UpstreamError as error:
            draft.end = "client_gone" if self._client.gone else "upstream_error"
            draft.error = self._guard.text(str(error))[:MAX_ERROR]
            if taped is not None:
                taped.broke(self._guard.text(str(error)))
            self._fail(error.status, str(error))

    async def _admitted(self, body: bytes) -> tuple[dict[str, str], Additions]:
        """Look into the request: the headers that go on, and what is added to its body.

        What was read of it is forgotten afterwards: it can be 25 times as long as the body, and
        the provider may take its time.

        Raises:
            Refused: it goes no further.
            ConnectionError: the agent left meanwhile.
        """
        route, draft = self._route, self._draft
        provider, wire, endpoint = route.provider, route.provider.wire, route.endpoint
        params = decoded(route.params) if route.params else route.params
        has_body = endpoint.method == "POST"
        asked = await _aside(len(body), partial(read_body, body)) if has_body else RequestBody()
        facts = wire.read_request(endpoint, params, asked)
        draft.model, draft.stream = facts.model, facts.stream
        beyond: list[Finding] = []
        for _ in searching(wire.tool_rules, asked.said, params.get("model"), beyond):
            await asyncio.sleep(0)
        if beyond:
            allowed = self._admission.allowed_tools(provider.allowed_tools)
            refuse_ways_out(beyond, allowed=allowed)
        headers = request_headers(self._headers, wire.request_headers, has_body=has_body)
        draft.repeat_of = self._repeats.original(draft.call_id, draft.request_digest, self._headers)
        if self._client.gone:
            raise ConnectionError
        self._counted = True
        self._waits.enter()
        if self._taped is not None:
            self._taped.asked(headers, body)
        additions = NOTHING_ADDED
        if self._admission.asks:
            additions = await self._admission.admit(draft, asked, beyond)
        if facts.asks_usage is not None:
            additions = replace(additions, usage=facts.asks_usage)
        return headers, additions

    def _stop_waiting(self) -> None:
        if self._counted:
            self._counted = False
            self._waits.leave()

    def _fail(self, status: int, message: str) -> None:
        """Tell the agent, or break off where the reply has begun."""
        if self._client.started:
            self._client.break_off()
        else:
            self._answer(status, message)

    def _answer(self, status: int, message: str, code: str | None = None) -> None:
        body = self._route.provider.wire.error_body(status, self._guard.text(message), code)
        self._client.answer(status, body)

    def _close_record(self) -> None:
        draft = self._draft
        meter = self._handover.meter
        if meter is not None:
            self._add_reading(meter)
        draft.duration_ms = (time.perf_counter() - self._arrived) * 1000
        record = draft.record()
        self._repeats.ended(
            draft.request_digest, well=draft.end == "complete" and not record.is_provider_failure
        )
        if record.usage_source != "provider" and record.may_be_billed:
            # Nobody told what it used: the harness will count.
            said = Excerpt() if meter is None else meter.said()
            self._tell_text(call_text(record.call_id, self._body, said))
        if self._taped is not None:
            self._taped.close(draft)
        self._end(record)

    def _add_reading(self, meter: Meter) -> None:
        found, draft = meter.read(), self._draft
        # With any other status it is the status that tells whose fault an error is.
        if found.broken and draft.status == _OK and draft.end == "complete":
            draft.end = "upstream_error"
        final = found.ended or draft.end == "complete"
        draft.usage, draft.usage_source = found.usage, usage_source(found.usage, final=final)
        draft.raw_usage, draft.answered_model = found.raw_usage, found.model
        draft.service_tier, draft.usage_note = found.service_tier, found.note
        draft.other_model = is_other_model(draft.provider, draft.model, found.model)
        if draft.error is None and found.error is not None:
            draft.error = self._guard.text(found.error)
        if found.is_cut and draft.output_limit is not None and draft.end == "complete":
            self._note_cut(draft.output_limit, found.usage)

    def _note_cut(self, limit: int, usage: Usage | None) -> None:
        """The reply ended at a limit: at ours, unless the model's own is far below it."""
        told = None if usage is None else usage.output_tokens
        if told is not None and told < limit / 2:
            return
        draft = self._draft
        draft.is_cut = True
        if draft.error is None:
            draft.error = f"cut off at {limit:,} tokens, the limit that its budget gave it"


async def _aside(size: int, work: Callable[[], _T]) -> _T:
    """Do ``work`` on a request of this size, in a thread where it is long.

    Cancellation waits for its end: who hangs up has no more threads at work than who stays.
    """
    return work() if size <= _LONG_BYTES else await finish(asyncio.to_thread(work))


def _digest(path: str, body: bytes) -> str:
    digest = hashlib.blake2b(f"{path}\0".encode("utf-8", "surrogateescape"), digest_size=16)
    digest.update(body)
    return digest.hexdigest()
