"""``prepare`` in a container: what it gets, what it cannot, and what is kept of it."""

import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from prepares import CONFIG, Project, left

from pacabench.errors import DatasetError, EngineUnreachableError

pytestmark = [pytest.mark.docker, pytest.mark.timeout(240)]


@pytest.fixture
def project(tmp_path: Path, cache_dir: Path) -> Project:
    (tmp_path / "cache").symlink_to(cache_dir)
    return Project(tmp_path)


def test_it_is_held_and_its_data_are_kept_below_the_cache(project: Project) -> None:
    marker = project.folder.name + str(time.time_ns())
    (project.folder / "raw" / "unique.txt").write_text(marker)
    files = ", files: {columns: [f], directory: beside}"
    dataset = project.load(more=files)
    first, second = dataset.cases
    assert (first.input, second.input) == ("one", "two")
    facts = first.metadata
    assert facts["uid"] == 65531
    assert facts["rights"] == ["0000000000000000", "1", "2"]
    assert facts["reached"] == [101]  # ENETUNREACH
    assert facts["secret"] is None
    assert facts["seen"] == ["data", "make.py", "raw"]
    assert Path(first.files[0].path).read_text() == "from inside"
    assert not (project.folder / "data").exists()
    assert not (project.folder / "beside").exists()
    assert any(text.endswith("prepare: making 2 rows \\x1b[31m") for text in project.said)
    assert any("not taken out" in t and "link: no regular file" in t for t in project.said)

    assert project.load(more=files).digest == dataset.digest
    assert project.ran() == 1
    assert sum("link: no regular file" in text for text in project.said) == 2  # each time
    (project.folder / "raw" / "unique.txt").write_text(f"{marker} changed")
    project.load(more=files)
    assert project.ran() == 2
    assert not left(project)


def test_a_script_is_started_by_its_name(project: Project) -> None:
    script = project.folder / "make.sh"
    script.write_text("#!/bin/sh\nexec python make.py\n")
    script.chmod(0o755)
    assert len(project.load("./make.sh").cases) == 2
    assert not left(project)


@pytest.mark.parametrize(
    ("prepare", "said"),
    [
        ("echo no luck; exit 3", "failed with exit code 3: echo no luck; exit 3\n    no luck\n"),
        ("kill -9 $$", "failed with signal 9"),
        ("true", "made nothing"),
        ({"command": "echo on; sleep 60", "timeout_seconds": 2}, "did not end within 2 s"),
        (
            {"command": "dd if=/dev/zero of=$PACABENCH_DATASET_PATH bs=1M", "size": "16m"},
            "No space left on device",
        ),
        ({"command": "true", "size": "1m"}, "raise `prepare.size`"),
    ],
    ids=["exit", "signal", "nothing", "time", "room", "input"],
)
def test_what_goes_wrong_says_what_to_do(project: Project, prepare: Any, said: str) -> None:
    (project.folder / "big").write_bytes(bytes(2 * 1024**2))
    with pytest.raises(DatasetError) as caught:
        project.load(prepare)
    assert said in str(caught.value)
    assert "where: host" in str(caught.value) or "prepare.size" in str(caught.value)
    assert not left(project)


def test_a_host_is_chosen_and_told(project: Project) -> None:
    made = "mkdir -p data; echo '{\"input\": 1}' > $PACABENCH_DATASET_PATH"
    dataset = project.load({"command": made, "where": "host"})
    assert [case.input for case in dataset.cases] == [1]
    assert (project.folder / "data" / "x.jsonl").exists()
    assert any(f"on this machine, with your rights: {made}" in text for text in project.said)


def test_without_an_engine_it_is_refused(
    project: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (project.folder / "raw" / "unique.txt").write_text(str(time.time_ns()))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    with pytest.raises(EngineUnreachableError, match="where: host"):
        project.load()
    assert not (project.folder / "data").exists()


def test_of_a_repository_it_changes_a_copy(
    project: Project, tmp_path_factory: pytest.TempPathFactory
) -> None:
    there = tmp_path_factory.mktemp("repository")
    (there / "rows.jsonl").write_text('{"input": "old"}\n')
    commit = "git init -q . && git add . && git -c user.name=a -c user.email=a@b commit -qm x"
    subprocess.run(commit, shell=True, check=True, cwd=there)
    command = "sed -i s/old/new/ $PACABENCH_DATASET_PATH/rows.jsonl; test -e raw/words.txt"
    dataset = project.load(command, source=f'"git:file://{there}#rows.jsonl"')
    assert [case.input for case in dataset.cases] == ["new"]
    assert dataset.revision is not None


def test_stopped_it_leaves_nothing(project: Project) -> None:
    async def stop() -> None:
        loading = asyncio.create_task(project.load_here())
        await project.began.wait()
        loading.cancel()
        await asyncio.gather(loading, return_exceptions=True)

    text = CONFIG.format(
        name=project.name, source="x.jsonl", prepare='"echo began; sleep 600"', more=""
    )
    (project.folder / "pacabench.yaml").write_text(text)
    asyncio.run(stop())
    assert not left(project)


LOAD = """\
import asyncio, sys
from pathlib import Path
from pacabench.config.load import load_config
from pacabench.judged_data import load_data
async def load():
    loaded = load_config(Path(sys.argv[1]), environ={})
    hear = lambda event: print(getattr(event, "text", ""), flush=True)
    data = await load_data(loaded.config.datasets[0], loaded, hear, lambda _: None, revision=None)
    print([case.input for case in data.cases])
asyncio.run(load())
"""


def start(project: Project) -> "subprocess.Popen[str]":
    """A harness of its own that loads the data set."""
    words = [sys.executable, "-c", LOAD, str(project.folder / "pacabench.yaml")]
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True)


def test_killed_in_the_middle_it_leaves_nothing_half_made(project: Project) -> None:
    path = "$PACABENCH_DATASET_PATH"
    first = f"test -e raw/quick || {{ echo {project.name} > {path}; echo began; sleep 600; }}; "
    command = first + f"echo '{{\"input\": 1}}' > {path}"
    text = CONFIG.format(
        name=project.name, source="x.jsonl", prepare=json.dumps({"command": command}), more=""
    )
    (project.folder / "pacabench.yaml").write_text(text)
    with start(project) as harness:
        assert harness.stdout is not None
        for line in harness.stdout:
            if line.endswith("prepare: began\n"):
                harness.kill()
    whole = list((project.folder / "cache/prepared").glob("*/project/x.jsonl"))
    assert not [file for file in whole if file.read_text() == f"{project.name}\n"]
    assert left(project)
    (project.folder / "raw" / "quick").write_text("")
    harnesses = [start(project), start(project)]
    said = [harness.communicate(timeout=120)[0] for harness in harnesses]
    assert [text.splitlines()[-1] for text in said] == ["[1]", "[1]"]
    assert sum(text.count("prepare runs in a container") for text in said) == 1
    assert not left(project)
