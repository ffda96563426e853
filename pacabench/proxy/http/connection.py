"""One connection of a client: its requests in, one after the other, and their replies out."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeAlias

from pacabench.proxy.http.reply import Reply
from pacabench.proxy.http.request import (
    MAX_AHEAD_BYTES,
    BadRequestError,
    Request,
    RequestReader,
)

HEAD_WITHIN_S = 10.0
"""From a connection's begin, and from the first byte of a further request, to the head's end."""
IDLE_WITHIN_S = 3600.0
"""Between two requests: SDKs keep connections."""
TAKES_NOTHING_S = 60.0
"""A client that takes nothing of its reply for so long, while there is more for it, is hung up on:
behind it somebody else's connection is waiting."""
SEE_OFF_S = 10.0
"""How long a client whose connection ends may go on sending and reading."""
_BAD_REQUEST, _FAILED = 400, 500
_PLAIN = "text/plain; charset=utf-8"

Serve: TypeAlias = Callable[["Connection", Request, Reply], Awaitable[None]]
"""Answers a request. What it raises ends the connection; a BadRequestError is the client's."""
OnFault: TypeAlias = Callable[[Exception], None]
"""Is told what was raised there."""


class Connection(asyncio.BufferedProtocol):
    """Serves the requests of one accepted socket.

    Reading never stops, so that a client's end is noticed at once, whatever it sends: what it may
    send before it is asked to is bounded.

    Args:
        serve: answers each request.
        all_of_them: has this connection while it is there.
        buffer: what is read goes through it, and is out of it when the event loop goes on: so all
            connections share one. To make room for each read anew costs more than the read.
        on_fault: is told what ``serve`` raises.
    """

    transport: asyncio.Transport

    def __init__(
        self,
        serve: Serve,
        all_of_them: set["Connection"],
        buffer: memoryview,
        on_fault: OnFault,
    ) -> None:
        self._serve = serve
        self._on_fault = on_fault
        self._all = all_of_them
        self._buffer = buffer
        self._loop = asyncio.get_running_loop()
        self._reader = RequestReader()
        self._serving: Request | None = None
        self._ahead_bytes = 0
        """What came while a request was being served that was whole."""
        self._fault: BadRequestError | None = None
        """What came after the requests that have arrived."""
        self._is_over = False
        """What comes is thrown away."""
        self._is_lost = False
        self._has_head_begun = True
        self._due: float | None = None
        """When, in the loop's time, the connection ends if nothing is done; None: never."""
        self._timer: asyncio.TimerHandle | None = None
        """Goes on from one request to the next: to set one for each would cost more than to look at
        a clock."""
        self._awaiting: asyncio.Future[None] | None = None
        """Done when there is another request, or will be none."""
        self._catching_up: asyncio.Future[None] | None = None
        self.task: asyncio.Task[None] | None = None
        """Serves the requests."""
        self.is_behind = False
        self.unsent_bytes = 0
        """What was left over when the client was hung up on because it took nothing."""
        self.when_lost: Callable[[], None] | None = None
        """Called when the client hung up or its connection broke."""

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket was accepted."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._all.add(self)
        self._due = self._loop.time() + HEAD_WITHIN_S
        self._timer = self._loop.call_later(HEAD_WITHIN_S, self._look)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where bytes that come are put."""
        del sizehint
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Some bytes came."""
        if self._is_over:
            return
        serving = self._serving
        try:
            if serving is not None and serving.is_whole:
                self._count_ahead(nbytes)
            if not self._reader.feed(self._buffer[:nbytes]):
                self._is_over = True
        except BadRequestError as error:
            self._fault = error
            self._is_over = True
        if serving is None:
            self._look_for_request()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client hung up, or the connection broke."""
        del exc
        self._is_lost = self._is_over = True
        self._all.discard(self)
        self._reader.close()
        if self._timer is not None:
            self._timer.cancel()
        if self._serving is not None and not self._serving.is_whole:
            self._serving.break_off(ConnectionResetError("the client left inside its request"))
        self.resume_writing()
        self._go_on()
        if self.when_lost is not None:
            self.when_lost()

    def pause_writing(self) -> None:
        """The client takes less than it is sent."""
        self.is_behind = True

    def resume_writing(self) -> None:
        """It took what it was sent."""
        self.is_behind = False
        if self._catching_up is not None and not self._catching_up.done():
            self._catching_up.set_result(None)

    # What who serves needs.

    @property
    def is_lost(self) -> bool:
        """The client is gone."""
        return self._is_lost

    async def caught_up(self) -> None:
        """Return when the client took what it was sent, or is gone: see ``TAKES_NOTHING_S``."""
        while self.is_behind and not self._is_lost:
            left = self.transport.get_write_buffer_size()
            self._catching_up = self._loop.create_future()
            await asyncio.wait({self._catching_up}, timeout=TAKES_NOTHING_S)
            if self.is_behind and left <= self.transport.get_write_buffer_size():
                self.unsent_bytes = left
                self.transport.abort()

    def go_ahead(self) -> None:
        """Tell the client that its body is wanted."""
        self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def close(self) -> None:
        """End the connection. Of what was written the client gets what it takes in time."""
        self._is_over = True
        self._due = self._loop.time() + SEE_OFF_S
        self.transport.close()

    # Between requests.

    def _count_ahead(self, size: int) -> None:
        self._ahead_bytes += size
        if self._ahead_bytes > MAX_AHEAD_BYTES:
            error = BadRequestError("Too much is sent before the reply to the first request.")
            raise self._reader.failed(error)

    def _look_for_request(self) -> None:
        if self._reader.arrived or self._fault is not None:
            self._due = None
            self._has_head_begun = False
            self._go_on()
        elif not self._has_head_begun:
            self._has_head_begun = True
            self._due = self._loop.time() + HEAD_WITHIN_S

    def _go_on(self) -> None:
        if self.task is None:
            if not self._is_lost:
                self.task = self._loop.create_task(self._converse())
        elif self._awaiting is not None and not self._awaiting.done():
            self._awaiting.set_result(None)

    async def _converse(self) -> None:
        arrived = self._reader.arrived
        try:
            while arrived or await self._another():
                self._due = None
                self._has_head_begun = False
                self._serving = request = arrived.popleft()
                reply = Reply(self.transport, request)
                try:
                    await self._serve(self, request, reply)
                except BadRequestError as fault:
                    self._refuse(fault, reply)
                except Exception as error:  # noqa: BLE001 - told to who answers for it
                    self._failed(error, reply)
                if not reply.is_finished or not reply.keeps_alive or not request.is_whole:
                    self._see_off(reply, request)
                    return
                self._serving = None
                self._ahead_bytes = 0
        except asyncio.CancelledError:
            self.transport.abort()
            raise

    async def _another(self) -> bool:
        """Whether another request has arrived; False where there will be none."""
        while not self._reader.arrived:
            if self._fault is not None:
                nobody = Request("", "", {}, keeps_alive=False)
                reply = Reply(self.transport, nobody)
                self._refuse(self._fault, reply)
                self._see_off(reply, nobody)
                return False
            if self._is_over:
                self.close()
                return False
            if not self._has_head_begun:
                self._has_head_begun = self._reader.is_inside_head
                within_s = HEAD_WITHIN_S if self._has_head_begun else IDLE_WITHIN_S
                self._due = self._loop.time() + within_s
            self._awaiting = self._loop.create_future()
            await self._awaiting
        return True

    def _failed(self, error: Exception, reply: Reply) -> None:
        self._on_fault(error)
        if not reply.is_started:
            reply.answer(_FAILED, _PLAIN, b"The metering proxy failed.\n")

    @staticmethod
    def _refuse(fault: BadRequestError, reply: Reply) -> None:
        if not reply.is_started:
            reply.answer(_BAD_REQUEST, _PLAIN, f"{fault}\n".encode())

    def _see_off(self, reply: Reply, request: Request) -> None:
        """End the connection so that the client gets the reply, also while it is still sending.

        To close at once would take back what it has not read yet.
        """
        self._is_over = True
        if request.is_whole or not reply.is_finished or self.transport.is_closing():
            self.close()
        else:
            self._due = self._loop.time() + SEE_OFF_S
            with suppress(OSError):  # the client is gone already
                self.transport.write_eof()

    def _look(self) -> None:
        """Cut the connection where it is late; look again where it still has time."""
        now = self._loop.time()
        if self._due is not None and now >= self._due:
            self._is_over = True
            self.transport.abort()
            return
        soon = now + HEAD_WITHIN_S
        self._timer = self._loop.call_at(min(soon, self._due or soon), self._look)
