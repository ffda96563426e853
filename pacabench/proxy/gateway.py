"""The gateway: lanes in, providers out, one record per call.

A lane is a listening socket. Which lane a call came from is known by the socket it was accepted
on, and by nothing that a client says. At any time a lane is bound to one attempt or to none.
"""

import asyncio
import hmac
import socket
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from functools import partial
from types import TracebackType
from typing import Self

from pacabench.model import CallRecord
from pacabench.proxy.admission import Admission
from pacabench.proxy.call import Call
from pacabench.proxy.client import Client
from pacabench.proxy.control import ProviderSpec
from pacabench.proxy.excerpt import CallText
from pacabench.proxy.http.connection import Connection
from pacabench.proxy.http.reply import Reply
from pacabench.proxy.http.request import Request
from pacabench.proxy.keys import presented_keys, without_key
from pacabench.proxy.pacing import State
from pacabench.proxy.patience import Patience
from pacabench.proxy.providers import open_providers
from pacabench.proxy.record import CallDraft
from pacabench.proxy.routes import Refusal, Route, RouteTable
from pacabench.proxy.serving import MAX_CALLS, Binding, Lane, LaneServer
from pacabench.proxy.spool import Spool
from pacabench.proxy.tapes import Tapes
from pacabench.proxy.terms import FREE, Ask, Asking, Ruling, Terms
from pacabench.proxy.waits import WaitClock

UNBIND_GRACE_S = 35.0
"""How long ``unbind`` waits for calls under way. Longer than ``Patience.drain_s``."""
_MAX_PATH = 200


