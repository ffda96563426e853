"""Writes a cassette while a run goes on.

Exchanges are taken without a wait and written by a thread of its own. Before a case's result
counts, all of its exchanges are on disk: so whatever kills the harness, a case that ``resume`` does
not run again is whole in the cassette.
"""

import asyncio
import hashlib
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from pacabench.cassette.blobs import Blobs
from pacabench.cassette.halves import half_of, key_digest_of, of_judge
from pacabench.cassette.index import INDEX, KIND, MAX_INDEX_BYTES, Entry, RecordedCall, Take
from pacabench.cassette.layout import BLOBS
from pacabench.cassette.shelf import Shelf
from pacabench.errors import CassetteError
from pacabench.json_pointer import Pointer
from pacabench.model import CallRecord, CaseKey, CaseResult
from pacabench.proxy.canonical import request_digest
from pacabench.proxy.exchange import Exchange, encode_exchange
from pacabench.store.files import file_error
from pacabench.store.journal import Journal, cut_back
from pacabench.store.lines import encode

MOST_WAITING_BYTES = 256 * 1024**2
"""Of exchanges that the disk has not taken yet. Past it none are kept until it has."""
_INDEX_ROOM_BYTES = 1024**2


@dataclass(slots=True)
class _Attempt:
    """What is known of an attempt that goes on."""

    sent: set[str] = field(default_factory=set)
    """Calls that went to a provider."""
    kept: set[str] = field(default_factory=set)
    """Calls whose exchange was taken."""
    writes: list[Future[None]] = field(default_factory=list)


class Recorder:
    """The one writer of a cassette, while it is entered. Its methods are for the event loop.

    Args:
        directory: of the cassette, which is held for writing.
        keys: the cases of the run by their digest, with which attempts' ids begin.
        ignore: what of a request's body the index's digests leave out.
        recorded: whether an attempt is recorded; others are passed over.
        on_left_out: told a call's id and why its exchange is not kept.

    Raises:
        CassetteError: the index is damaged.
        JournalError: the directory cannot be written.
    """

    def __init__(
        self,
        directory: Path,
        keys: Mapping[str, CaseKey],
        ignore: tuple[Pointer, ...],
        *,
        recorded: Callable[[str], bool] = lambda _: True,
        on_left_out: Callable[[str, str], None] = lambda *_: None,
    ) -> None:
        self._directory, self._keys, self._ignore = directory, keys, ignore
        self._recorded, self._on_left_out = recorded, on_left_out
        self._attempts: dict[str, _Attempt] = {}
        self._waiting_bytes = 0
        self._index_bytes = 0
        self._blobs = Blobs(directory / BLOBS)
        self.shelf, end = Shelf.read(directory)
        if (directory / INDEX).stat().st_size > end:
            cut_back(directory / INDEX, end)
        self._blobs.remove_drafts()
        self._index = Journal(directory / INDEX, KIND)
        self._index_bytes = end
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="cassette")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._thread.shutdown()
        self._index.close()

    def keep(self, exchange: Exchange) -> None:
        """Take an exchange; it is on disk once its attempt is sealed."""
        key = self._key_of(exchange.attempt_id)
        if key is None or not self._recorded(exchange.attempt_id):
            return
        attempt = self._attempts.setdefault(exchange.attempt_id, _Attempt())
        size = len(exchange.request) + exchange.reply_bytes
        if self._waiting_bytes + size > MOST_WAITING_BYTES:
            self._on_left_out(exchange.call_id, "the disk does not keep up with what is recorded")
            return
        self._waiting_bytes += size
        attempt.kept.add(exchange.call_id)
        write = self._thread.submit(self._write, key, exchange)
        loop = asyncio.get_running_loop()
        write.add_done_callback(lambda _: loop.call_soon_threadsafe(self._written, size))
        attempt.writes.append(write)

    def note(self, call: CallRecord) -> None:
        """A call ended. Its exchange, if there is one, came before."""
        if call.end == "denied" or not call.sent or self._key_of(call.attempt_id) is None:
            return
        if self._recorded(call.attempt_id):
            self._attempts.setdefault(call.attempt_id, _Attempt()).sent.add(call.call_id)

    async def seal(self, result: CaseResult) -> None:
        """An attempt ended: return once all that was kept of it is on disk.

        Raises:
            JournalError: the disk does not take it, and nothing is recorded any more.
            CassetteError: the cassette is full.
        """
        if self._recorded(result.attempt_id):
            await self._seal(result, result.attempt_id)
        await self.seal_judge(result)

    async def seal_judge(self, result: CaseResult) -> None:
        """Its answer was judged: as :meth:`seal`, for the judges' calls alone, if there were any.

        Raises:
            JournalError, CassetteError: as :meth:`seal`.
        """
        judged = of_judge(result.attempt_id)
        if judged in self._attempts and self._recorded(judged):
            await self._seal(result, judged)

    async def _seal(self, result: CaseResult, attempt_id: str) -> None:
        attempt = self._attempts.pop(attempt_id, _Attempt())
        take = Take(
            key=result.key,
            attempt_id=attempt_id,
            outcome=result.outcome,
            calls=len(attempt.sent),
            missing=len(attempt.sent - attempt.kept),
        )
        for write in attempt.writes:
            await asyncio.wrap_future(write)
        await asyncio.wrap_future(self._thread.submit(self._finish, take))

    def digest(self) -> str:
        """``sha256:...`` of the index, which names every blob by its own hash."""
        return index_digest(self._directory)

    def _key_of(self, attempt_id: str) -> CaseKey | None:
        return self._keys.get(key_digest_of(half_of(attempt_id)))

    def _written(self, size: int) -> None:
        self._waiting_bytes -= size

    def _write(self, key: CaseKey, exchange: Exchange) -> None:
        content = encode_exchange(exchange)
        call = RecordedCall(
            key=key,
            attempt_id=exchange.attempt_id,
            call_id=exchange.call_id,
            arrived_us=exchange.arrived_us,
            request=request_digest(
                exchange.method, exchange.path, exchange.query, exchange.request, self._ignore
            ),
            blob=self._blobs.put(content),
            size_bytes=len(content),
            answers=exchange.answers,
        )
        self._append(Entry(call=call))

    def _finish(self, take: Take) -> None:
        self._append(Entry(take=take))
        try:
            self._blobs.sync()
        except OSError as error:
            raise file_error("sync", self._directory / BLOBS, error) from error
        self._index.sync()

    def _append(self, entry: Entry) -> None:
        line = encode(entry)
        self._index_bytes += len(line) + 100
        if self._index_bytes > MAX_INDEX_BYTES - _INDEX_ROOM_BYTES:
            raise CassetteError(f"{self._directory} is full: its index can grow no more")
        self._index.append([line])
        self.shelf.add(entry)


def index_digest(directory: Path) -> str:
    """``sha256:...`` of a cassette's index.

    Raises:
        JournalError: it cannot be read.
    """
    path = directory / INDEX
    try:
        with path.open("rb") as file:
            return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
    except OSError as error:
        raise file_error("read", path, error) from error
