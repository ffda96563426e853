"""Appending: whole lines, calls before results, one fsync for many, and nothing after a failure."""

import asyncio
import errno
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pacabench.errors import JournalError
from pacabench.store import commit as commit_module
from pacabench.store.commit import GroupCommit
from pacabench.store.journal import Journal
from pacabench.store.lines import durable_of, is_whole, seal


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "results.jsonl"
    path.touch()
    return path


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    journal = Journal(path, "result")
    yield journal
    journal.close()


def content(path: Path) -> bytes:
    return path.read_bytes()


def lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


def failing(code: int, *, after: int = 0) -> Callable[..., Any]:
    """An ``os.write``/``fsync`` that fails once ``after`` calls have gone well."""
    left = after
    real_write, real_sync = os.write, os.fsync

    def call(fd: int, *data: Any) -> Any:
        nonlocal left
        left -= 1
        if left < 0:
            raise OSError(code, os.strerror(code))
        return real_write(fd, *data) if data else real_sync(fd)

    return call


class TestJournal:
    def test_writes_whole_lines_that_know_what_was_durable(
        self, journal: Journal, path: Path
    ) -> None:
        journal.append([b"{}", b"[]"])
        journal.sync()
        journal.append([b"1"])
        first, second, third = lines(path)
        assert all(map(is_whole, (first, second, third)))
        assert [durable_of(line) for line in (first, second, third)] == [0, 0, len(first + second)]
        assert journal.durable == len(first + second)

    def test_goes_on_after_what_the_file_holds(self, path: Path) -> None:
        path.write_bytes(seal("result", b"{}", 0))
        journal = Journal(path, "result")
        journal.append([b"{}"])
        journal.close()
        assert durable_of(lines(path)[1]) == len(lines(path)[0])

    def test_a_short_write_is_completed(
        self, journal: Journal, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write = os.write
        monkeypatch.setattr(os, "write", lambda fd, data: write(fd, bytes(data)[:7]))
        journal.append([b'{"a":1}', b'{"b":2}'])
        assert [is_whole(line) for line in lines(path)] == [True, True]

    @pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
    def test_a_failed_write_is_cut_back_and_nothing_more_is_written(
        self, journal: Journal, path: Path, monkeypatch: pytest.MonkeyPatch, code: int
    ) -> None:
        journal.append([b"{}"])
        before = path.read_bytes()
        write = os.write
        parts = iter((True, False))

        def torn(fd: int, data: bytes) -> int:
            if next(parts):
                return write(fd, bytes(data)[:5])
            raise OSError(code, os.strerror(code))

        monkeypatch.setattr(os, "write", torn)
        with pytest.raises(JournalError, match=rf"write .*results\.jsonl: {os.strerror(code)}"):
            journal.append([b'{"lost":1}'])
        monkeypatch.undo()
        assert path.read_bytes() == before
        with pytest.raises(JournalError, match=os.strerror(code)):
            journal.append([b"{}"])
        with pytest.raises(JournalError, match=os.strerror(code)):
            journal.sync()
        assert path.read_bytes() == before

    def test_after_a_failed_sync_what_was_not_durable_is_cut_back(
        self, journal: Journal, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        journal.append([b"{}"])
        journal.sync()
        before = path.read_bytes()
        journal.append([b'{"lost":1}'])
        monkeypatch.setattr(os, "fsync", failing(errno.EIO))
        with pytest.raises(JournalError, match="sync"):
            journal.sync()
        monkeypatch.undo()
        with pytest.raises(JournalError):  # the second one would succeed, without the data
            journal.sync()
        assert path.read_bytes() == before

    def test_a_sync_with_nothing_new_costs_nothing(
        self, journal: Journal, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(os, "fsync", failing(errno.EIO))
        journal.sync()


class Slow:
    """Makes syncs wait until they are let go, and counts them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.entered = threading.Event()
        self.gate = threading.Event()
        self.synced: list[str] = []
        real = os.fsync

        def slow(fd: int) -> None:
            self.entered.set()
            assert self.gate.wait(20)
            self.synced.append(Path(f"/proc/self/fd/{fd}").readlink().name)
            real(fd)

        monkeypatch.setattr(os, "fsync", slow)


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Slow:
    return Slow(monkeypatch)


@pytest.fixture
def pair(path: Path) -> Iterator[tuple[GroupCommit, Journal, Journal]]:
    (path.parent / "calls.jsonl").touch()
    results, calls = Journal(path, "result"), Journal(path.parent / "calls.jsonl", "call")
    commit = GroupCommit(results, calls)
    yield commit, results, calls
    commit.close()
    results.close()
    calls.close()


class TestGroupCommit:
    async def test_those_who_wait_share_one_sync(
        self, pair: tuple[GroupCommit, Journal, Journal], slow: Slow, path: Path
    ) -> None:
        commit, _, _ = pair
        first = asyncio.create_task(commit.append(b"0"))
        await asyncio.to_thread(slow.entered.wait, 20)
        rest = [asyncio.create_task(commit.append(b"%d" % n)) for n in range(1, 9)]
        await asyncio.sleep(0)
        assert not first.done()
        slow.gate.set()
        await asyncio.gather(first, *rest)
        assert slow.synced == ["results.jsonl", "results.jsonl"]
        assert [line[:-2].rpartition(b":")[2] for line in lines(path)] == [
            b"%d" % n for n in range(9)
        ]

    async def test_returns_only_when_the_line_is_durable(
        self, pair: tuple[GroupCommit, Journal, Journal], slow: Slow, path: Path
    ) -> None:
        commit, results, _ = pair
        task = asyncio.create_task(commit.append(b"{}"))
        await asyncio.sleep(0.05)
        assert not task.done()
        slow.gate.set()
        await task
        assert results.durable == len(content(path))

    async def test_calls_are_durable_before_the_result_is_written(
        self, pair: tuple[GroupCommit, Journal, Journal], slow: Slow, path: Path
    ) -> None:
        commit, _, calls = pair
        calls.append([b"{}"])
        task = asyncio.create_task(commit.append(b"{}"))
        await asyncio.sleep(0.05)
        assert content(path) == b""
        slow.gate.set()
        await task
        assert slow.synced == ["calls.jsonl", "results.jsonl"]

    async def test_a_result_gets_to_disk_although_its_caller_is_cancelled(
        self, pair: tuple[GroupCommit, Journal, Journal], slow: Slow, path: Path
    ) -> None:
        commit, _, _ = pair
        task = asyncio.create_task(commit.append(b"{}"))
        await asyncio.sleep(0.02)
        task.cancel()
        await asyncio.sleep(0.02)
        assert not task.done()
        slow.gate.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert len(lines(path)) == 1

    async def test_a_failed_disk_reaches_everybody_who_waits(
        self,
        pair: tuple[GroupCommit, Journal, Journal],
        monkeypatch: pytest.MonkeyPatch,
        path: Path,
    ) -> None:
        commit, _, _ = pair
        await commit.append(b"{}")
        before = content(path)
        monkeypatch.setattr(os, "fsync", failing(errno.EIO))
        ends = await asyncio.gather(
            *(commit.append(b"%d" % n) for n in range(5)), return_exceptions=True
        )
        assert [type(end) for end in ends] == [JournalError] * 5
        assert content(path) == before

    async def test_a_fault_of_our_own_leaves_nobody_waiting(
        self, pair: tuple[GroupCommit, Journal, Journal], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        commit, results, _ = pair

        def broken(payloads: list[bytes]) -> None:
            raise MemoryError

        monkeypatch.setattr(results, "append", broken)
        with pytest.raises(MemoryError):
            await commit.append(b"{}")

    async def test_closing_writes_what_waits(
        self, pair: tuple[GroupCommit, Journal, Journal], slow: Slow, path: Path
    ) -> None:
        commit, _, _ = pair
        tasks = [asyncio.create_task(commit.append(b"{}")) for _ in range(3)]
        await asyncio.sleep(0)
        slow.gate.set()
        await asyncio.to_thread(commit.close)
        await asyncio.gather(*tasks)
        assert len(lines(path)) == 3
        with pytest.raises(JournalError, match="closed"):
            await commit.append(b"{}")

    async def test_a_batch_is_bounded(
        self,
        pair: tuple[GroupCommit, Journal, Journal],
        slow: Slow,
        path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(commit_module, "_BATCH_BYTES", 4)
        commit, _, _ = pair
        tasks = [asyncio.create_task(commit.append(b'"ab"')) for _ in range(4)]
        await asyncio.sleep(0)
        slow.gate.set()
        await asyncio.gather(*tasks)
        assert len(slow.synced) == 4
