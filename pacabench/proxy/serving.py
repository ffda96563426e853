"""A lane while it is served: its socket's connections, and the attempt that it is bound to."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

from pacabench.proxy.admission import Admission
from pacabench.proxy.client import MAX_LANE_BODY_BYTES
from pacabench.proxy.held_bytes import HeldBytes
from pacabench.proxy.http.connection import Connection, Serve
from pacabench.proxy.repeats import Repeats
from pacabench.proxy.waits import WaitClock

MAX_CONNECTIONS = 512
"""Of one lane. Further ones are closed at once."""
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
    calls: set["UnderWay"] = field(default_factory=set)

    def notes_denial(self) -> bool:
        """Whether one more refusal is recorded; then it counts."""
        self.denied += 1
        return self.denied <= MAX_DENIED_RECORDS

    def unrecorded_denials(self) -> int:
        """How many refusals have no record; asked once, at the end."""
        count, self.denied = max(0, self.denied - MAX_DENIED_RECORDS), 0
        return count

    async def settle(self, grace_s: float) -> None:
        """Take no further calls; return when all are recorded. They are cut after ``grace_s``."""
        self.open = False
        calls = set(self.calls)
        if calls and grace_s > 0:
            await asyncio.wait({entry.recorded for entry in calls}, timeout=grace_s)
        for entry in self.calls:
            entry.task.cancel()
        await asyncio.gather(*(entry.recorded for entry in calls))


@dataclass(slots=True, eq=False)
class UnderWay:
    """The task that serves a call; ``recorded`` is done when the call's record is out."""

    task: asyncio.Task[Any]
    recorded: asyncio.Future[None]


class LaneServer:
    """The connections of one lane."""

    def __init__(self, serve: Serve) -> None:
        self._serve = serve
        self._connections: set[Connection] = set()

    def accept(self) -> asyncio.BaseProtocol:
        """The protocol for a new connection."""
        if len(self._connections) >= MAX_CONNECTIONS:
            return _Refuser()
        return Connection(self._serve, self._connections)

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
    server: LaneServer | None = None
    listener: asyncio.Server | None = None
    binding: Binding | None = None


class _Refuser(asyncio.Protocol):
    """Closes a connection that is one too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()
