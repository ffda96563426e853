"""A benchmark whose agent needs a Redis, run as a user does: killed, resumed, changed."""

import json
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import docker
import pytest

from tests.integration.docker.databases import redis_image

pytestmark = [pytest.mark.docker, pytest.mark.timeout(600)]  # images may have to be made

AGENT = r'''
"""Counts up in its Redis: a fresh one says 1."""
import json, socket, sys, time

case = json.loads(sys.stdin.readline())
time.sleep(case["metadata"].get("sleep_s", 0))
with socket.create_connection(("127.0.0.1", 6379), timeout=20) as redis:
    redis.sendall(case["input"].encode() + b"\r\n")
    said = redis.recv(100).decode().strip()
if not said:
    time.sleep(100)
print(json.dumps({"output": said}), flush=True)
'''

CONFIG = """\
name: counted
config:
  concurrency: 2
  timeout_seconds: 120
  max_retries: 1
  cache_directory: {cache}
  proxy: {{enabled: false}}
sandbox: {{memory: 256m}}
agents:
  - name: counts
    command: python3 agent.py
    services:
      - name: redis
        image: {image}
        command: redis-server --save ''
        healthcheck: {{tcp: 6379}}
        memory: 64m
datasets:
  - {{name: words, source: words.jsonl}}
"""


@pytest.fixture
def counted(small: Any, cache_dir: Path) -> Any:
    small.write("agent.py", AGENT)
    small.write("pacabench.yaml", CONFIG.format(cache=cache_dir, image=redis_image(cache_dir)))
    return small


@pytest.fixture
def services() -> Callable[[str], list[str]]:
    """Roles of all containers of a run."""

    def find(run_id: str) -> list[str]:
        client = docker.from_env()
        try:
            found = client.api.containers(all=True, filters={"label": f"pacabench.run={run_id}"})
        finally:
            client.close()
        return sorted(container["Labels"]["pacabench.role"] for container in found)

    return find


def cases(*inputs: str, **more: Any) -> list[dict[str, Any]]:
    return [
        {"case_id": f"{text}-{number}", "input": text, "expected": ":1", **more}
        for number, text in enumerate(inputs)
    ]


def results(project: Any, run_id: str) -> list[dict[str, Any]]:
    return [json.loads(line)["result"] for line in project.lines(run_id)]


def test_a_killed_run_is_resumed_with_fresh_services_and_nothing_is_left(
    counted: Any, services: Callable[[str], list[str]]
) -> None:
    run_id = f"cli-{uuid.uuid4().hex[:8]}"
    counted.cases(*cases(*["INCR n"] * 3), *cases("INCR slow", "INCR slow", sleep_s=6))
    killed = counted.start("run", "-q", "--run-id", run_id)
    counted.wait_for_results(run_id, 3, within_s=300)
    assert "service" in services(run_id)
    killed.kill()
    counted.ended(killed)
    ended = counted.ended(counted.start("resume", run_id, "-q"), within_s=300)
    assert ended.code == 0, ended.err
    assert services(run_id) == []
    found = results(counted, run_id)
    assert {(item["outcome"], item["output"]) for item in found} == {("passed", ":1")}
    assert len({item["key"]["case_id"] for item in found}) == len(found) == 5
    manifest = json.loads((counted.path / "runs" / run_id / "run.json").read_text())
    assert manifest["sandbox"]["image_digests"].keys() == {"counts", "counts/redis", "sidecar"}

    text = (counted.path / "pacabench.yaml").read_text()
    counted.write("pacabench.yaml", text.replace("memory: 64m", "memory: 65m"))
    refused = counted.run("resume", run_id)
    assert refused.code != 0
    assert "agents.counts.services.redis.memory: 67108864 -> 68157440" in refused.err


def test_a_service_that_dies_under_a_case_is_infrastructure_and_the_run_goes_on(
    counted: Any, services: Callable[[str], list[str]]
) -> None:
    run_id = f"cli-{uuid.uuid4().hex[:8]}"
    counted.cases(*cases("SHUTDOWN NOSAVE", "INCR n"))
    ended = counted.ended(counted.start("run", "-q", "--run-id", run_id), within_s=300)
    assert "1 passed" in ended.out
    assert ended.code != 0
    first, second, last = sorted(results(counted, run_id), key=lambda item: item["outcome"])[::-1]
    assert {first["outcome"], second["outcome"], last["outcome"]} == {"sandbox_error", "passed"}
    assert first["number"] + second["number"] == 3  # it was tried again
    assert "service 'redis' of agent 'counts' exited with code 0" in first["error"]
    assert services(run_id) == []
    listed = counted.run("images", "build").out
    assert "counts/redis" in listed
