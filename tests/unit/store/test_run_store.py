"""The run's directory as its one writer sees it: made whole, repaired, appended to, handed over."""

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pacabench.egress import CaseEgress
from pacabench.errors import JournalError, RunLockedError, UsageError
from pacabench.model import CaseResult, ExitFacts, MeteredCall, Outcome, new_attempt_id
from pacabench.store import RunStore, load_run
from pacabench.store.lines import encode, seal
from pacabench.store.logs import read_log
from pacabench.store.reader import read_calls, read_results
from pacabench.testing.records import (
    fake_egress,
    fake_key,
    fake_manifest,
    fake_metered,
    fake_result,
)

COUNT = 5
RESULTS = [fake_result(fake_key(f"case-{number}")) for number in range(COUNT)]
CALLS = [fake_metered(result) for result in RESULTS]
EGRESS = [fake_egress(result) for result in RESULTS]


def make_run(
    runs_dir: Path,
    egress: Sequence[CaseEgress] = EGRESS,
    judges: Sequence[MeteredCall] = CALLS,
) -> Path:
    """A run of ``RESULTS``, ``CALLS``, ``egress`` and judges whose harness ended in good order."""

    async def fill(store: RunStore) -> None:
        for way in egress:
            store.append_egress(way)
        for call in judges:
            store.append_judge_call(call)
        for result, call in zip(RESULTS, CALLS, strict=True):
            store.append_call(call)
            await store.append_result(result)

    with RunStore.create(runs_dir, fake_manifest(), "name: x\n") as store:
        store.begin_session()
        asyncio.run(fill(store))
        store.end_session("finished")
    return store.run_dir


@pytest.fixture(scope="module")
def sample() -> Iterator[Path]:
    """The directory of such a run, for copying."""
    with TemporaryDirectory() as folder:
        yield make_run(Path(folder))


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore.create(tmp_path / "runs", fake_manifest(), "name: x\n")


def ids(store: RunStore) -> list[str]:
    return [result.attempt_id for result in store.results]


def rewrite(path: Path, change: Callable[[bytes], bytes]) -> None:
    path.write_bytes(change(path.read_bytes()))


