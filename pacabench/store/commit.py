"""Group commit: many results that wait at the same time share one write and one fsync."""

import asyncio
import queue
import threading
from concurrent.futures import Future
from dataclasses import dataclass, field

from pacabench import aio
from pacabench.errors import JournalError
from pacabench.store.journal import Journal

_BATCH_BYTES = 16 * 1024**2
"""A batch takes no further result past this."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    payload: bytes
    done: Future[None] = field(default_factory=Future)


class GroupCommit:
    """A thread that writes results and waits for the disk, so that the event loop never does.

    While it syncs one batch the next one gathers: the slower the disk, the larger the batches.
    What ``before`` holds (calls, ways out, judges' calls) goes to disk before the results it
    belongs to, so a result that counts has all of it.
    """

    def __init__(self, results: Journal, *before: Journal) -> None:
        self._results = results
        self._before = before
        self._queue: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._refusal: JournalError | None = None
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="pacabench-journal", daemon=True)
        self._thread.start()

    def sync_before(self, journal: Journal) -> None:
        """From the next result on, ``journal`` is one of those."""
        self._before = (*self._before, journal)

    def refuse(self, error: JournalError) -> None:
        """No further result is written: something that belongs to it could not be."""
        self._refusal = error

    async def append(self, payload: bytes) -> None:
        """Return when the line for ``payload`` is on disk; it gets there even on cancellation.

        Raises:
            JournalError: it is not, and no later one will be.
        """
        if self._closed:
            raise JournalError("the journal is closed")
        waiting = _Waiting(payload)
        waiting.done.set_running_or_notify_cancel()  # from here on it cannot be cancelled
        self._queue.put(waiting)
        await aio.finish(_wait(waiting.done))

    def close(self) -> None:
        """Write what waits, then end the thread. Idempotent."""
        if not self._closed:
            self._closed = True
            self._queue.put(None)
            self._thread.join()

    def _work(self) -> None:
        while (first := self._queue.get()) is not None:
            batch, last = self._gather(first)
            try:
                if self._refusal is not None:
                    raise self._refusal  # noqa: TRY301 - handed on like the others
                for journal in self._before:
                    journal.sync()
                self._results.append([waiting.payload for waiting in batch])
                self._results.sync()
            except BaseException as error:  # noqa: BLE001 - whatever it is, those who wait get it
                for waiting in batch:
                    waiting.done.set_exception(error)
            else:
                for waiting in batch:
                    waiting.done.set_result(None)
            if last:
                return

    def _gather(self, first: _Waiting) -> tuple[list[_Waiting], bool]:
        """Everything that waits by now, and whether the end was asked for."""
        batch, size = [first], len(first.payload)
        while size < _BATCH_BYTES:
            try:
                waiting = self._queue.get_nowait()
            except queue.Empty:
                break
            if waiting is None:
                return batch, True
            batch.append(waiting)
            size += len(waiting.payload)
        return batch, False


async def _wait(done: Future[None]) -> None:
    await asyncio.wrap_future(done)
