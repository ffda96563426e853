"""``prepare`` runs once per content, and says what went wrong."""

import os
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from pacabench.config.prepare import PrepareConfig
from pacabench.config.schema import DatasetConfig
from pacabench.datasets import prepare as on_host
from pacabench.datasets.base import Dataset, Place
from pacabench.datasets.load import load_dataset
from pacabench.datasets.narration import MOST_LINES
from pacabench.errors import DatasetError

MAKE = """echo ran >> log; echo '{"input": 1}' > "$PACABENCH_DATASET_PATH" """


def prepare(command: str, source: Path, place: Place, timeout_s: float = 60) -> None:
    on_host.prepare(PrepareConfig(command=command, timeout_seconds=timeout_s), source, place)


def load(project: Path, command: str) -> Dataset:
    config = DatasetConfig(name="set", source="made.jsonl", prepare=command)
    return load_dataset(config, Place(project, project / "cache", os.environ))


def runs(project: Path) -> int:
    log = project / "log"
    return log.read_text().count("ran") if log.exists() else 0


class TestOnce:
    def test_makes_the_file_and_does_not_run_again(self, tmp_path: Path) -> None:
        for _ in range(3):
            assert [case.input for case in load(tmp_path, MAKE).cases] == [1]
        assert runs(tmp_path) == 1

    def test_runs_again_when_the_data_changed_or_are_gone(self, tmp_path: Path) -> None:
        load(tmp_path, MAKE)
        (tmp_path / "made.jsonl").write_text('{"input": 2}\n')
        assert load(tmp_path, MAKE).cases[0].input == 1
        (tmp_path / "made.jsonl").unlink()
        load(tmp_path, MAKE)
        assert runs(tmp_path) == 3

    def test_runs_again_when_the_command_or_its_script_changed(self, tmp_path: Path) -> None:
        script = tmp_path / "make it.sh"
        script.write_text(MAKE)
        command = "sh 'make it.sh'"
        load(tmp_path, command)
        load(tmp_path, command)
        assert runs(tmp_path) == 1
        script.write_text(MAKE.replace("1", "5"))
        assert load(tmp_path, command).cases[0].input == 5
        load(tmp_path, f"{command} again")
        assert runs(tmp_path) == 3

    def test_after_a_failure_it_runs_again(self, tmp_path: Path) -> None:
        for _ in range(2):
            with pytest.raises(DatasetError):
                load(tmp_path, "echo ran >> log; exit 1")
        assert runs(tmp_path) == 2

    def test_a_directory_is_data_too(self, tmp_path: Path) -> None:
        command = "echo ran >> log; mkdir -p data; echo {} > data/a.jsonl"
        for _ in range(2):
            prepare(command, tmp_path / "data", Place(tmp_path, tmp_path / "cache", os.environ))
        assert runs(tmp_path) == 1

    def test_two_at_a_time_run_it_once(self, tmp_path: Path) -> None:
        slow = f"sleep 0.3; {MAKE}"
        threads = [threading.Thread(target=load, args=(tmp_path, slow)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert runs(tmp_path) == 1


class TestEnvironment:
    def test_is_that_of_the_configuration(self, tmp_path: Path) -> None:
        prepare(
            'echo "$PWD|$PACABENCH_DATASET_PATH|$MINE|${HOME-none}" > out; cat',
            tmp_path / "x.jsonl",
            Place(tmp_path, tmp_path / "cache", {"MINE": "m", "PATH": os.environ["PATH"]}),
        )
        out = (tmp_path / "out").read_text().strip()
        assert out == f"{tmp_path}|{tmp_path / 'x.jsonl'}|m|none"

    def test_our_python_is_found_where_there_is_no_other(self, tmp_path: Path) -> None:
        name = Path(sys.executable).name
        command = f"{name} -c 'import pacabench'"
        prepare(
            command,
            tmp_path / "x",
            Place(tmp_path, tmp_path / "cache", {"PATH": "/nonexistent"}),
        )


class TestOutput:
    def test_is_shown_line_by_line_when_it_ran_and_not_again(self, tmp_path: Path) -> None:
        said: list[str] = []
        place = Place(tmp_path, tmp_path / "cache", os.environ, tell=said.append)
        for _ in range(2):
            prepare("echo 3 rows; printf 'odd \\033[31m' >&2", tmp_path / "x", place)
        assert said[0].startswith("prepare runs on this machine, with your rights, because the")
        assert said[1:] == ["prepare: 3 rows", "prepare: odd \\x1b[31m"]

    def test_comes_while_it_runs(self, tmp_path: Path) -> None:
        def tell(text: str) -> None:
            if text == "prepare: early":
                (tmp_path / "heard").touch()

        place = Place(tmp_path, tmp_path / "cache", os.environ, tell=tell)
        prepare("echo early; until [ -e heard ]; do sleep 0.05; done", tmp_path / "x", place, 30)

    def test_of_a_flood_has_an_end(self, tmp_path: Path) -> None:
        said: list[str] = []
        place = Place(tmp_path, tmp_path / "cache", tell=said.append)
        prepare("seq 100000", tmp_path / "x", place)
        assert len(said) == MOST_LINES + 2
        assert said[-1] == "prepare wrote 99500 more lines, which are not shown"


class TestFailure:
    def test_shows_the_exit_code_and_the_end_of_the_output(self, tmp_path: Path) -> None:
        command = "seq 10000; printf 'why \\033[31m\\n' >&2; exit 3"
        with pytest.raises(DatasetError) as caught:
            load(tmp_path, command)
        text = str(caught.value)
        assert text.startswith("dataset 'set': prepare failed with exit code 3: seq 10000")
        assert text.splitlines()[-1] == "    why \\x1b[31m"
        assert len(text) < 20_000

    def test_a_signal_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(DatasetError, match="prepare failed with signal 9"):
            load(tmp_path, "kill -9 $$")

    def test_one_that_does_not_end_is_killed_with_what_it_started(self, tmp_path: Path) -> None:
        command = "sleep 61 & echo $! > child; echo waiting; wait"
        began = time.monotonic()
        place = Place(tmp_path, tmp_path / "cache", os.environ)
        with pytest.raises(DatasetError, match=r"did not end within 1 s and was killed"):
            prepare(command, tmp_path / "x", place, timeout_s=1)
        assert time.monotonic() - began < 10
        pid = int((tmp_path / "child").read_text())
        deadline = time.monotonic() + 5
        while _alive(pid) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not _alive(pid)

    def test_no_file_made_is_an_error_of_the_data_set(self, tmp_path: Path) -> None:
        with pytest.raises(DatasetError, match="there is no such file"):
            load(tmp_path, "true")

    def test_a_cache_that_cannot_be_written_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "cache").write_text("")
        with pytest.raises(DatasetError, match=r"dataset 'set': prepare: .*cache"):
            load(tmp_path, MAKE)


def _alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