class TestCreate:
    def test_makes_everything_and_leaves_no_draft(self, tmp_path: Path) -> None:
        with RunStore.create(tmp_path / "a" / "runs", fake_manifest(), "name: é\n") as store:
            assert {path.name for path in store.run_dir.iterdir()} == {
                "calls.jsonl", "config.yaml", "egress.jsonl", "lock", "logs", "results.jsonl",
                "run.json", "spool",
            }  # fmt: skip
        assert [path.name for path in store.run_dir.parent.iterdir()] == ["run-1"]
        assert (store.run_dir / "config.yaml").read_text("utf-8") == "name: é\n"

    def test_refuses_a_run_that_exists(self, store: RunStore) -> None:
        with pytest.raises(UsageError, match="exists already"):
            RunStore.create(store.run_dir.parent, fake_manifest(), "")
        store.close()

    def test_holds_the_run_from_the_first_moment(self, store: RunStore) -> None:
        with pytest.raises(RunLockedError):
            RunStore.open(store.run_dir)
        store.close()
        RunStore.open(store.run_dir).close()

    @pytest.mark.parametrize("run_id", ["../x", "", ".x", "a/b", "a\n", "é", "x" * 101])
    def test_refuses_an_id_that_is_no_safe_name(self, tmp_path: Path, run_id: str) -> None:
        with pytest.raises(UsageError, match="run id"):
            RunStore.create(tmp_path, fake_manifest(run_id), "")
        assert list(tmp_path.iterdir()) == []

    def test_leaves_nothing_when_it_fails(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(path: Path, target: Path) -> Path:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(Path, "rename", full)
        with pytest.raises(JournalError, match="No space left"):
            RunStore.create(tmp_path, fake_manifest(), "")
        assert list(tmp_path.iterdir()) == []


class TestAppend:
    async def test_what_was_appended_is_read_again(self, store: RunStore) -> None:
        exit_facts = ExitFacts(
            exit_code=0, signal=None, out_of_memory=False, killed=True,
            stdout_bytes=1, stderr_bytes=2, stderr_tail="ü",
        )  # fmt: skip
        result = fake_result(exit=exit_facts, output={"a": [1, None]}, error="\x1b[31m")
        call = fake_metered(result, raw_usage={"prompt_tokens": 3})
        way = fake_egress(result, host="\x1b[31m", detail="ü")
        with store:
            store.append_call(call)
            store.append_egress(way)
            await store.append_result(result)
        record = load_run(store.run_dir)
        assert list(record.egress()) == [way]
        assert list(record.results()) == [result]
        assert list(record.calls()) == [call]

    async def test_the_last_attempt_of_a_case_decides_and_all_are_kept(
        self, store: RunStore
    ) -> None:
        key, other = fake_key(), fake_key("other")
        with store:
            for outcome in (Outcome.SANDBOX_ERROR, Outcome.FAILED, Outcome.PASSED):
                await store.append_result(fake_result(key, outcome))
            assert len(store.results) == 3
            assert store.deciding[key].outcome is Outcome.PASSED
            assert store.attempts_made({key, other}) == {key: 3}

    async def test_answers_are_not_kept_in_memory(self, store: RunStore) -> None:
        with store:
            result = fake_result(output="x" * 1000, error="y" * 1000)
            await store.append_result(result)
            assert store.results == [result.verdict]
        with RunStore.open(store.run_dir) as again:
            assert again.results == [result.verdict]

    async def test_a_call_that_cannot_be_written_ends_the_run_with_its_result(
        self, store: RunStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with store:
            await store.append_result(RESULTS[0])
            monkeypatch.setattr(os, "write", _no_space)
            store.append_call(CALLS[1])  # raises nothing where nobody could act on it
            monkeypatch.undo()
            for _ in range(2):
                with pytest.raises(JournalError, match=r"calls\.jsonl: No space left.* Make room"):
                    await store.append_result(RESULTS[1])
            with pytest.raises(JournalError, match="No space left"):
                store.end_session("stopped")
        with RunStore.open(store.run_dir) as again:
            assert ids(again) == [RESULTS[0].attempt_id]
            assert list(again.call_facts()) == []
            assert again.repairs == []

    async def test_a_way_out_is_on_disk_before_the_result_that_it_belongs_to(
        self, store: RunStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with store:
            store.append_egress(EGRESS[0])
            size = (store.run_dir / "egress.jsonl").stat().st_size
            await store.append_result(RESULTS[0])
            assert store._egress.durable == size > 0
            monkeypatch.setattr(os, "write", _no_space)
            store.append_egress(EGRESS[1])
            monkeypatch.undo()
            with pytest.raises(JournalError, match=r"egress\.jsonl: No space left.* Make room"):
                await store.append_result(RESULTS[1])

    async def test_after_a_result_failed_no_call_is_written_either(
        self, store: RunStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with store:
            monkeypatch.setattr(os, "write", _no_space)
            with pytest.raises(JournalError, match=r"results\.jsonl"):
                await store.append_result(RESULTS[0])
            monkeypatch.undo()
            store.append_call(CALLS[0])
            assert list(store.call_facts()) == []

    async def test_logs_have_names_that_nobody_chose(self, store: RunStore) -> None:
        attempt_id = new_attempt_id(fake_key("../../etc/passwd"))
        with store:
            name = await store.keep_log(attempt_id, b"to stdout\xff", "to stderr \ud800")
            assert name == f"{attempt_id}.log"
            assert await store.keep_log(new_attempt_id(fake_key()), b"", "") is None
            with pytest.raises(ValueError, match="no attempt id"):
                await store.keep_log("../x", b"log", "")
        log = read_log(store.run_dir, name)
        assert log.startswith(b"to stdout\xff\n--- stderr")
        assert b"to stderr \\ud800" in log

    async def test_a_long_log_keeps_its_beginning_and_end(self, store: RunStore) -> None:
        attempt_id = new_attempt_id(fake_key())
        with store:
            name = await store.keep_log(attempt_id, b"first" + b"-" * 3_000_000 + b"last", "")
        assert name is not None
        log = read_log(store.run_dir, name)
        assert (log[:5], log[-4:]) == (b"first", b"last")
        assert len(log) < 1_100_000
        assert b"bytes left out" in log

    async def test_a_judges_call_is_on_disk_before_the_result_that_it_belongs_to(
        self, store: RunStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with store:
            store.append_judge_call(CALLS[0])
            size = (store.run_dir / "judge.jsonl").stat().st_size
            await store.append_result(RESULTS[0])
            assert store._judge is not None
            assert store._judge.durable == size > 0
            monkeypatch.setattr(os, "write", _no_space)
            store.append_judge_call(CALLS[1])
            monkeypatch.undo()
            with pytest.raises(JournalError, match=r"judge\.jsonl: No space left.* Make room"):
                await store.append_result(RESULTS[1])

    async def test_a_file_of_judges_calls_that_cannot_be_made_stops_the_run(
        self, store: RunStore
    ) -> None:
        with store:
            (store.run_dir / "judge.jsonl").mkdir()
            store.append_judge_call(CALLS[0])
            with pytest.raises(JournalError, match=r"judge\.jsonl"):
                await store.append_result(RESULTS[0])


def _no_space(fd: int, data: bytes) -> int:
    raise OSError(28, "No space left on device")


class TestOpen:
    @settings(max_examples=50)
    @given(st.data())
    def test_after_a_cut_anywhere_the_whole_lines_survive_and_it_goes_on(
        self, sample: Path, data: st.DataObject
    ) -> None:
        names = ("results.jsonl", "calls.jsonl", "egress.jsonl", "judge.jsonl")
        sizes = {name: (sample / name).stat().st_size for name in names}
        lengths = {name: data.draw(st.integers(0, size)) for name, size in sizes.items()}
        with TemporaryDirectory() as folder:
            run_dir = Path(shutil.copytree(sample, Path(folder) / "run"))
            for name, length in lengths.items():
                os.truncate(run_dir / name, length)
            whole = {name: (run_dir / name).read_bytes().count(b"\n") for name in lengths}
            extra = fake_result(fake_key("after"))
            with RunStore.open(run_dir) as store:
                assert ids(store) == [r.attempt_id for r in RESULTS[: whole["results.jsonl"]]]
                read = [call for _, call in read_calls(run_dir)]
                assert read == CALLS[: whole["calls.jsonl"]]
                assert list(load_run(run_dir).egress()) == EGRESS[: whole["egress.jsonl"]]
                assert list(store.judge_calls()) == CALLS[: whole["judge.jsonl"]]
                cut = sum("cut" in repair for repair in store.repairs)
                missing = sum("missing" in repair for repair in store.repairs)
                for name, count in whole.items():
                    content = (run_dir / name).read_bytes()
                    assert content.count(b"\n") == count
                    assert not content or content.endswith(b"\n")
                assert missing == sum(length < sizes[n] for n, length in lengths.items())
                assert cut <= missing
                asyncio.run(store.append_result(extra))
                store.append_call(fake_metered(extra))
                store.append_egress(fake_egress(extra))
                store.append_judge_call(fake_metered(extra))
            with RunStore.open(run_dir) as store:
                assert store.repairs == [note for note in store.repairs if "missing" in note]
                assert ids(store)[-1] == extra.attempt_id

    def test_a_torn_end_is_kept_beside_the_file_and_said(self, tmp_path: Path) -> None:
        run_dir = make_run(tmp_path)
        rewrite(run_dir / "results.jsonl", lambda content: content + b'{"crc":"torn')
        with RunStore.open(run_dir) as store:
            (note,) = store.repairs
        (kept,) = run_dir.glob("results.jsonl.cut-*")
        assert kept.read_bytes() == b'{"crc":"torn'
        assert f"results.jsonl: cut 12 bytes after line {COUNT}" in note
        assert kept.name in note
        with RunStore.open(run_dir) as store:
            assert store.repairs == []

    @pytest.mark.parametrize(
        "name", ["results.jsonl", "calls.jsonl", "egress.jsonl", "judge.jsonl"]
    )
    def test_damage_in_the_middle_is_named_and_nothing_is_changed(
        self, tmp_path: Path, name: str
    ) -> None:
        run_dir = make_run(tmp_path)
        rewrite(run_dir / name, lambda content: content.replace(b"case-2", b"case-3", 1))
        rewrite(run_dir / "results.jsonl", lambda content: content + b"torn")
        before = {path.name: path.read_bytes() for path in run_dir.iterdir() if path.is_file()}
        with pytest.raises(JournalError, match=rf"{name} line 3 .*damaged"):
            RunStore.open(run_dir)
        assert before == {p.name: p.read_bytes() for p in run_dir.iterdir() if p.is_file()}

    def test_a_run_of_before_there_were_ways_out_goes_on(self, tmp_path: Path) -> None:
        run_dir = make_run(tmp_path, egress=[])
        (run_dir / "egress.jsonl").unlink()
        assert list(load_run(run_dir).egress()) == []
        with RunStore.open(run_dir) as store:
            assert store.repairs == []
            store.append_egress(EGRESS[0])
        assert list(load_run(run_dir).egress()) == [EGRESS[0]]

    def test_but_one_that_had_some_is_missed(self, tmp_path: Path) -> None:
        run_dir = make_run(tmp_path)
        (run_dir / "egress.jsonl").unlink()
        with pytest.raises(JournalError, match=r"egress\.jsonl"):
            RunStore.open(run_dir)
        with pytest.raises(JournalError, match=r"egress\.jsonl"):
            list(load_run(run_dir).egress())

    def test_so_are_the_calls_of_judges_that_were_there(self, tmp_path: Path) -> None:
        run_dir = make_run(tmp_path)
        (run_dir / "judge.jsonl").unlink()
        with pytest.raises(JournalError, match=r"judge\.jsonl"):
            RunStore.open(run_dir)
        with pytest.raises(JournalError, match=r"judge\.jsonl"):
            list(load_run(run_dir).judge_calls())

    def test_a_run_without_judges_has_no_file_of_theirs(self, tmp_path: Path) -> None:
        run_dir = make_run(tmp_path, judges=[])
        with RunStore.open(run_dir) as store:
            assert store.repairs == []
            assert list(store.judge_calls()) == []
        assert not (run_dir / "judge.jsonl").exists()

    def test_gives_the_lock_back_when_it_fails(self, tmp_path: Path) -> None:
        run_dir = make_run(tmp_path)
        (run_dir / "calls.jsonl").rename(tmp_path / "calls.jsonl")
        with pytest.raises(JournalError, match=r"calls\.jsonl"):
            RunStore.open(run_dir)
        (tmp_path / "calls.jsonl").rename(run_dir / "calls.jsonl")
        RunStore.open(run_dir).close()

    def test_what_is_no_run_is_refused_untouched(self, tmp_path: Path) -> None:
        with pytest.raises(JournalError, match="no run"):
            RunStore.open(tmp_path)
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("name", ["results.jsonl", "calls.jsonl", "egress.jsonl", "run.json"])
    def test_a_file_that_somebody_swapped_is_refused(self, tmp_path: Path, name: str) -> None:
        run_dir = make_run(tmp_path)
        (run_dir / name).rename(tmp_path / name)
        (run_dir / name).symlink_to(tmp_path / name)
        with pytest.raises(JournalError, match="symbolic link"):
            RunStore.open(run_dir)


class TestSessions:
    def test_one_that_ended_is_on_record(self, tmp_path: Path) -> None:
        run_dir = make_run(tmp_path)
        record = load_run(run_dir)
        (session,) = record.manifest.sessions
        assert (session.ended, session.pid) == ("finished", os.getpid())
        assert session.results_bytes == (run_dir / "results.jsonl").stat().st_size
        assert session.calls_bytes == (run_dir / "calls.jsonl").stat().st_size
        assert record.status == record.manifest.status == "finished"
        assert record.manifest.outcomes == {Outcome.PASSED: COUNT}
        assert record.manifest.finished is not None

    def test_one_that_was_killed_is_noted_by_the_next(self, store: RunStore) -> None:
        store.begin_session()
        store._lock.release()  # as the kernel does it
        with RunStore.open(store.run_dir) as again:
            again.begin_session(prices_version="p 1")
            again.end_session("stopped")
        manifest = load_run(store.run_dir).manifest
        assert [session.ended for session in manifest.sessions] == ["died", "stopped"]
        assert (manifest.status, manifest.prices_version) == ("stopped", "p 1")

    def test_one_that_an_error_ends_has_failed_and_can_be_resumed(self, store: RunStore) -> None:
        store.begin_session()
        with pytest.raises(ZeroDivisionError), store:
            raise ZeroDivisionError
        manifest = load_run(store.run_dir).manifest
        assert (manifest.status, manifest.sessions[0].ended) == ("stopped", "failed")

    def test_what_one_has_lost_is_missed_by_the_next_and_no_more(self, tmp_path: Path) -> None:
        with RunStore.create(tmp_path, fake_manifest(), "") as store:
            store.begin_session()
            for result in RESULTS:
                store.append_call(fake_metered(result))
                asyncio.run(store.append_result(result))
            store.end_session("finished")
        for name in ("results.jsonl", "calls.jsonl"):
            file = store.run_dir / name
            os.truncate(file, file.stat().st_size - 1)
        with RunStore.open(store.run_dir) as second:
            assert sum("missing" in text for text in second.repairs) == 2
            second.begin_session()
            second.end_session("finished")
        with RunStore.open(store.run_dir) as third:
            assert third.repairs == []
        # A batch that was on its way when the power went is still told from damage.
        with (store.run_dir / "results.jsonl").open("ab") as file:
            size = file.tell()
            file.write(b"torn\n" + seal("result", encode(RESULTS[-1]), size))
        with RunStore.open(store.run_dir) as fourth:
            assert len(fourth.results) == len(RESULTS) - 1

    def test_opening_alone_begins_none(self, tmp_path: Path) -> None:
        run_dir = make_run(tmp_path)
        before = (run_dir / "run.json").read_bytes()
        with RunStore.open(run_dir):
            pass
        assert (run_dir / "run.json").read_bytes() == before

    def test_a_manifest_that_cannot_be_written_leaves_the_old_one(
        self, store: RunStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before = (store.run_dir / "run.json").read_bytes()
        monkeypatch.setattr(os, "write", _no_space)
        with pytest.raises(JournalError, match=r"write .*run\.json"):
            store.update_manifest(status="stopped")
        monkeypatch.undo()
        assert (store.run_dir / "run.json").read_bytes() == before
        assert store.manifest.status == "running"
        store.update_manifest(status="stopped")
        store.close()


APPEND_FOREVER = """
import asyncio, pathlib, sys
from pacabench.store import RunStore
from pacabench.testing.records import (
    fake_egress,
    fake_key,
    fake_manifest,
    fake_metered,
    fake_result,
)

async def one(store, number):
    for turn in range(10_000):
        result = fake_result(fake_key(f"case-{number}-{turn}"))
        store.append_call(fake_metered(result))
        await store.append_result(result)
        sys.stdout.write(result.attempt_id + "\\n")
        sys.stdout.flush()

async def main(store):
    await asyncio.gather(*(one(store, number) for number in range(4)))

with RunStore.create(pathlib.Path(sys.argv[1]), fake_manifest(), "") as store:
    store.begin_session()
    asyncio.run(main(store))
"""


class TestKill:
    @pytest.mark.parametrize("lines", [1, 37, 150])
    def test_every_append_that_was_acknowledged_is_there(self, tmp_path: Path, lines: int) -> None:
        with subprocess.Popen(
            [sys.executable, "-c", APPEND_FOREVER, str(tmp_path)], stdout=subprocess.PIPE, text=True
        ) as child:
            assert child.stdout is not None
            acknowledged = [child.stdout.readline().strip() for _ in range(lines)]
            child.kill()
            # What is still in the pipe was acknowledged too; its last line may be torn.
            rest = child.stdout.read()
            acknowledged += rest[: rest.rfind("\n") + 1].split()
        run_dir = tmp_path / "run-1"
        assert load_run(run_dir).status == "interrupted"
        with RunStore.open(run_dir) as store:
            assert store.previous_owner is not None
            assert store.previous_owner.pid == child.pid
            assert set(acknowledged) <= set(ids(store))
            called = {call.call.attempt_id for call in store.call_facts()}
            assert set(ids(store)) <= called
            assert len(ids(store)) == len(set(ids(store)))

    def test_a_reader_beside_the_writer_sees_whole_results_only(self, tmp_path: Path) -> None:
        with subprocess.Popen(
            [sys.executable, "-c", APPEND_FOREVER, str(tmp_path)], stdout=subprocess.PIPE, text=True
        ) as child:
            assert child.stdout is not None
            child.stdout.readline()
            counts = []
            for _ in range(20):
                record = load_run(tmp_path / "run-1")
                assert record.status == "running"
                assert record.holder is not None
                assert record.holder.pid == child.pid
                results: list[CaseResult] = list(record.results())
                calls: list[MeteredCall] = list(record.calls())
                counts.append(len(results))
                assert len(calls) >= len(results)
            child.kill()
        assert counts == sorted(counts)
        assert counts[0] > 0


class TestFullDisk:
    @pytest.fixture
    def small_disk(self, tmp_path: Path) -> Path:
        """A file system of 64 KiB."""
        if os.geteuid() != 0:
            pytest.skip("only root can mount a small file system")
        folder = tmp_path / "small"
        folder.mkdir()
        mount = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)],
            capture_output=True,
            check=False,
        )
        if mount.returncode != 0:
            pytest.skip(f"no mounting here: {mount.stderr.decode().strip()}")
        return folder

    def test_stops_cleanly_and_goes_on_when_there_is_room(self, small_disk: Path) -> None:
        try:
            self._fill_and_go_on(small_disk)
        finally:
            subprocess.run(["umount", str(small_disk)], check=True)

    def _fill_and_go_on(self, small_disk: Path) -> None:
        kept: list[str] = []

        async def fill(store: RunStore) -> None:
            for number in range(10_000):
                result = fake_result(fake_key(f"case-{number}"), output="x" * 500)
                store.append_call(fake_metered(result))
                await store.append_result(result)
                kept.append(result.attempt_id)

        ballast = small_disk / "ballast"
        ballast.write_bytes(b"x" * 16_384)
        with RunStore.create(small_disk / "runs", fake_manifest(), "") as store:
            store.begin_session()
            with pytest.raises(JournalError, match="No space left on device"):
                asyncio.run(fill(store))
        assert kept
        reader = read_results(store.run_dir)
        assert [result.attempt_id for _, result in reader] == kept
        assert reader.end == reader.size, "the torn line was cut back at once"
        ballast.unlink()
        with RunStore.open(store.run_dir) as again:
            again.begin_session()
            assert ids(again) == kept
            asyncio.run(again.append_result(RESULTS[0]))
            again.end_session("finished")
        assert load_run(store.run_dir).status == "finished"
