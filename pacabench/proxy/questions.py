"""The sidecar's end of asking the harness whether calls may go out."""

import asyncio
from collections.abc import Callable

from pacabench.proxy.terms import Ask, Ruling

_OVER = "The benchmark is over; no further calls are taken."


class Questions:
    """Those that wait for their answer.

    Args:
        send: hands one to the harness.
    """

    def __init__(self, send: Callable[[Ask], None]) -> None:
        self._send = send
        self._open: dict[str, asyncio.Future[Ruling]] = {}
        self._over = False

    async def ask(self, ask: Ask) -> Ruling:
        """The harness's ruling; a refusal where there is nobody to ask any more."""
        if self._over:
            return Ruling(ask.call_id, _OVER)
        answer: asyncio.Future[Ruling] = asyncio.get_running_loop().create_future()
        self._open[ask.call_id] = answer
        try:
            self._send(ask)
            return await answer
        finally:
            del self._open[ask.call_id]

    def take(self, ruling: Ruling) -> None:
        """The harness decided. Of a call that is over nobody wants to know any more."""
        answer = self._open.get(ruling.call_id)
        if answer is not None and not answer.done():
            answer.set_result(ruling)

    def close(self) -> None:
        """Nobody will answer any more."""
        self._over = True
        for call_id in self._open:
            self.take(Ruling(call_id, _OVER))
