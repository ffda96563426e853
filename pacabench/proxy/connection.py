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

    _head_timer: asyncio.TimerHandle | None = None
    _is_served = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the event loop."""
        super().connection_made(transport)
        self._wait_for_head()

    def data_received(self, data: bytes) -> None:
        """Called by the event loop."""
        if self._head_timer is None and not self._is_served:
            self._wait_for_head()
        super().data_received(data)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Called by the event loop."""
        self._stop_waiting()
        super().connection_lost(exc)

    async def serve(
        self, request: BaseRequest, handler: Callable[[BaseRequest], Awaitable[StreamResponse]]
    ) -> StreamResponse:
        """Answer ``request``, whose head is whole."""
        self._stop_waiting()
        self._is_served = True
        try:
            return await handler(request)
        finally:
            self._is_served = False

    def _wait_for_head(self) -> None:
        loop = asyncio.get_running_loop()
        self._head_timer = loop.call_later(HEAD_WITHIN_S, self._cut)

    def _stop_waiting(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _cut(self) -> None:
        self._head_timer = None
        self.force_close()


def served_by(
    handler: Callable[[BaseRequest], Awaitable[StreamResponse]],
) -> Callable[[BaseRequest], Awaitable[StreamResponse]]:
    """``handler`` for requests that come over a :class:`Connection`."""

    async def serve(request: BaseRequest) -> StreamResponse:
        connection: Any = request.protocol
        response: StreamResponse = await connection.serve(request, handler)
        return response

    return serve