class Gateway:
    """Serves lanes while it is entered as an async context manager.

    Args:
        providers: where calls can go.
        default: name of the provider that answers at ``/v1``.
        on_call: gets each call when it ends, in the event loop's thread; must not block.
        spool: where calls are noted besides, if anywhere.
        on_notice: gets what should reach the harness's log.
        on_health: gets a provider's name and state when it goes down, and when it comes back.
        on_text: gets what is to be counted of a call whose provider told no usage, before
            ``on_call`` gets the call.
        on_wait: gets an attempt's id, whether it waits for its provider now, and for how many
            milliseconds it did so far: at its end, and with ``live_waits`` at every change.
        patience: how long to bear with providers.
        tapes: what is recorded, and what is answered out of a recording.
        on_ask: decides about calls of attempts that are bound with limits.

    Raises:
        ValueError: the providers do not fit together.
    """

    def __init__(
        self,
        providers: Sequence[ProviderSpec],
        default: str,
        on_call: Callable[[CallRecord], None],
        spool: Spool | None,
        *,
        on_notice: Callable[[str], None] = lambda _: None,
        on_health: Callable[[str, State, str], None] = lambda *_: None,
        on_text: Callable[[CallText], None] = lambda _: None,
        on_wait: Callable[[str, bool, float], None] = lambda *_: None,
        live_waits: bool = False,
        patience: Patience | None = None,
        tapes: Tapes | None = None,
        on_ask: Asking | None = None,
    ) -> None:
        self._specs = providers
        self._default = default
        self._on_call = on_call
        self._spool = spool
        self._notice = on_notice
        self._on_health = on_health
        self._on_text = on_text
        self._on_wait = on_wait
        self._live_waits = live_waits
        self._patience = patience or Patience()
        self._tapes = tapes or Tapes()
        self._on_ask = on_ask or _ask_nobody
        self._lanes: dict[str, Lane] = {}
        self._stack = AsyncExitStack()
        self._routes: RouteTable | None = None
        self._accepting = True

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            providers = await stack.enter_async_context(
                open_providers(
                    self._specs, self._patience, on_health=self._on_health, notice=self._notice
                )
            )
            self._routes = RouteTable(providers, self._default)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._accepting = False
        await asyncio.gather(*(self.remove_lane(name, grace_s=0) for name in list(self._lanes)))
        await self._stack.aclose()

    async def add_lane(self, lane: str, sock: socket.socket) -> None:
        """Serve ``lane`` on ``sock``, which listens already and belongs to the gateway now.

        Raises:
            ValueError: there is a lane of this name.
        """
        if lane in self._lanes:
            raise ValueError(f"lane {lane!r} is there already")
        entry = self._lanes[lane] = Lane(lane)
        entry.server = LaneServer(partial(self._handle, entry), self._tell_fault)
        sock.setblocking(False)
        loop = asyncio.get_running_loop()
        entry.listener = await loop.create_server(entry.server.accept, sock=sock)

    async def remove_lane(self, lane: str, *, grace_s: float = UNBIND_GRACE_S) -> None:
        """Close the lane's socket and connections; returns when its calls are recorded.

        Raises:
            ValueError: there is no such lane.
        """
        entry = self._lane(lane)
        entry.going = True
        if entry.listener is not None:
            entry.listener.close()
        if entry.server is not None:
            entry.server.hang_up()
        if entry.binding is not None:
            await self._settle(entry.binding, grace_s)
        if entry.server is not None:
            await entry.server.shutdown()
        self._lanes.pop(lane, None)

    def bind(self, lane: str, attempt_id: str, key: str, terms: Terms = FREE) -> None:
        """From now on calls in ``lane`` that carry ``key`` belong to ``attempt_id``.

        They are held to ``terms``.

        Raises:
            ValueError: there is no such lane, or it is bound.
        """
        entry = self._lane(lane)
        if entry.binding is not None:
            raise ValueError(f"lane {lane!r} is bound to {entry.binding.attempt_id}")
        report = partial(self._on_wait, attempt_id) if self._live_waits else None
        admission = Admission(terms, self._on_ask)
        entry.binding = Binding(attempt_id, key.encode(), WaitClock(report), admission)

    async def unbind(self, lane: str, *, grace_s: float = UNBIND_GRACE_S) -> None:
        """Refuse further calls of the lane's attempt, and return when all of its are recorded.

        Those under way get ``grace_s``, then they are cut. Does nothing where nothing is bound.

        Raises:
            ValueError: there is no such lane, or it went meanwhile; its calls are recorded.
        """
        entry = self._lane(lane)
        if entry.binding is not None:
            await self._settle(entry.binding, grace_s)
            entry.binding = None
        if entry.going:
            raise ValueError(f"lane {lane!r} went down")

    def refuse_new(self) -> None:
        """Take no further calls on any lane."""
        self._accepting = False

    async def drain(self, *, grace_s: float) -> None:
        """Wait for all calls under way, cut them after ``grace_s``; all are recorded then."""
        bindings = [lane.binding for lane in self._lanes.values() if lane.binding is not None]
        await asyncio.gather(*(self._settle(binding, grace_s) for binding in bindings))

    async def _settle(self, binding: Binding, grace_s: float) -> None:
        await binding.settle(grace_s)
        if more := binding.unrecorded_denials():
            self._end(_denied(binding, self._default, more))
        self._on_wait(binding.attempt_id, False, binding.waits.total_ms)

    def _lane(self, lane: str) -> Lane:
        if lane not in self._lanes:
            raise ValueError(f"there is no lane {lane!r}")
        return self._lanes[lane]

    def _tell_fault(self, error: Exception) -> None:
        self._notice(f"a request failed inside the proxy: {type(error).__name__}: {error}")

    async def _handle(
        self, lane: Lane, connection: Connection, request: Request, reply: Reply
    ) -> None:
        """Serve one request of ``lane``."""
        assert self._routes is not None
        route = self._routes.find(request)
        if isinstance(route, Refusal):
            self._deny(lane, request, reply, route)
            return
        binding = lane.binding
        refusal = self._key_refusal(binding, request, route)
        if refusal is not None or binding is None:
            self._deny(lane, request, reply, refusal or _NO_ATTEMPT)
            return
        if binding.is_full:
            self._deny(lane, request, reply, _TOO_MANY_CALLS)
            return
        client = Client(connection, request, reply, lane.budget)
        call = Call(
            route,
            client,
            attempt_id=binding.attempt_id,
            waits=binding.waits,
            repeats=binding.repeats,
            patience=self._patience,
            admission=binding.admission,
            looking=lane.looking,
            path=without_key(request.target),
            headers=request.headers,
            begin=self._begin,
            tell_text=self._on_text,
            end=partial(self._end_call, binding),
            notice=self._notice,
            taped=self._tapes.of_call(route, binding.key),
        )
        await self._run(call, binding, connection)

    async def _run(self, call: Call, binding: Binding, connection: Connection) -> None:
        task = connection.task
        assert task is not None
        binding.calls.add(task)
        connection.when_lost = call.client_left
        if connection.is_lost:
            call.client_left()
        try:
            await call.run()
        finally:
            connection.when_lost = None
            binding.ended(task)

    def _key_refusal(
        self, binding: Binding | None, request: Request, route: Route
    ) -> Refusal | None:
        if not self._accepting:
            return Refusal(503, "The benchmark is over; no further calls are taken.")
        if binding is None or not binding.open:
            return _NO_ATTEMPT
        presented = presented_keys(request.headers, route.query)
        if not presented:
            return Refusal(401, f"Send the attempt's key, {_WHERE}.", _BAD_KEY)
        for key in presented:
            if hmac.compare_digest(key.encode("utf-8", "surrogateescape"), binding.key):
                return None
        return Refusal(401, f"This is not the attempt's key, {_WHERE}.", _BAD_KEY)

    def _deny(self, lane: Lane, request: Request, reply: Reply, refusal: Refusal) -> None:
        binding = lane.binding
        if binding is not None and binding.open and binding.notes_denial():
            target = without_key(request.target)[:_MAX_PATH]
            path = target.encode("ascii", "backslashreplace").decode()
            draft = CallDraft(binding.attempt_id, self._default, path)
            draft.end = "denied"
            draft.error = f"{refusal.status} to {request.method}: {refusal.message}"
            self._end(draft.record())
        assert self._routes is not None
        wire = self._routes.wire_of(request)
        body = wire.error_body(refusal.status, refusal.message, refusal.code)
        reply.answer(refusal.status, "application/json", body)

    def _begin(self, draft: CallDraft) -> None:
        if self._spool is not None:
            try:
                self._spool.begin(draft)
            except OSError as error:
                self._notice(f"a call could not be noted in the spool: {error}")

    def _end_call(self, binding: Binding, record: CallRecord) -> None:
        if record.end != "denied" or binding.notes_denial():
            self._end(record)

    def _end(self, record: CallRecord) -> None:
        if self._spool is not None:
            try:
                self._spool.end(record)
            except OSError as error:
                self._notice(f"a call could not be noted in the spool: {error}")
        self._on_call(record)


_WHERE = "which is in the variable where the provider's SDK looks for one (OPENAI_API_KEY, ...)"
_BAD_KEY = "invalid_api_key"
_NO_ATTEMPT = Refusal(403, "No case is being run here now; calls are refused.", "no_attempt")
_TOO_MANY_CALLS = Refusal(
    429,
    f"{MAX_CALLS} calls are under way already; those whose client hung up go on until it is known "
    "what they used.",
)


def _denied(binding: Binding, provider: str, count: int) -> CallRecord:
    draft = CallDraft(binding.attempt_id, provider, "(several)", end="denied", sent=False)
    draft.count = count
    draft.error = f"{count:,} more calls were denied"
    return draft.record()


async def _ask_nobody(ask: Ask) -> Ruling:
    raise RuntimeError(f"a budget without anybody who keeps it: {ask.attempt_id}")
