"""The directory of a run, as the one harness that holds it sees it."""

import asyncio
import contextlib
import os
import shutil
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pacabench.call_facts import MeteredFacts
from pacabench.durable import sync_directory
from pacabench.egress import CaseEgress
from pacabench.errors import JournalError, UsageError
from pacabench.figures import FiguresByGroup
from pacabench.model import CaseKey, CaseResult, MeteredCall, Verdict
from pacabench.owner import Owner, current_owner
from pacabench.store.commit import GroupCommit
from pacabench.store.files import file_error, make_directory, write_new
from pacabench.store.furnish import furnish
from pacabench.store.journal import Journal
from pacabench.store.left import FOLDER as LEFT
from pacabench.store.lines import encode
from pacabench.store.lock import RunLock, take_lock
from pacabench.store.logs import keep_log
from pacabench.store.manifest import (
    Manifest,
    Session,
    SessionEnd,
    has_manifest,
    read_manifest,
    utc_now,
    write_manifest,
)
from pacabench.store.names import check_run_id
from pacabench.store.reader import (
    CALLS,
    EGRESS,
    JUDGE,
    RESULTS,
    read_call_facts,
    read_judge_calls,
)
from pacabench.store.repair import Contents, read_all, repair
from pacabench.store.salvage import Books, Cost, Salvage, unpriced
from pacabench.store.spool import read_spools


