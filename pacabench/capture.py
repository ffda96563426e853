"""Keeps what was said in LLM calls with the run, for ``show --case ID --calls``."""

from pathlib import Path
from types import TracebackType
from typing import Self

from pacabench.errors import JournalError
from pacabench.events import Listener, Notice
from pacabench.proxy.exchange import Exchange, Keeping
from pacabench.store.bodies import Body, BodyStore, CallBodies

MAX_BODY_BYTES = 256 * 1024
"""Of each body."""
CUT = Keeping(whole=False, most_bytes=MAX_BODY_BYTES)
"""What a proxy has to send for it."""


class Capture:
    """Writes bodies while it is entered. A disk that does not take them is said once.

    Raises:
        JournalError: the run's file for them cannot be opened.
    """

    def __init__(self, run_dir: Path, listener: Listener) -> None:
        self._store = BodyStore(run_dir)
        self._listener = listener
        self._broken = False
        for repair in self._store.repairs:
            listener(Notice("warning", repair))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._store.close()

    def keep(self, exchange: Exchange) -> None:
        """Take an exchange."""
        self._put(
            CallBodies(
                exchange.call_id,
                _body(exchange.request, exchange.request_bytes),
                _body(exchange.reply, exchange.reply_bytes),
            )
        )

    def leave_out(self, call_id: str, why: str) -> None:
        """Note why there is none of a call."""
        self._put(CallBodies(call_id, None, None, why))

    def _put(self, bodies: CallBodies) -> None:
        if self._broken:
            return
        try:
            self._store.add(bodies)
        except JournalError as error:
            self._broken = True
            self._listener(Notice("warning", f"bodies of calls are no longer kept: {error}"))


def _body(content: bytes, size_bytes: int) -> Body:
    kept = content[:MAX_BODY_BYTES]
    return Body(kept.decode("utf-8", "backslashreplace"), len(kept), size_bytes)
