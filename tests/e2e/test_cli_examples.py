"""Each example loads and runs, with the real ``openai`` SDK, streaming."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
NAMES = sorted(path.parent.name for path in EXAMPLES.glob("*/pacabench.yaml"))


@pytest.fixture
def example(small: Any, tmp_path: Path) -> Iterator[Any]:
    """The command in a copy of an example, so that nothing is written into the repository."""

    def place(name: str) -> Any:
        ignored = shutil.ignore_patterns("runs", ".pacabench", "__pycache__")
        small.path = tmp_path / name
        shutil.copytree(EXAMPLES / name, small.path, ignore=ignored)
        return small

    return place


def figures(project: Any, run_id: str) -> dict[str, dict[str, Any]]:
    found = json.loads(project.run("export", run_id).out)
    return {agent["name"]: agent for agent in found["agents"]}


@pytest.mark.parametrize("name", NAMES)
def test_it_loads(example: Any, name: str) -> None:
    ended = example(name).run("show-config")
    assert ended.code == 0, ended.err
    assert ended.err == ""
    readme = (EXAMPLES / "README.md").read_text()
    assert f"({name}/)" in readme


def test_quickstart_shows_what_a_second_call_buys(example: Any, cache_dir: Path) -> None:
    project = example("quickstart")
    args = ("run", "--sandbox", "process", "--cache-dir", str(cache_dir), "--run-id", "r1", "-q")
    ended = project.ended(project.start(*args), within_s=300)
    assert ended.code == 0, ended.err
    found = figures(project, "r1")
    assert (found["direct"]["passed"], found["direct"]["calls"]) == (8, 12)
    assert (found["reviewer"]["passed"], found["reviewer"]["calls"]) == (11, 24)
    assert all(line["call"]["stream"] for line in calls(project, "r1"))


def test_gsm8k_runs_dry_as_its_readme_says(example: Any, cache_dir: Path) -> None:
    project = example("gsm8k")
    args = ("run", "--sandbox", "process", "--cache-dir", str(cache_dir), "--run-id", "r1", "-q")
    env = {
        "PACABENCH_CONFIG__PROXY__PROVIDER": "scripted",
        "PACABENCH_CONFIG__PROXY__RULES": "scripted.yaml",
    }
    assert all(
        f"{name}={value}" in (project.path / "README.md").read_text() for name, value in env.items()
    )
    ended = project.ended(project.start(*args, **env), within_s=300)
    assert ended.code == 0, ended.err
    assert (figures(project, "r1")["step-by-step"]["passed"]) == 7


def test_gsm8k_without_a_key_says_which_one_is_missing(example: Any) -> None:
    ended = example("gsm8k").run("run", "--sandbox", "process")
    assert ended.code == 1
    assert "OPENAI_API_KEY" in ended.err
    assert "Traceback" not in ended.err


def calls(project: Any, run_id: str) -> list[dict[str, Any]]:
    return [json.loads(line)["call"] for line in project.lines(run_id, "calls.jsonl")]
