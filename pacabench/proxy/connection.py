"""One connection of an agent, which has to say what it wants in good time."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp.web_protocol import RequestHandler
from aiohttp.web_request import BaseRequest
from aiohttp.web_response import StreamResponse

HEAD_WITHIN_S = 10.0
"""From a connection's begin, and from the first byte of a further request, to the head's end."""


class Connection(RequestHandler):
    """aiohttp's, which is closed when the head of a request comes too slowly.

    Between two requests it may be idle for longer: SDKs keep connections.
    """

    _head_began: float | None = None
    """In the loop's time; None where no head is awaited."""
    _head_timer: asyncio.TimerHandle | None = None
    """Goes on from one request to the next: to set one for each would cost more than to look at a
    clock."""
    _is_served = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the event loop."""
        super().connection_made(transport)
        self._wait_for_head()

    def data_received(self, data: bytes) -> None:
        """Called by the event loop."""
        if self._head_began is None and not self._is_served:
            self._wait_for_head()
        super().data_received(data)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Called by the event loop."""
        if self._head_timer is not None:
            self._head_timer.cancel()
        super().connection_lost(exc)

    async def serve(
        self, request: BaseRequest, handler: Callable[[BaseRequest], Awaitable[StreamResponse]]
    ) -> StreamResponse:
        """Answer ``request``, whose head is whole."""
        self._head_began = None
        self._is_served = True
        try:
            return await handler(request)
        finally:
            self._is_served = False

    def _wait_for_head(self) -> None:
        loop = asyncio.get_running_loop()
        self._head_began = loop.time()
        if self._head_timer is None:
            self._head_timer = loop.call_later(HEAD_WITHIN_S, self._look)

    def _look(self) -> None:
        """Close the connection where its head is late; look again where it still has time."""
        self._head_timer = None
        if self._head_began is None:
            return
        loop = asyncio.get_running_loop()
        late_at = self._head_began + HEAD_WITHIN_S
        if loop.time() >= late_at:
            self.force_close()
        else:
            self._head_timer = loop.call_at(late_at, self._look)


def served_by(
    handler: Callable[[BaseRequest], Awaitable[StreamResponse]],
) -> Callable[[BaseRequest], Awaitable[StreamResponse]]:
    """``handler`` for requests that come over a :class:`Connection`."""

    async def serve(request: BaseRequest) -> StreamResponse:
        connection: Any = request.protocol
        response: StreamResponse = await connection.serve(request, handler)
        return response

    return serve
