"""The commands that talk to the engine."""

import json
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import docker
import pytest

NO_ENGINE = {"DOCKER_HOST": "unix:///nowhere/docker.sock"}


@pytest.fixture
def boxed(small: Any, cache_dir: Path) -> Any:
    """The small project in containers."""
    text = (small.path / "pacabench.yaml").read_text()
    text = text.replace("sandbox: {kind: process}", "sandbox: {memory: 256m}")
    text = text.replace("max_retries: 0", f"max_retries: 0\n  cache_directory: {cache_dir}")
    text = text.replace("timeout_seconds: 30", "timeout_seconds: 120")
    small.write("pacabench.yaml", text)
    return small


@pytest.fixture
def containers() -> Callable[[str], list[str]]:
    """Ids of all containers of a run."""

    def find(run_id: str) -> list[str]:
        client = docker.from_env()
        try:
            found = client.api.containers(all=True, filters={"label": f"pacabench.run={run_id}"})
        finally:
            client.close()
        return [container["Id"] for container in found]

    return find


@pytest.mark.docker
class TestWithEngine:
    def test_images_are_made_once_and_listed(self, boxed: Any) -> None:
        first = boxed.ended(boxed.start("images", "build"), within_s=600)
        assert first.code == 0, first.err
        assert "sidecar" in first.out
        assert boxed.run("images", "build").out == first.out
        only = boxed.run("images", "build", "-a", "second").out
        assert "first" not in only
        listed = json.loads(boxed.run("images", "list", "--json").out)
        known = {image["id"] for image in listed["images"]}
        assert {line.split()[1] for line in first.out.splitlines()} <= known
        assert "sidecar" in boxed.run("images", "list").out

    def test_an_agent_that_kills_its_container_each_time_ends_as_what_it_is(
        self, boxed: Any, containers: Callable[[str], list[str]]
    ) -> None:
        boxed.write("agent.py", "import os, signal\nos.killpg(0, signal.SIGKILL)\n")
        text = (boxed.path / "pacabench.yaml").read_text()
        boxed.write("pacabench.yaml", text.replace("max_retries: 0", "max_retries: 2"))
        run_id = f"cli-{uuid.uuid4().hex[:8]}"
        args = ("run", "--run-id", run_id, "-a", "first")
        ended = boxed.ended(boxed.start(*args), within_s=600)
        assert ended.code == 0, ended.err
        results = [json.loads(line)["result"] for line in boxed.lines(run_id)]
        assert [(item["outcome"], item["number"]) for item in results] == [("agent_error", 1)] * 3
        assert {item["exit"]["exit_code"] for item in results} == {137}
        assert containers(run_id) == []

    def test_a_run_ends_with_the_same_figures_and_leaves_nothing(
        self, boxed: Any, containers: Callable[[str], list[str]]
    ) -> None:
        run_id = f"cli-{uuid.uuid4().hex[:8]}"
        ended = boxed.ended(boxed.start("run", "-q", "--run-id", run_id), within_s=600)
        assert ended.code == 0, ended.err
        assert "66.7% accuracy, 4 passed, 2 failed" in ended.out
        assert "6 calls" in ended.out
        assert containers(run_id) == []
        found = json.loads(boxed.run("export", run_id).out)
        assert found["run"]["sandbox"] == "docker"
        assert found["run"]["image_digests"].keys() == {"first", "second", "sidecar"}

    def test_a_promise_that_does_not_hold_stops_the_run_or_stamps_it(self, boxed: Any) -> None:
        text = (boxed.path / "pacabench.yaml").read_text()
        own = "sandbox: {memory: 256m, profile: vm, runtime: runc}"  # runc is no virtual machine
        boxed.write("pacabench.yaml", text.replace("sandbox: {memory: 256m}", own))
        run_id = f"cli-{uuid.uuid4().hex[:8]}"
        command = ("run", "-q", "--limit", "1", "-a", "first", "--run-id", run_id)
        refused = boxed.ended(boxed.start(*command), within_s=600)
        assert refused.code == 1
        assert "the host's own kernel" in refused.err
        assert "--allow-weak-sandbox" in refused.err
        passed = boxed.ended(boxed.start(*command, "--allow-weak-sandbox"), within_s=600)
        assert passed.code == 0, passed.err
        assert "danger: not held as promised (first)" in passed.err
        found = json.loads(boxed.run("export", run_id).out)
        assert found["run"]["sandbox_profiles"] == {"first": {"profile": "vm", "runtime": "runc"}}
        (weak,) = found["run"]["sandbox_weaknesses"]
        assert "the host's own kernel" in weak["promise"]
        manifest = json.loads((boxed.path / "runs" / run_id / "run.json").read_text())
        (probe,) = manifest["sandbox"]["probes"]
        assert probe["broken"] == [weak["promise"]]
        assert probe["found"]["interfaces"] == ["lo"]
        assert "did not hold `first` as promised" in boxed.run("show", run_id).out
        assert "docker, weak" in boxed.run("show").out

    def test_runs_side_by_side_do_not_disturb_each_other_and_the_next_one_reaps_the_dead(
        self, boxed: Any, containers: Callable[[str], list[str]]
    ) -> None:
        """Two at a time on one engine, one of them killed; the next run, and `clean`, see to it."""
        boxed.cases(
            {"case_id": "quick", "input": "one", "expected": "one"},
            {"case_id": "long", "input": "two", "expected": "two", "sleep_s": 25},
        )
        dead, live, third = (f"cli-{uuid.uuid4().hex[:8]}" for _ in range(3))
        killed, goes_on = (
            boxed.start("run", "-q", "--run-id", run_id, "-a", "first") for run_id in (dead, live)
        )
        for run_id in (dead, live):
            boxed.wait_for_results(run_id, 1, within_s=300)
        killed.kill()
        boxed.ended(killed)
        assert containers(dead)
        killed = boxed.start("run", "-q", "--run-id", third, "-a", "first")
        boxed.wait_for_results(third, 1, within_s=300)
        assert containers(dead) == []
        killed.kill()
        boxed.ended(killed)
        assert containers(third)
        cleaned = boxed.run("clean")
        assert cleaned.code == 0, cleaned.err
        assert containers(third) == []
        assert f"run {live}" not in cleaned.out
        ended = boxed.ended(goes_on, within_s=300)
        assert (ended.code, ended.err) == (0, "")
        results = [json.loads(line)["result"] for line in boxed.lines(live)]
        assert [(it["outcome"], it["number"]) for it in results] == [("passed", 1)] * 2
        assert containers(live) == []
        assert third not in boxed.run("clean", "--dry-run").out

    def test_doctor_finds_all_that_a_run_needs(self, boxed: Any) -> None:
        ended = boxed.run("doctor", "--json", OPENAI_API_KEY="sk-never-shown")
        assert ended.code == 0, ended.out
        found = json.loads(ended.out)
        assert found["docker_runs"] is True
        checks = {(check["group"], check["name"]): check for check in found["checks"]}
        assert checks["limits", "memory"]["status"] == "ok"
        assert checks["keys", "OPENAI_API_KEY"]["found"] == "in the environment"
        assert "sk-never-shown" not in ended.out
        assert "Runs in docker can work." in boxed.run("doctor").out


class TestWithoutEngine:
    @pytest.mark.parametrize(
        "args",
        [["run"], ["images", "build"], ["images", "list"], ["clean"], ["clean", "--dry-run"]],
    )
    def test_one_message_says_what_to_do(self, boxed: Any, args: list[str]) -> None:
        ended = boxed.run(*args, **NO_ENGINE)
        assert ended.code == 1
        message = ended.err[ended.err.index("error: ") :]
        assert "no Docker Engine answers at unix:///nowhere/docker.sock" in message
        assert "--sandbox process" in message
        assert "Traceback" not in ended.err

    def test_doctor_says_what_follows_and_exits_1(self, boxed: Any) -> None:
        ended = boxed.run("doctor", **NO_ENGINE)
        assert ended.code == 1
        assert "missing" in ended.out
        assert "Runs in docker cannot work" in ended.out
        assert "`--sandbox process` can" in ended.out

    def test_the_process_sandbox_needs_none(self, boxed: Any) -> None:
        ended = boxed.run("run", "-q", "--sandbox", "process", **NO_ENGINE)
        assert ended.code == 0, ended.err
