"""One connection of an agent to the web, from its first byte to its record."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from pacabench.allow_list import Rule, find_rule, is_address
from pacabench.proxy.web.addresses import AddressPolicy
from pacabench.proxy.web.http_head import (
    BadMessageError,
    RequestHead,
    Target,
    find_target,
    parse_request,
    write_refusal,
)
from pacabench.proxy.web.record import MAX_TEXT, CutError, DeniedError, EgressDraft, FailedError
from pacabench.proxy.web.request import METHODS, exchange
from pacabench.proxy.web.resolve import Resolver, checked_addresses, connect
from pacabench.proxy.web.stream import Budget, Limits, Stream, Traffic
from pacabench.proxy.web.tunnel import carry

_ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"
_PHRASES = {
    400: "Bad Request",
    403: "Denied by sandbox.egress.allow",  # what many clients show of a refusal, and nothing else
    405: "Method Not Allowed",
    408: "Request Timeout",
    429: "Too Many Requests",
    502: "Bad Gateway",
    504: "Gateway Timeout",
}
_CONNECT = "CONNECT"


@dataclass(frozen=True, slots=True)
class Outside:
    """The way from the sidecar to the world."""

    resolve: Resolver
    policy: AddressPolicy
    limits: Limits


@dataclass(slots=True, eq=False)
class Permit:
    """What one attempt may do, and how much of it is used up."""

    attempt_id: str
    rules: Sequence[Rule]
    budget: Budget
    accesses: int = 0
    denied: int = 0
    """With a record each."""
    uncounted: int = 0
    """Denied ones that have none of their own."""


@dataclass(slots=True, eq=False)
class Passage:
    """Serves one connection."""

    agent: Stream
    outside: Outside
    lookups: asyncio.Semaphore
    permit_now: Callable[[], Permit | None]
    """The permit of the attempt that the lane is bound to."""
    begin: Callable[[EgressDraft], None]
    end: Callable[[Permit, EgressDraft], None]
    refused: bool = field(default=False, init=False)
    """The agent was told so, and may be talking still."""
    _in_tunnel: bool = field(default=False, init=False)
    """An HTTP reply would not be understood any more."""

    async def run(self) -> None:
        """Serve it and record it, whatever happens. Cancellation cuts it."""
        permit: Permit | None = None
        draft = EgressDraft("")
        started = time.perf_counter()
        try:
            head = await self._read_head()
            permit = self.permit_now()
            if head is None:
                permit = None
            elif permit is not None:
                draft.attempt_id = permit.attempt_id
                await self._serve(head, permit, draft)
            else:
                await self._refuse(403, "no case is being run here now", draft)
        except DeniedError as error:
            permit = permit or self.permit_now()
            draft.judge(error)
            await self._refuse(error.status, error.told, draft)
        except FailedError as error:
            draft.judge(error)
            await self._refuse(error.status, error.detail, draft)
        except CutError as error:
            draft.judge(error)
        except ConnectionError:
            pass  # one side hung up; what passed is counted
        except asyncio.CancelledError:
            draft.judge(CutError("unbound", "its attempt was over"))
            raise
        finally:
            if permit is not None:
                draft.attempt_id = permit.attempt_id
                draft.duration_ms = (time.perf_counter() - started) * 1000
                self.end(permit, draft)

    async def _read_head(self) -> bytes | None:
        """None: the agent left before it said anything."""
        limits = self.outside.limits
        try:
            async with asyncio.timeout(limits.head_s):
                return await self.agent.read_head() or None
        except TimeoutError as error:
            text = f"no whole request came within {limits.head_s:g} s"
            raise DeniedError("slow", text, status=408) from error
        except BadMessageError as error:
            raise _bad_request(error) from error

    async def _serve(self, head: bytes, permit: Permit, draft: EgressDraft) -> None:
        request, target, rule_problem = self._judge(head, permit, draft)
        if rule_problem is not None:
            raise rule_problem
        permit.accesses += 1
        limits = self.outside.limits
        if permit.accesses > limits.accesses:
            text = f"the attempt went out more than {limits.accesses} times"
            raise DeniedError("too_many", text, status=429)
        async with self.lookups:
            addresses = await checked_addresses(
                target.host, self.outside.resolve, self.outside.policy, limits
            )
        host, draft.address = await connect(target.host, addresses, target.port, limits)
        try:
            self.begin(draft)
            traffic = Traffic(draft, permit.budget, limits.idle_s)
            await traffic.until_idle(self._pass(request, target, host, draft, traffic))
            await host.close(within_s=limits.answer_s)
        finally:
            host.abort()

    async def _pass(
        self,
        request: RequestHead,
        target: Target,
        host: Stream,
        draft: EgressDraft,
        traffic: Traffic,
    ) -> None:
        if request.method != _CONNECT:
            await exchange(self.agent, host, request, target, draft, traffic)
            return
        await self.agent.send(_ESTABLISHED)
        self._in_tunnel = True
        await carry(self.agent, host, target.host, traffic, self.outside.limits)

    def _judge(
        self, head: bytes, permit: Permit, draft: EgressDraft
    ) -> tuple[RequestHead, Target, DeniedError | None]:
        """Read the request, and ask the list.

        Raises:
            DeniedError: it is not to be understood.
        """
        try:
            request = parse_request(head)
            draft.method = request.method[:16]
            draft.host = request.target[:MAX_TEXT]
            target = find_target(request)
        except BadMessageError as error:
            raise _bad_request(error) from error
        draft.host, draft.port = target.host, target.port
        problem = None
        if request.method != _CONNECT and request.method not in METHODS:
            problem = DeniedError(
                "bad_request", f"the method {request.method[:16]} is not served", status=405
            )
        elif request.method == _CONNECT and not request.framing.is_empty:
            problem = DeniedError("bad_request", "CONNECT takes no body", status=400)
        elif is_address(target.host):
            problem = DeniedError("address", "the target is an address and no name")
        elif find_rule(permit.rules, target.host, target.port) is None:
            text = f"{target.host}:{target.port} is not in sandbox.egress.allow"
            problem = DeniedError("not_listed", text)
        return request, target, problem

    async def _refuse(self, status: int, text: str, draft: EgressDraft) -> None:
        """Tell the agent, where it can still be told."""
        if self._in_tunnel or draft.status is not None:
            return
        extra = {"Allow": ", ".join(sorted(METHODS))} if status == 405 else {}  # noqa: PLR2004 - Method Not Allowed
        reply = write_refusal(status, _PHRASES[status], f"pacabench: {text}", extra)
        with contextlib.suppress(ConnectionError):
            await self.agent.send(reply)
            self.refused = True


def _bad_request(error: BadMessageError) -> DeniedError:
    return DeniedError("bad_request", f"the request is refused: {error}", status=400)
