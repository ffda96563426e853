"""The agent's half of a call: its request's body in, the reply out, until it hangs up."""

import asyncio
from collections.abc import Mapping

from aiohttp.web_protocol import RequestPayloadError
from aiohttp.web_request import BaseRequest
from aiohttp.web_response import Response, StreamResponse

from pacabench.proxy.held_bytes import HeldBytes

MAX_BODY_BYTES = 64 * 1024**2
"""Of one request."""
MAX_LANE_BODY_BYTES = 256 * 1024**2
"""Of all requests under way in one lane, so that no agent can eat the memory of all."""
BODY_WITHIN_S = 60.0
"""For the whole body of a request: it comes over loopback."""


class Refused(Exception):  # noqa: N818 - an answer, not a fault
    """The request goes no further; ``status``, ``message`` and ``code`` are the answer to it."""

    def __init__(self, status: int, message: str, code: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code


class _Document(StreamResponse):
    """Its head waits for the first bytes of the body, so that a short reply is one packet."""

    _send_headers_immediately = False


class Client:
    """One request of an agent and the reply to it. Writing to one who has left does nothing."""

    def __init__(self, request: BaseRequest, budget: HeldBytes) -> None:
        self._request = request
        self._budget = budget
        self._held = 0
        self._response: StreamResponse | None = None
        self.gone = False
        """It hung up, or its connection broke."""
        self.missed_bytes = 0
        """How much of the reply it did not get."""

    @property
    def started(self) -> bool:
        """Part of a reply went out; the status cannot change any more."""
        return self._response is not None

    @property
    def response(self) -> StreamResponse:
        """What the server's handler has to return."""
        # A response is a mapping, and an empty one is false in older aiohttp.
        return Response(status=499) if self._response is None else self._response

    async def read_body(self) -> bytes:
        """The whole body of the request.

        Raises:
            Refused: it is too long, too slow or not well-formed.
            ConnectionError: the client left before its end.
        """
        length = self._request.content_length
        if length is not None and length > MAX_BODY_BYTES:
            raise _too_long()
        if self._request.headers.get("Expect", "").lower() == "100-continue":
            await self._request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self._request.writer.output_size = 0
        content, parts = self._request.content, list[bytes]()
        try:
            if content.is_eof():  # it came with the head
                parts.append(content.read_nowait())
                self._hold(len(parts[0]))
            else:
                async with asyncio.timeout(BODY_WITHIN_S):
                    async for chunk in content.iter_any():
                        self._hold(len(chunk))
                        parts.append(chunk)
        except TimeoutError as error:
            raise Refused(408, "The request's body did not come in time.") from error
        except RequestPayloadError as error:
            raise Refused(400, "The request's body is not well-formed HTTP.") from error
        return b"".join(parts)

    def release(self) -> None:
        """The body is needed no longer."""
        self._budget.give_back(self._held)
        self._held = 0

    def _hold(self, size: int) -> None:
        if self._held + size > MAX_BODY_BYTES:
            raise _too_long()
        if not self._budget.take(size):
            raise Refused(429, "The requests under way in this lane are too long together.")
        self._held += size

    async def start(self, status: int, headers: Mapping[str, str], *, events: bool = False) -> None:
        """Send the reply's head, that of a stream of ``events`` at once."""
        kind = StreamResponse if events else _Document
        self._response = kind(status=status, headers=headers)
        if self.gone:
            return
        try:
            await self._response.prepare(self._request)
        except ConnectionError:
            self.gone = True

    async def write(self, chunk: bytes) -> None:
        """Send a piece of the body at once. Waits while the client is slower than the provider."""
        if not chunk:
            return
        if not self.gone and self._response is not None:
            try:
                await self._response.write(chunk)
            except ConnectionError:
                self.gone = True
            else:
                return
        self.missed_bytes += len(chunk)

    async def finish(self) -> None:
        """End the reply in good order."""
        if self.gone or self._response is None:
            return
        try:
            await self._response.write_eof()
        except ConnectionError:
            self.gone = True

    async def answer(self, status: int, body: bytes) -> None:
        """A whole reply of the proxy's own, after which the connection is closed."""
        headers = {
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            "Connection": "close",
        }
        await self.start(status, headers)
        if self._response is not None:
            self._response.force_close()
        await self.write(body)
        await self.finish()

    def break_off(self) -> None:
        """Close the connection inside the reply, so that nobody takes it for whole."""
        transport = self._request.transport
        if transport is not None:
            transport.close()


def _too_long() -> Refused:
    return Refused(413, f"The request's body is longer than {MAX_BODY_BYTES // 1024**2} MiB.")
