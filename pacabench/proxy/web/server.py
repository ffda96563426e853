"""The second port of lanes: a forward proxy for just the hosts that each attempt may reach.

As at the gateway, the lane that a connection came from is known by the socket that it was accepted
on. A lane is bound to one attempt with its own list, or to none; then everything is refused.
"""

import asyncio
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from pacabench.allow_list import parse_rule
from pacabench.egress import EgressRecord
from pacabench.proxy.spool import Spool
from pacabench.proxy.web.addresses import AddressPolicy
from pacabench.proxy.web.passage import Outside, Passage, Permit
from pacabench.proxy.web.record import DeniedError, EgressDraft
from pacabench.proxy.web.resolve import Resolver, look_up
from pacabench.proxy.web.stream import PIECE_BYTES, Budget, Limits, Stream

_STANDARD = Limits()


@dataclass(slots=True, eq=False)
class _Lane:
    lookups: asyncio.Semaphore
    server: asyncio.Server | None = None
    permit: Permit | None = None
    passages: set[asyncio.Task[None]] = field(default_factory=set)


class WebGateway:
    """Serves the second port of lanes.

    Args:
        on_egress: gets each way out when it ends, in the event loop's thread; must not block.
        spool: where they are noted besides, if anywhere.
        policy: which addresses may be reached.
        resolve: how names become addresses.
        limits: how much, and for how long.
        on_notice: gets what should reach the harness's log.
    """

    def __init__(
        self,
        on_egress: Callable[[EgressRecord], None],
        spool: Spool | None,
        *,
        policy: AddressPolicy,
        resolve: Resolver = look_up,
        limits: Limits = _STANDARD,
        on_notice: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._on_egress = on_egress
        self._spool = spool
        self._outside = Outside(resolve, policy, limits)
        self._notice = on_notice
        self._lanes: dict[str, _Lane] = {}

    async def add_lane(self, lane: str, sock: socket.socket) -> None:
        """Serve ``lane`` on ``sock``, which listens already and belongs to the gateway now.

        Raises:
            ValueError: there is a lane of this name.
        """
        if lane in self._lanes:
            raise ValueError(f"lane {lane!r} is there already")
        entry = self._lanes[lane] = _Lane(asyncio.Semaphore(self._outside.limits.lookups))

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            agent = Stream(reader, writer)
            task = asyncio.get_running_loop().create_task(self._serve(entry, agent))
            entry.passages.add(task)
            task.add_done_callback(entry.passages.discard)
            # One that is cancelled before it began closes nothing by itself.
            task.add_done_callback(lambda _: agent.abort())

        sock.setblocking(False)
        entry.server = await asyncio.start_server(accept, sock=sock, limit=PIECE_BYTES)

    async def remove_lane(self, lane: str) -> None:
        """Close the lane's socket and connections. Does nothing where there is none."""
        entry = self._lanes.get(lane)
        if entry is not None:
            if entry.server is not None:
                entry.server.close()
            await self.unbind(lane)
            self._lanes.pop(lane, None)

    def bind(self, lane: str, attempt_id: str, allow: Sequence[str]) -> None:
        """From now on ``attempt_id`` may reach from ``lane`` what ``allow`` lists.

        Where the lane has no second port, nothing is reached.

        Raises:
            ValueError: an entry of the list is none, or the lane is bound; nothing changes.
        """
        rules = [parse_rule(text) for text in allow]
        entry = self._lanes.get(lane)
        if entry is not None:
            if entry.permit is not None:
                raise ValueError(f"lane {lane!r} is bound to {entry.permit.attempt_id}")
            entry.permit = Permit(attempt_id, rules, Budget(self._outside.limits.attempt_bytes))

    async def unbind(self, lane: str) -> None:
        """Cut everything under way in ``lane``; all is recorded on return. Nothing is let through.

        Does nothing where there is no such lane.
        """
        entry = self._lanes.get(lane)
        if entry is None:
            return
        # Who comes from here on is nobody's, also while the others are being cut.
        permit, entry.permit = entry.permit, None
        passages = set(entry.passages)
        for task in passages:
            task.cancel()
        if passages:
            await asyncio.wait(passages)
        if permit is not None and permit.uncounted:
            self._record_uncounted(permit)

    async def close(self) -> None:
        """Cut and close everything; all is recorded on return."""
        await asyncio.gather(*(self.remove_lane(lane) for lane in list(self._lanes)))

    async def _serve(self, lane: _Lane, agent: Stream) -> None:
        passage = Passage(
            agent,
            self._outside,
            lane.lookups,
            permit_now=lambda: lane.permit,
            begin=self._begin,
            end=self._end,
        )
        try:
            if len(lane.passages) > self._outside.limits.connections:
                self._turn_away(lane)
            else:
                await passage.run()
                if passage.refused:
                    await agent.see_off(within_s=self._outside.limits.see_off_s)
        except Exception as error:  # noqa: BLE001 - a fault of ours must not reach the loop
            self._notice(f"a way out failed inside the proxy: {type(error).__name__}: {error}")
        except asyncio.CancelledError:
            agent.abort()
            raise
        finally:
            if not agent.writer.is_closing():
                await agent.close(within_s=self._outside.limits.idle_s)

    def _turn_away(self, lane: _Lane) -> None:
        if lane.permit is not None:
            most = self._outside.limits.connections
            draft = EgressDraft(lane.permit.attempt_id)
            draft.judge(DeniedError("too_many", f"more than {most} connections at a time"))
            self._end(lane.permit, draft)

    def _begin(self, draft: EgressDraft) -> None:
        """Note it in the spool as what it is if nothing more is ever heard of it."""
        if self._spool is not None:
            unknown = replace(draft, reason="interrupted", detail="the sidecar died under it")
            self._note(self._spool, unknown.record())

    def _end(self, permit: Permit, draft: EgressDraft) -> None:
        if draft.verdict == "denied":
            if permit.denied >= self._outside.limits.denied_records:
                permit.uncounted += 1
                return
            permit.denied += 1
        self._deliver(draft)

    def _record_uncounted(self, permit: Permit) -> None:
        draft = EgressDraft(permit.attempt_id, count=permit.uncounted)
        draft.judge(DeniedError("many_more", f"{permit.uncounted} more were denied"))
        self._deliver(draft)

    def _deliver(self, draft: EgressDraft) -> None:
        record = draft.record()
        if self._spool is not None:
            self._note(self._spool, record)
        self._on_egress(record)

    def _note(self, spool: Spool, record: EgressRecord) -> None:
        try:
            spool.egress(record)
        except OSError as error:
            self._notice(f"a way out could not be noted in the spool: {error}")
