"""What a command that prepares data is given, and what its result is kept by."""

import asyncio
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from pacabench import preparing
from pacabench.config.load import LoadedConfig, load_config
from pacabench.config.prepare import PrepareConfig
from pacabench.datasets.base import Unprepared
from pacabench.preparing import Contained, resolve_preparers

CONFIG = """\
name: x
output: {directory: "runs[1]"}
agents: [{name: a, command: c}]
datasets:
  - name: d
    source: d.jsonl
    prepare: {command: ./make.sh, requirements: r.txt, image: own}
  - {name: e, source: e.jsonl, prepare: {command: make, where: host}}
  - {name: f, source: f.jsonl}
"""


@pytest.fixture
def loaded(tmp_path: Path) -> LoadedConfig:
    (tmp_path / "pacabench.yaml").write_text(CONFIG)
    (tmp_path / "r.txt").write_text("numpy\n")
    (tmp_path / "make.sh").write_text("#!/bin/sh\n")
    return load_config(tmp_path / "pacabench.yaml")


def given(loaded: LoadedConfig) -> Any:
    wanted = Unprepared("d", PrepareConfig(command="./make.sh"), loaded.project / "d.jsonl")
    files = preparing._given(wanted, loaded)
    return files, preparing._key(wanted, files, loaded)


def test_runs_are_not_given_whatever_their_directory_is_called(loaded: LoadedConfig) -> None:
    runs = loaded.project / "runs[1]"
    runs.mkdir()
    (runs / "results").write_text("the expected answers")
    names = {name for name, _ in given(loaded)[0].files}
    assert "project/make.sh" in names
    assert not any("runs" in name for name in names)


def test_a_script_that_can_be_started_is_another_content(loaded: LoadedConfig) -> None:
    _, before = given(loaded)
    (loaded.project / "make.sh").chmod(0o755)
    assert given(loaded)[1] != before


def test_images_are_known_ahead(loaded: LoadedConfig) -> None:
    (image,) = resolve_preparers(loaded)
    assert image.name == "prepare of d"
    assert image.sandbox.image == "own"
    assert image.requirements == loaded.project / "r.txt"


def test_a_result_that_comes_at_the_end_of_a_wait_is_taken(
    loaded: LoadedConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Late(Future[str]):
        def result(self, timeout: float | None = None) -> str:
            if not self.done():
                self.set_result("made")
                raise TimeoutError
            return super().result(timeout)

    late = Late()

    def cancelled() -> bool:
        late.set_result("made")
        return False

    monkeypatch.setattr(asyncio, "run_coroutine_threadsafe", lambda *_: late)
    loop: Any = None
    work: Any = None
    assert Contained(loaded, lambda _: None, loop)._wait(work, cancelled) == "made"
