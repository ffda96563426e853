"""A reply while it comes in: what the connection adds to, and whoever asked takes from."""

import asyncio
from typing import Protocol, Self

from multidict import CIMultiDict

from pacabench.proxy.upstream import Take, UpstreamError


class Channel(Protocol):
    """The connection that an answer comes over."""

    loop: asyncio.AbstractEventLoop
    is_held_up: bool
    """Nothing is read until what is held is taken."""

    def read_on(self) -> None:
        """What was held is taken."""
        ...

    def abort(self) -> None:
        """Close it now."""
        ...


class Answer:
    """The reply to one request, while it comes in. Iterating it gives its body, once."""

    __slots__ = ("_link", "_take", "_waiter", "ended", "headers", "held", "problem", "status")

    def __init__(self, link: Channel) -> None:
        self._link = link
        self._waiter: asyncio.Future[None] | None = None
        self._take: Take | None = None
        """Who gets what comes, while somebody waits in ``pour``."""
        self.status = 0
        """0 until the head is whole."""
        self.headers: CIMultiDict[str] = _NO_HEADERS
        self.held = b""
        """What came of the body and was not taken."""
        self.ended = False
        """All of the body is there."""
        self.problem: Exception | None = None
        """Why no more will come; what is held is good all the same."""

    async def begun(self) -> None:
        """Wait for the head.

        Raises:
            UpstreamError: there will be none.
        """
        while not self.status:
            if self.problem is not None:
                raise self.problem
            await self._news()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        """What came since the last time, as soon as there is something."""
        while True:
            if self.held:
                return self._what_is_held()
            if self.ended:
                raise StopAsyncIteration
            if self.problem is not None:
                raise self.problem
            await self._news()

    async def pour(self, take: Take) -> bool:
        """See :meth:`~pacabench.proxy.upstream.Reply.pour`.

        What comes while this waits goes to ``take`` inside the read that brought it: to wake a task
        for each piece costs more than all else that is done for it.
        """
        while True:
            if self.held:
                if not take(self._what_is_held()):
                    return True
            elif self.problem is not None:  # the taker's own where the reply has ended
                raise self.problem
            elif self.ended:
                return False
            else:
                self._take = take
                try:
                    await self._news()
                    is_enough = self._take is None
                finally:
                    self._take = None
                if is_enough and self.problem is None:
                    return True

    def came(self, body: bytes) -> None:
        """Some of the body came. It is held where nobody takes it now."""
        take, waiter = self._take, self._waiter
        if take is None or waiter is None or waiter.done():
            self.held = self.held + body if self.held else body
            self.wake()
            return
        try:
            if take(body):
                return
        except Exception as error:  # noqa: BLE001 - it is the taker's, who waits for it
            self._link.abort()
            self.problem = error
        self._take = None
        self.wake()

    def _what_is_held(self) -> bytes:
        chunk, self.held = self.held, b""
        if self._link.is_held_up:
            self._link.read_on()
        return chunk

    async def aclose(self) -> None:
        """Nothing more will be taken; the link is let go of by whoever asked on it."""

    def fail(self, problem: UpstreamError) -> None:
        """Nothing more will come."""
        self.problem = problem
        self.wake()

    def wake(self) -> None:
        """There is something new for whoever waits."""
        waiter = self._waiter
        if waiter is not None:
            self._waiter = None
            if not waiter.done():
                waiter.set_result(None)

    def _news(self) -> asyncio.Future[None]:
        self._waiter = waiter = self._link.loop.create_future()
        return waiter


_NO_HEADERS: CIMultiDict[str] = CIMultiDict()
