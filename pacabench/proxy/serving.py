"""A lane while it is served: its socket's connections, and the attempt that it is bound to."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp.web_protocol import RequestHandler
from aiohttp.web_request import BaseRequest
from aiohttp.web_response import StreamResponse
from aiohttp.web_server import Server

from pacabench.proxy.admission import Admission
from pacabench.proxy.call import Call
from pacabench.proxy.client import MAX_LANE_BODY_BYTES
from pacabench.proxy.connection import Connection, served_by
from pacabench.proxy.held_bytes import HeldBytes
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


class LaneServer(Server):
    """aiohttp's low-level server, which tells a call when its client hung up."""

    def __init__(self, handler: Callable[[BaseRequest], Awaitable[StreamResponse]]) -> None:
        self._settings: dict[str, Any] = {
            "access_log": None,
            "logger": _silent_logger(),
            "auto_decompress": False,
        }
        super().__init__(served_by(handler), **self._settings)
        self.under_way: dict[RequestHandler, Call] = {}

    def accept(self) -> asyncio.BaseProtocol:
        """The protocol for a new connection."""
        return self() if len(self.connections) < MAX_CONNECTIONS else _Refuser()

    def __call__(self) -> RequestHandler:
        """As :meth:`accept`, for as many as come."""
        return Connection(self, loop=asyncio.get_running_loop(), **self._settings)

    def connection_lost(self, handler: RequestHandler, exc: BaseException | None = None) -> None:
        """Called by each connection at its end."""
        super().connection_lost(handler, exc)
        call = self.under_way.get(handler)
        if call is not None:
            call.client_left()

    def hang_up(self) -> None:
        """Close all connections; their calls go on without their clients."""
        for connection in self.connections:
            connection.force_close()


@dataclass(slots=True, eq=False)
class Lane:
    """A lane, from its socket's coming to its going."""

    name: str
    budget: HeldBytes = field(default_factory=lambda: HeldBytes(MAX_LANE_BODY_BYTES))
    server: LaneServer | None = None
    listener: asyncio.Server | None = None
    binding: Binding | None = None


def _silent_logger() -> logging.Logger:
    """Takes what the server says about requests that are no HTTP: no agent may fill a log."""
    logger = logging.getLogger("pacabench.proxy.http")
    logger.setLevel(logging.CRITICAL + 1)
    return logger


class _Refuser(asyncio.Protocol):
    """Closes a connection that is one too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()
