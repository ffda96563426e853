"""A lane while it is served: its socket's connections, and the attempt that it is bound to."""

import asyncio
from dataclasses import dataclass, field

from pacabench.proxy.admission import Admission
from pacabench.proxy.client import MAX_LANE_BODY_BYTES
from pacabench.proxy.held_bytes import HeldBytes
from pacabench.proxy.http.connection import Connection, OnFault, Serve
from pacabench.proxy.repeats import Repeats
from pacabench.proxy.waits import WaitClock

MAX_CONNECTIONS = 512
"""Of one lane. Further ones are closed at once."""
MAX_CALLS = 512
"""Of one attempt under way, those included that are read on for their usage after their client
left: without it whoever hangs up at once could have any number of connections to providers."""
_READ_BYTES = 128 * 1024
"""At a time, from one connection."""
MAX_DENIED_RECORDS = 100
"""Of one attempt. Further ones are refused all the same; one record counts them."""


@dataclass(slots=True, eq=False)
class Binding:
    """The attempt that a lane's calls belong to at present."""

    attempt_id: str
    key: bytes
    waits: WaitClock
    admission: Admission
    repeats: Repeats = field(default_factory=Repeats)
    open: bool = True
    """Further calls are taken."""
    denied: int = 0
    """Calls that were refused, those without a record of their own included."""
    calls: set[asyncio.Task[None]] = field(default_factory=set)
    """The tasks that serve those under way."""
    _all_ended: asyncio.Future[None] | None = None

    @property
    def is_full(self) -> bool:
        """No further call is taken until one of those under way ends."""
        return len(self.calls) >= MAX_CALLS

    def notes_denial(self) -> bool:
        """Whether one more refusal is recorded; then it counts."""
        self.denied += 1
        return self.denied <= MAX_DENIED_RECORDS

    def unrecorded_denials(self) -> int:
        """How many refusals have no record; asked once, at the end."""
        count, self.denied = max(0, self.denied - MAX_DENIED_RECORDS), 0
        return count

    def ended(self, call: asyncio.Task[None]) -> None:
        """One of ``calls`` is recorded."""
        self.calls.discard(call)
        if self._all_ended is not None and not self.calls and not self._all_ended.done():
            self._all_ended.set_result(None)

    async def settle(self, grace_s: float) -> None:
        """Take no further calls; return when all are recorded. They are cut after ``grace_s``."""
        self.open = False
        if not self.calls:
            return
        if self._all_ended is None:
            self._all_ended = asyncio.get_running_loop().create_future()
        if grace_s > 0:
            await asyncio.wait({self._all_ended}, timeout=grace_s)
        for call in self.calls:
            call.cancel()
        if self.calls:
            await asyncio.wait({self._all_ended})


class LaneServer:
    """The connections of one lane."""

    def __init__(self, serve: Serve, on_fault: OnFault) -> None:
        self._serve = serve
        self._on_fault = on_fault
        self._connections: set[Connection] = set()
        self._buffer = memoryview(bytearray(_READ_BYTES))

    def accept(self) -> asyncio.BaseProtocol:
        """The protocol for a new connection."""
        if len(self._connections) >= MAX_CONNECTIONS:
            return _Refuser()
        return Connection(self._serve, self._connections, self._buffer, self._on_fault)

    def hang_up(self) -> None:
        """Close all connections; their calls go on without their clients."""
        for connection in self._connections:
            connection.close()

    async def shutdown(self) -> None:
        """Cut what is left. Calls are to be recorded before."""
        left = list(self._connections)
        tasks = [it.task for it in left if it.task is not None]
        for task in tasks:
            task.cancel()
        for connection in left:
            connection.transport.abort()
        await asyncio.gather(*tasks, return_exceptions=True)


@dataclass(slots=True, eq=False)
class Lane:
    """A lane, from its socket's coming to its going."""

    name: str
    budget: HeldBytes = field(default_factory=lambda: HeldBytes(MAX_LANE_BODY_BYTES))
    looking: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while a long request of it is looked into."""
    server: LaneServer | None = None
    listener: asyncio.Server | None = None
    binding: Binding | None = None
    going: bool = False
    """Its connections were cut, whatever was said on them."""


class _Refuser(asyncio.Protocol):
    """Closes a connection that is one too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()
