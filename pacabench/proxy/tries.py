"""Asks the provider until there is an answer that is worth handing on.

A call is tried again as long as nothing of a reply went out and the provider's failure is one that
passes.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias
from urllib.parse import urlsplit

from pacabench.model import FailedTry
from pacabench.proxy.additions import Additions
from pacabench.proxy.admission import BUDGET_EXCEEDED, OVER_BUDGET
from pacabench.proxy.client import Refused
from pacabench.proxy.decode import plain
from pacabench.proxy.handover import Handover, Parties
from pacabench.proxy.output import refuses_limit
from pacabench.proxy.pacing import Turn
from pacabench.proxy.patience import is_transient, retry_after_s
from pacabench.proxy.record import MAX_ERROR, CallDraft
from pacabench.proxy.upstream import (
    Reply,
    UpstreamError,
    UpstreamRedirectError,
    UpstreamRequest,
    UpstreamSilentError,
    UpstreamUnreachableError,
    UpstreamUnreadableError,
    already_read,
    error_head,
)

_NO_LIMIT_FITS = (
    "Over budget: the request sets no limit of its output, and what is left of the budget is less "
    "than its provider takes for one."
)
_NOT_AGAIN = (UpstreamSilentError, UpstreamUnreadableError, UpstreamRedirectError)
"""It may be at work on the call, or it has answered: asked again, it would bill twice."""
_REDIRECT = 300
_LONGEST_HOST = 253
_ERROR = 400
_SERVER_ERROR = 500
_TOO_MANY_REQUESTS = 429


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


_Said: TypeAlias = _Failure | Literal["done", "refuses usage", "refuses limit"]


class Tries:
    """The tries of one call, the last of which goes to the agent."""

    def __init__(
        self, parties: Parties, handover: Handover, begin: Callable[[CallDraft], None]
    ) -> None:
        self._handover, self._begin = handover, begin
        self._route, self._draft = parties.route, parties.draft
        self._provider = self._route.provider
        self._client, self._patience = parties.client, parties.patience
        self._failed_at: float | None = None
        self._count = 0
        self.resting = False
        """The call waits for its turn, or for a better time; stays so when it is cut there."""

    async def run(self, headers: dict[str, str], body: bytes, additions: Additions) -> None:
        """Ask until there is an answer, and hand it on.

        With ``additions`` to ``body``, and again without those that are not understood.

        Raises:
            Refused: the provider takes no limit of the output that fits the budget.
            UpstreamError: no reply came, or it broke off.
            ConnectionError: the agent left before the reply began.
            DrainOver: see ``Handover.pass_on``.
        """
        pacer = self._provider.pacer
        headers = {**headers, **self._provider.key_headers}
        failure: _Failure | None = None
        turn = pacer.turn_at_once() or await self._turn(None)
        written = additions.added_to(body)
        while turn is not None:
            try:
                said = await self._try(headers, written, turn, additions)
            finally:
                pacer.give_back(turn)
            if said == "done":
                return
            if isinstance(said, _Failure):
                failure = said
            else:
                failure = None
                additions = self._without(additions, said)
                written = additions.added_to(body)
            turn = await self._turn(failure)
        assert failure is not None
        await self._hand_on(failure)

    def _without(
        self, additions: Additions, said: Literal["refuses usage", "refuses limit"]
    ) -> Additions:
        """``additions`` but for what the provider refused."""
        if said == "refuses usage":
            return additions.without_usage()
        if additions.is_needed:
            self._draft.is_cut = True
            raise Refused(OVER_BUDGET, _NO_LIMIT_FITS, BUDGET_EXCEEDED)
        return additions.without_limit()

    async def _turn(self, failure: _Failure | None) -> Turn | None:
        """Wait until the provider may be asked (again); None where it is not worth it any more."""
        pacer, draft = self._provider.pacer, self._draft
        began = time.perf_counter()
        self.resting = True
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
        self.resting = False
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

    async def _try(
        self, headers: dict[str, str], body: bytes, turn: Turn, additions: Additions
    ) -> _Said:
        """One request. What it brings goes to the agent, unless it is worth another try."""
        asked = additions.usage is not None
        provider, endpoint, draft = self._provider, self._route.endpoint, self._draft
        sent = body if endpoint.method == "POST" else b""
        request = UpstreamRequest(endpoint, headers, sent, self._route.target, draft.model)
        self._note_sending(additions.output_limit)
        try:
            async with provider.upstream.send(request) as reply:
                try:
                    draft.status = reply.status
                    head = b""
                    if reply.status < _ERROR:
                        provider.pacer.answered(turn)
                        _refuse_redirect(reply)
                    else:
                        head, whole = await error_head(reply)
                        said = plain(head, reply.headers.get("Content-Encoding", ""))
                        if asked and provider.wire.refuses_usage(reply.status, said):
                            provider.pacer.answered(turn)
                            return "refuses usage"
                        if additions.limits and refuses_limit(reply.status, said):
                            provider.pacer.answered(turn)
                            return "refuses limit"
                        failure = self._judge(turn, reply, head, said)
                        if failure is not None and whole and not self._client.gone:
                            return failure
                    await self._handover.pass_on(reply, head, asked_usage=asked)
                finally:
                    await reply.chunks.aclose()
                return "done"
        except UpstreamError as error:
            if self._client.started:
                raise
            draft.sent = self._count > 1 or not isinstance(error, UpstreamUnreachableError)
            why = provider.guard.text(str(error))[:MAX_ERROR]
            if not isinstance(error, UpstreamRedirectError):
                provider.pacer.failed(turn, why)
            if self._client.gone or isinstance(error, _NOT_AGAIN):
                raise
            return _Failure(why, error)

    def _note_sending(self, output_limit: int | None) -> None:
        draft = self._draft
        draft.output_limit = output_limit
        draft.status, draft.sent = None, True
        draft.retries = self._count
        self._count += 1
        if self._count == 1:
            self._begin(draft)
        self._handover.sent_at = time.perf_counter()

    def _judge(self, turn: Turn, reply: Reply, head: bytes, said: bytes) -> _Failure | None:
        """Tell the pacer how the provider does; the failure, where it may pass.

        ``said`` is ``head`` without a coding.
        """
        pacer, status = self._provider.pacer, reply.status
        failure = _Failure(self._why(reply, said), reply=reply, head=head)
        passing = is_transient(status, reply.headers, said)
        if passing and status >= _SERVER_ERROR:
            pacer.failed(turn, failure.why)
        elif passing and status == _TOO_MANY_REQUESTS:
            pacer.limited(turn, retry_after_s(reply.headers))
        else:
            pacer.answered(turn)
        return failure if passing else None

    def _why(self, reply: Reply, body: bytes) -> str:
        """The status, and the provider's own words where they can be read."""
        meter = self._provider.wire.meter(self._route.endpoint, events=False)
        scrubber = self._provider.guard.scrubber()  # before the text is cut, maybe inside the key
        meter.feed(scrubber.feed(body))
        meter.feed(scrubber.finish())
        said = meter.read().error
        text = f"HTTP status {reply.status}" + (f": {said}" if said else "")
        return self._provider.guard.text(text)[:MAX_ERROR]

    async def _hand_on(self, failure: _Failure) -> None:
        """Patience is at its end: the agent gets what the provider said last."""
        if failure.error is not None:
            raise failure.error
        assert failure.reply is not None
        await self._handover.pass_on(already_read(failure.reply), failure.head, asked_usage=False)


def _refuse_redirect(reply: Reply) -> None:
    """An agent's SDK would follow it, get nowhere, and its agent would be to blame.

    Raises:
        UpstreamRedirectError: it is one.
    """
    if reply.status < _REDIRECT:
        return
    try:
        host = urlsplit(reply.headers.get("Location", "")).hostname or "the same host"
    except ValueError:
        host = "no address"
    shown = host[:_LONGEST_HOST].encode("ascii", "backslashreplace").decode()
    raise UpstreamRedirectError(
        f"the provider redirects with {reply.status} to {shown!r}, and redirects are not followed: "
        "its base_url has to name where it answers"
    )
