"""The agent's half of a call: its request's body in, the reply out, until it hangs up."""

import asyncio
from collections.abc import Mapping

from pacabench.proxy.held_bytes import HeldBytes
from pacabench.proxy.http.connection import Connection
from pacabench.proxy.http.reply import Reply
from pacabench.proxy.http.request import BadRequestError, Request

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


class Client:
    """One request of an agent and the reply to it. Writing to one who has left does nothing."""

    def __init__(
        self, connection: Connection, request: Request, reply: Reply, budget: HeldBytes
    ) -> None:
        self._connection = connection
        self._request = request
        self._reply = reply
        self._budget = budget
        self._held = 0
        self.gone = False
        """It hung up, or its connection broke."""
        self.takes_nothing = False
        """It was hung up on because of that."""
        self.missed_bytes = 0
        """How much of the reply it did not get."""

    @property
    def started(self) -> bool:
        """Part of a reply went out; the status cannot change any more."""
        return self._reply.is_started

    async def read_body(self) -> bytes:
        """The whole body of the request.

        Raises:
            Refused: it is too long, too slow or not well-formed.
            ConnectionError: the client left before its end.
        """
        request = self._request
        if request.is_whole:  # it came with the head
            body = request.take()
            self._hold(len(body))
            return body
        length = request.headers.get("Content-Length")
        if length is not None and int(length) > MAX_BODY_BYTES:
            raise _too_long()
        if request.headers.get("Expect", "").lower() == "100-continue" and not request.is_http10:
            self._connection.go_ahead()
        parts = list[bytes]()
        try:
            async with asyncio.timeout(BODY_WITHIN_S):
                await self._read_on(parts)
        except TimeoutError as error:
            raise Refused(408, "The request's body did not come in time.") from error
        except BadRequestError as error:
            raise Refused(400, "The request's body is not well-formed HTTP.") from error
        return b"".join(parts)

    async def _read_on(self, parts: list[bytes]) -> None:
        request = self._request
        while True:
            part = request.take()
            self._hold(len(part))
            parts.append(part)
            if request.is_whole:
                return
            await request.more()

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

    def start(self, status: int, headers: Mapping[str, str], *, events: bool = False) -> None:
        """Begin the reply; the head of a stream of ``events`` is sent at once.

        Raises:
            ValueError: a header cannot be sent; nothing was.
        """
        self._reply.start(status, headers, at_once=events)

    def write(self, chunk: bytes) -> bool:
        """Send a piece of the body at once; False where the client should catch up first."""
        if not chunk:
            return True
        if self.gone or not self._reply.send(chunk):
            self.gone = True
            self.missed_bytes += len(chunk)
            return True
        return not self._connection.is_behind

    async def caught_up(self) -> None:
        """Wait while the client is slower than the provider; one that takes nothing is gone."""
        await self._connection.caught_up()
        if unsent := self._connection.unsent_bytes:
            self.takes_nothing = True
            self.missed_bytes += unsent
            self._connection.unsent_bytes = 0

    def finish(self) -> None:
        """End the reply in good order."""
        if not self.gone and self._reply.is_started:
            self._reply.finish()

    def answer(self, status: int, body: bytes) -> None:
        """A whole reply of the proxy's own, after which the connection is closed."""
        self._reply.answer(status, "application/json", body)

    def break_off(self) -> None:
        """Close the connection inside the reply, so that nobody takes it for whole."""
        self._reply.break_off()


def _too_long() -> Refused:
    return Refused(413, f"The request's body is longer than {MAX_BODY_BYTES // 1024**2} MiB.")
