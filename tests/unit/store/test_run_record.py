"""Runs as readers see them: listed, found by a part of their name, judged alive or dead."""

from pathlib import Path

import pytest

from pacabench.errors import JournalError, RunNotFoundError
from pacabench.store import RunStore, find_run, list_runs, load_run
from pacabench.store.manifest import write_manifest
from pacabench.testing.records import fake_manifest


def make(runs_dir: Path, *run_ids: str) -> None:
    for hour, run_id in enumerate(run_ids):
        manifest = fake_manifest(run_id, started=f"2026-01-01T{hour:02}:00:00.000Z")
        RunStore.create(runs_dir, manifest, "").close()


class TestListRuns:
    def test_newest_first_and_nothing_that_is_no_run(self, tmp_path: Path) -> None:
        make(tmp_path, "b", "c", "a")
        (tmp_path / "no-run").mkdir()
        (tmp_path / ".b.1.new").mkdir()
        (tmp_path / "file").touch()
        runs, broken = list_runs(tmp_path)
        assert [run.run_id for run in runs] == ["a", "c", "b"]
        assert broken == []

    def test_a_broken_one_does_not_hide_the_others(self, tmp_path: Path) -> None:
        make(tmp_path, "a", "b")
        (tmp_path / "a" / "run.json").write_text("{")
        runs, broken = list_runs(tmp_path)
        assert [run.run_id for run in runs] == ["b"]
        assert [run.run_dir.name for run in broken] == ["a"]
        assert "cannot be read" in broken[0].problem

    def test_of_no_directory_is_empty(self, tmp_path: Path) -> None:
        assert list_runs(tmp_path / "none") == ([], [])


class TestFindRun:
    @pytest.fixture(autouse=True)
    def _runs(self, tmp_path: Path) -> None:
        make(tmp_path, "memory-2026-aaaa", "memory-2026-bbbb", "memory", "gsm8k-2026-cccc")

    def test_takes_the_exact_name_although_others_contain_it(self, tmp_path: Path) -> None:
        assert find_run(tmp_path, "memory").name == "memory"

    @pytest.mark.parametrize("part", ["cccc", "gsm", "8k-2026"])
    def test_takes_a_part_that_only_one_has(self, tmp_path: Path, part: str) -> None:
        assert find_run(tmp_path, part).name == "gsm8k-2026-cccc"

    def test_lists_the_candidates_of_an_ambiguous_part(self, tmp_path: Path) -> None:
        with pytest.raises(RunNotFoundError) as raised:
            find_run(tmp_path, "2026")
        for name in ("memory-2026-aaaa", "memory-2026-bbbb", "gsm8k-2026-cccc"):
            assert name in str(raised.value)
        assert str(raised.value).startswith("3 runs fit '2026'")

    @pytest.mark.parametrize("name", ["nothing", "", "../memory", "."])
    def test_says_what_there_is_when_none_fits(self, tmp_path: Path, name: str) -> None:
        with pytest.raises(RunNotFoundError, match="gsm8k-2026-cccc"):
            find_run(tmp_path, name)

    def test_an_empty_name_is_no_part_of_the_only_run(self, tmp_path: Path) -> None:
        make(tmp_path / "other", "a")
        with pytest.raises(RunNotFoundError):
            find_run(tmp_path / "other", "")

    def test_says_so_when_there_are_none_at_all(self, tmp_path: Path) -> None:
        with pytest.raises(RunNotFoundError, match="no runs at all"):
            find_run(tmp_path / "memory", "x")

    def test_does_not_list_hundreds(self, tmp_path: Path) -> None:
        for number in range(30):
            (tmp_path / f"many-{number}").mkdir()
            (tmp_path / f"many-{number}" / "run.json").touch()
        with pytest.raises(RunNotFoundError, match="and 20 more"):
            find_run(tmp_path, "many")


class TestLoadRun:
    def test_a_run_whose_harness_is_gone_was_interrupted(self, tmp_path: Path) -> None:
        make(tmp_path, "a")
        record = load_run(tmp_path / "a")
        assert (record.status, record.holder) == ("interrupted", None)

    def test_a_run_whose_harness_lives_is_running(self, tmp_path: Path) -> None:
        with RunStore.create(tmp_path, fake_manifest("a"), "") as store:
            record = load_run(store.run_dir)
        assert record.status == "running"
        assert record.holder is not None

    @pytest.mark.parametrize("status", ["finished", "stopped"])
    def test_what_ended_stays_so(self, tmp_path: Path, status: str) -> None:
        make(tmp_path, "a")
        write_manifest(tmp_path / "a", fake_manifest("a", status=status))
        assert load_run(tmp_path / "a").status == status

    def test_changes_nothing(self, tmp_path: Path) -> None:
        make(tmp_path, "a")
        torn = tmp_path / "a" / "results.jsonl"
        torn.write_bytes(b"torn")
        assert list(load_run(tmp_path / "a").results()) == []
        assert torn.read_bytes() == b"torn"

    def test_without_a_manifest_there_is_no_run(self, tmp_path: Path) -> None:
        with pytest.raises(JournalError, match=r"run\.json"):
            load_run(tmp_path)