class RunStore:
    """Reads and writes one run. Use as a context manager, made by ``create`` or ``open``.

    What was appended is never changed. Methods without ``async`` block for as long as the disk
    does; all are for one thread, the event loop's.
    """

    run_dir: Path
    manifest: Manifest
    results: list[Verdict]
    """What counts of all attempts, in the order in which they ended.
    :func:`~pacabench.store.record.load_run` reads them whole."""
    usage: FiguresByGroup
    """What the calls used that were on record before this session, or were recovered in it."""
    repairs: list[str]
    """What ``open`` cut off, or what it misses, for people."""
    previous_owner: Owner | None
    """The harness that held the run last, if it died without giving it back."""

    def __init__(
        self, run_dir: Path, lock: RunLock, contents: Contents, repairs: list[str]
    ) -> None:
        self.run_dir = run_dir
        self.manifest = read_manifest(run_dir)
        self.results, self.usage = contents.results, contents.usage
        self._deciding = {result.key: result for result in self.results if result.decides}
        self.repairs = repairs
        self.previous_owner = lock.previous
        self._lock = lock
        self._results = Journal(run_dir / RESULTS, "result")
        self._calls = Journal(run_dir / CALLS, "call")
        self._egress = Journal(run_dir / EGRESS, "egress")
        self._judge: Journal | None = None
        self._commit = GroupCommit(self._results, self._calls, self._egress)
        if os.path.lexists(run_dir / JUDGE):
            self._open_judge()

    @classmethod
    def create(cls, runs_dir: Path, manifest: Manifest, config_text: str) -> Self:
        """Make the directory ``runs_dir/<run id>``; it appears whole or not at all.

        Raises:
            UsageError: the run id cannot name a directory, or there is such a run.
            JournalError: the directory cannot be made.
        """
        run_dir = runs_dir / check_run_id(manifest.run_id)
        if os.path.lexists(run_dir):
            raise UsageError(f"{run_dir} exists already; choose another --run-id.")
        draft = runs_dir / f".{manifest.run_id}.{os.getpid()}.new"
        with contextlib.ExitStack() as undo:
            try:
                make_directory(runs_dir)
                draft.mkdir()
                undo.callback(shutil.rmtree, draft, ignore_errors=True)
                lock = take_lock(draft)
                undo.callback(lock.release)
                furnish(draft, manifest, config_text)
                draft.rename(run_dir)
                sync_directory(runs_dir)
                store = cls(run_dir, lock, Contents(), [])
            except OSError as error:
                raise file_error("create", run_dir, error) from error
            undo.pop_all()
        return store

    @classmethod
    def open(cls, run_dir: Path) -> Self:
        """Take the run, and bring its files into order.

        A torn end of a journal file is cut off and noted in ``repairs``; what was cut is kept in a
        file beside it.

        Raises:
            RunLockedError: a harness that lives holds it.
            JournalError: a file is damaged in the middle, missing, or cannot be read. Nothing was
                changed.
        """
        if not has_manifest(run_dir):
            raise JournalError(f"{run_dir} is no run: it has no run.json.")
        read_manifest(run_dir)  # what cannot be read is left alone, down to its lock
        lock = take_lock(run_dir)
        with contextlib.ExitStack() as undo:
            undo.callback(lock.release)
            contents = read_all(run_dir, read_manifest(run_dir).sessions)
            # Only now, when all files are known to be sound, is one of them touched.
            if not os.path.lexists(run_dir / EGRESS):  # a run of a version that had none
                write_new(run_dir / EGRESS, b"")
            repairs = [text for file in contents.files for text in repair(file)]
            store = cls(run_dir, lock, contents, repairs)
            undo.pop_all()
        return store

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def deciding(self) -> Mapping[CaseKey, Verdict]:
        """The last attempt of each case that says something about it."""
        return self._deciding

    def attempts_made(self, keys: Collection[CaseKey]) -> Counter[CaseKey]:
        """How many attempts of each of ``keys`` have a result."""
        wanted = frozenset(keys)
        return Counter(result.key for result in self.results if result.key in wanted)

    def call_facts(self) -> Iterator[MeteredFacts]:
        """What counts of all LLM calls on record, read from the file.

        Raises:
            JournalError: it cannot be read.
        """
        return (call for _, call in read_call_facts(self.run_dir))

    def judge_calls(self) -> Iterator[MeteredCall]:
        """All LLM calls that judged answers, as :meth:`call_facts`."""
        if not os.path.lexists(self.run_dir / JUDGE):
            return iter(())
        return (call for _, call in read_judge_calls(self.run_dir))

    def begin_session(self, **changes: Any) -> None:
        """Note in the manifest that this process works on the run; ``changes`` are its other news.

        A session that never noted its end died.

        Raises:
            JournalError: the manifest cannot be written.
        """
        owner, now = current_owner(), utc_now()
        past = [self._past(session, now) for session in self.manifest.sessions]
        session = Session(started=now, host=owner.host, pid=owner.pid)
        self.update_manifest(
            status="running", finished=None, outcomes=None, sessions=(*past, session), **changes
        )

    def _past(self, session: Session, now: str) -> Session:
        """An earlier session as it is remembered: what it lost meanwhile is missed once only."""
        news: dict[str, Any] = {
            "results_bytes": min(session.results_bytes, self._results.durable),
            "calls_bytes": min(session.calls_bytes, self._calls.durable),
            "egress_bytes": min(session.egress_bytes, self._egress.durable),
            "judge_bytes": min(session.judge_bytes, self._judge_durable),
        }
        if session.ended is None:
            news |= {"finished": now, "ended": "died"}
        return session.model_copy(update=news)

    def end_session(self, ended: SessionEnd) -> None:
        """Put everything on disk and note in the manifest how this session ended.

        The run is ``finished`` if the session is, else ``stopped``: it can be resumed.

        Raises:
            JournalError: the disk does not take it.
        """
        self._commit.close()
        self._sync_books()
        now = utc_now()
        sessions = list(self.manifest.sessions)
        if sessions:
            news = {
                "finished": now,
                "ended": ended,
                "results_bytes": self._results.durable,
                "calls_bytes": self._calls.durable,
                "egress_bytes": self._egress.durable,
                "judge_bytes": self._judge_durable,
            }
            sessions[-1] = sessions[-1].model_copy(update=news)
        self.update_manifest(
            status="finished" if ended == "finished" else "stopped",
            finished=now,
            outcomes=dict(Counter(result.outcome for result in self._deciding.values())),
            sessions=tuple(sessions),
        )

    def update_manifest(self, **changes: Any) -> None:
        """Change fields of the manifest, atomically and durably.

        Raises:
            JournalError: it cannot be written; the old one stands.
        """
        fields = {name: getattr(self.manifest, name) for name in Manifest.model_fields}
        manifest = Manifest.model_validate({**fields, **changes})
        write_manifest(self.run_dir, manifest)
        self.manifest = manifest

    async def append_result(self, result: CaseResult) -> None:
        """Return once ``result`` and all that was appended before it are on disk.

        Many that wait share one fsync. On cancellation it still gets there first.

        Raises:
            JournalError: it is not on disk, and nothing will be any more: the run must stop.
        """
        await self._commit.append(encode(result))
        self.results.append(verdict := result.verdict)
        if verdict.decides:
            self._deciding[verdict.key] = verdict

    def append_call(self, call: MeteredCall) -> None:
        """Hand ``call`` to the system at once; it is on disk with the next result.

        Raises nothing: it is called by whoever meters, who could not do anything about it. When
        it cannot be written, the attempt's :meth:`append_result` says so and ends the run.
        """
        with contextlib.suppress(JournalError):
            self._put(self._calls, call)

    def append_judge_call(self, call: MeteredCall) -> None:
        """Hand a judge's call to the system, as :meth:`append_call` does an agent's.

        Its file is made by the first one: most runs have no judge.
        """
        with contextlib.suppress(JournalError):
            self._put(self._judge or self._begin_judge(), call)

    def _begin_judge(self) -> Journal:
        try:
            write_new(self.run_dir / JUDGE, b"")
            sync_directory(self.run_dir)
        except JournalError as error:
            self._commit.refuse(error)
            raise
        return self._open_judge()

    def _open_judge(self) -> Journal:
        self._judge = Journal(self.run_dir / JUDGE, "call")
        self._commit.sync_before(self._judge)
        return self._judge

    @property
    def _judge_durable(self) -> int:
        return 0 if self._judge is None else self._judge.durable

    def append_egress(self, way: CaseEgress) -> None:
        """Hand a way out to the system, as :meth:`append_call` does a call."""
        with contextlib.suppress(JournalError):
            self._put(self._egress, way)

    def import_spool(
        self,
        keys: Iterable[CaseKey],
        cost: Cost,
        judge_cost: Cost = unpriced,
        warn: Callable[[str], None] = lambda _: None,
    ) -> int:
        """Take over what proxies left in ``spool/`` and no harness heard of; how many calls.

        ``warn`` is told what could not be read.

        Idempotent: what is on record is passed over, and a file goes when all of it is on disk. A
        file with something of no case in ``keys`` stays for a later session.

        Raises:
            JournalError: a file cannot be read, or the journal not written.
        """
        spools = read_spools(self.run_dir)
        if not spools:
            return 0
        owners = {key.digest: key for key in (*keys, *(result.key for result in self.results))}
        books = Books(
            take_call=self._take_salvaged,
            take_judge_call=lambda call: self._put(self._judge or self._begin_judge(), call),
            take_way=lambda way: self._put(self._egress, way),
            sync=self._sync_books,
        )
        salvage = Salvage(self.run_dir, owners, books, cost, judge_cost)
        salvage.take(spools)
        for note in salvage.notes:
            warn(note)
        return salvage.added

    def _take_salvaged(self, call: MeteredCall) -> None:
        self._put(self._calls, call)
        self.usage[call.key.agent, call.key.dataset].add(call)

    def _sync_books(self) -> None:
        for journal in (self._calls, self._egress, self._judge):
            if journal is not None:
                journal.sync()

    async def keep_log(self, attempt_id: str, log: bytes, stderr: str) -> str | None:
        """Keep what an agent wrote besides its answer; the file's name, None where it is nothing.

        Raises:
            JournalError: the file cannot be written.
        """
        if not log and not stderr:
            return None
        return await asyncio.to_thread(keep_log, self.run_dir, attempt_id, log, stderr)

    def close(self) -> None:
        """Write what waits and give the run back. Idempotent.

        A session that has not ended yet has failed. Nothing is raised: what could not be written
        was raised to whoever appended it.
        """
        try:
            if self.manifest.sessions and self.manifest.sessions[-1].ended is None:
                with contextlib.suppress(JournalError):  # the next session notes that it died
                    self.end_session("failed")
        finally:
            self._commit.close()
            self._results.close()
            self._calls.close()
            self._egress.close()
            if self._judge is not None:
                self._judge.close()
            self._lock.release()

    def discard(self) -> None:
        """Remove the run's directory, unless something in it tells of a case, a call or a fault."""
        told = any(
            path.stat().st_size
            for name in (RESULTS, CALLS, EGRESS, JUDGE, LEFT, "logs", "spool")
            for path in _files(self.run_dir / name)
        )
        self.close()
        if not told:
            shutil.rmtree(self.run_dir, ignore_errors=True)

    def _put(self, journal: Journal, record: MeteredCall | CaseEgress) -> None:
        """One file that cannot be written ends all; the writer of results sees to that itself."""
        if self._results.failure is not None:
            raise self._results.failure
        journal.append([encode(record)])


def _files(path: Path) -> Iterable[Path]:
    if path.is_dir():
        return path.iterdir()
    return (path,) if os.path.lexists(path) else ()
