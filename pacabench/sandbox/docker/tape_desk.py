"""The harness's end of a sidecar's recordings: takes what was kept, and looks answers up."""

import asyncio
from collections.abc import Awaitable, Callable

from pacabench.aio import settle
from pacabench.proxy import control
from pacabench.proxy.tape_link import answer_to, exchange_of
from pacabench.proxy.tapes import Tapes


class TapeDesk:
    """Serves one sidecar. ``close`` it with the sidecar.

    Args:
        tapes: where recordings go to and come from.
        write: hands bytes to the sidecar.
    """

    def __init__(self, tapes: Tapes, write: Callable[[bytes], Awaitable[None]]) -> None:
        self._tapes, self._write = tapes, write
        self._answering: set[asyncio.Task[None]] = set()

    def take(self, message: control.Taped | control.LeftOut | control.Find) -> None:
        """A message came. Does not wait.

        Raises:
            ValueError: it cannot be used.
        """
        match message:
            case control.Taped():
                self._tapes.keep(exchange_of(message))
            case control.LeftOut(call_id, why):
                self._tapes.left_out(call_id, why)
            case control.Find():
                task = asyncio.create_task(self._answer(message))
                self._answering.add(task)
                task.add_done_callback(self._answering.discard)

    async def close(self) -> None:
        """Answer nothing more."""
        await settle(self._answering)

    async def _answer(self, find: control.Find) -> None:
        answer = await answer_to(find, self._tapes)
        await self._write(control.encode(answer))
