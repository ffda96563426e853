"""``init`` and ``show-config``."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

FILES = {
    ".gitignore",
    "README.md",
    "agents/assistant.py",
    "data/arithmetic.jsonl",
    "data/facts.jsonl",
    "pacabench.yaml",
    "requirements.txt",
    "scripted.yaml",
}


def files_in(folder: Path) -> set[str]:
    return {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}


class TestInit:
    @pytest.fixture
    def place(self, small: Any) -> Any:
        """The command in an empty directory."""
        small.path = small.path / "empty"
        small.path.mkdir()
        return small

    def test_it_makes_a_project_here_named_after_the_directory(self, place: Any) -> None:
        ended = place.run("init")
        assert ended.code == 0, ended.err
        assert files_in(place.path) == FILES
        assert "pacabench run" in ended.out
        assert yaml.safe_load((place.path / "pacabench.yaml").read_text())["name"] == "empty"
        assert ".env" in (place.path / ".gitignore").read_text().splitlines()

    def test_the_directory_is_made(self, place: Any) -> None:
        ended = place.run("init", "a/new one", "--name", 'the "best": {bench} #1')
        assert "cd 'a/new one'" in ended.out
        config = place.run("show-config", "-c", "a/new one/pacabench.yaml")
        assert yaml.safe_load(config.out)["name"] == 'the "best": {bench} #1'

    def test_nothing_is_overwritten(self, place: Any) -> None:
        (place.path / "README.md").write_text("mine")
        (place.path / "data").mkdir()
        (place.path / "data" / "facts.jsonl").write_text("mine too")
        ended = place.run("init")
        assert ended.code == 1
        assert "README.md" in ended.err
        assert "data/facts.jsonl" in ended.err
        assert files_in(place.path) == {"README.md", "data/facts.jsonl"}
        assert (place.path / "README.md").read_text() == "mine"

    def test_force_overwrites(self, place: Any) -> None:
        (place.path / "README.md").write_text("mine")
        assert place.run("init", "--force").code == 0
        assert (place.path / "README.md").read_text().startswith("# empty")

    def test_a_link_that_points_nowhere_is_not_written_through(self, place: Any) -> None:
        (place.path / "README.md").symlink_to("elsewhere")
        assert place.run("init").code == 1

    def test_a_file_in_the_way_is_one_message(self, place: Any) -> None:
        (place.path / "x").write_text("")
        ended = place.run("init", "x")
        assert ended.code == 1
        assert ended.err.startswith("error: ")
        assert "x" in ended.err
        assert "bug" not in ended.err

    def test_it_runs_at_once_and_fails_where_it_should(self, place: Any, cache_dir: Path) -> None:
        place.run("init")
        args = ("run", "--sandbox", "process", "--cache-dir", str(cache_dir), "--run-id", "r1")
        ended = place.ended(place.start(*args), within_s=300)
        assert ended.code == 0, ended.err
        found = json.loads(place.run("export", "r1", "--include-cases").out)
        failed = [case["case_id"] for case in found["cases"] if not case["passed"]]
        assert failed == ["bat-and-ball", "capital-australia"]
        assert len(found["cases"]) == 16
        assert sum(agent["calls"] for agent in found["agents"]) == 16
        assert all(agent["input_tokens"] for agent in found["agents"])


class TestShowConfig:
    def test_all_layers_and_defaults(self, small: Any) -> None:
        ended = small.run("show-config", PACABENCH_CONFIG__CONCURRENCY="7")
        config = yaml.safe_load(ended.out)
        assert config["config"]["concurrency"] == 7
        assert config["config"]["timeout_seconds"] == 30
        assert config["sandbox"]["pids"] == 256

    def test_secrets_are_masked(self, small: Any) -> None:
        text = (small.path / "pacabench.yaml").read_text()
        agent = "{name: first, command: python agent.py, env: {MY_TOKEN: '${MY_TOKEN}', X: x}}"
        small.write(
            "pacabench.yaml", text.replace("{name: first, command: python agent.py}", agent)
        )
        ended = small.run("show-config", MY_TOKEN="sk-do-not-show-me")
        assert ended.code == 0, ended.err
        assert "sk-do-not-show-me" not in ended.out + ended.err
        assert yaml.safe_load(ended.out)["agents"][0]["env"] == {"MY_TOKEN": "***", "X": "x"}

    def test_the_schema_describes_the_file(self, small: Any) -> None:
        (small.path / "pacabench.yaml").unlink()
        schema = json.loads(small.run("show-config", "--schema").out)
        assert schema["title"] == "pacabench.yaml"
        assert "agents" in schema["properties"]
