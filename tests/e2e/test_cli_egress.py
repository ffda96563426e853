"""Ways out to the web, through the command: recorded, shown, and not lost with a killed harness."""

import json
import signal
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import wait_until

AGENT = '''\
"""Asks the model, waits, asks for two targets that it does not get, and answers."""
import json, os, socket, sys, time, urllib.request

def ask(target):
    with socket.create_connection(("127.0.0.1", 8081)) as sock:
        sock.sendall(f"CONNECT {target} HTTP/1.1\\r\\n\\r\\n".encode())
        return sock.recv(100).split()[1].decode()

for line in sys.stdin:
    case = json.loads(line)
    request = urllib.request.Request(
        os.environ["OPENAI_BASE_URL"] + "/chat/completions",
        json.dumps({"model": "m", "messages": [{"role": "user", "content": "x"}]}).encode(),
        {
            "Authorization": "Bearer " + os.environ["OPENAI_API_KEY"],
            "Content-Type": "application/json",
        },
    )
    urllib.request.urlopen(request).read()
    time.sleep(case["sleep_s"])
    said = [ask("evil.example:443"), ask("10.0.0.1:443")]
    print(json.dumps({"output": " ".join(said)}), flush=True)
'''

CONFIG = """\
name: web
config:
  concurrency: 1
  timeout_seconds: 120
  max_retries: 0
  cache_directory: {cache_dir}
  proxy: {{provider: scripted}}
sandbox: {{memory: 256m, egress: {{allow: ["*.invalid.example:443"]}}}}
agents: [{{name: asker, command: python agent.py}}]
datasets: [{{name: words, source: words.jsonl}}]
"""


@pytest.fixture
def asking(small: Any, cache_dir: Path) -> Callable[[float], Any]:
    """A project whose one case asks for the web after so many seconds."""

    def make(sleep_s: float) -> Any:
        small.write("agent.py", AGENT)
        small.write("pacabench.yaml", CONFIG.format(cache_dir=cache_dir))
        small.cases({"case_id": "c1", "input": "x", "expected": "403 403", "sleep_s": sleep_s})
        return small

    return make


@pytest.mark.docker
@pytest.mark.timeout(300)
def test_what_a_killed_harness_never_heard_of_is_on_record_after_the_resume(
    asking: Callable[[float], Any],
) -> None:
    project = asking(4)
    run_id = f"web-{uuid.uuid4().hex[:8]}"
    running = project.start("run", "-q", "--run-id", run_id)
    wait_until(lambda: project.lines(run_id, "calls.jsonl"), within_s=240)
    running.send_signal(signal.SIGSTOP)  # from here on it hears of nothing
    time.sleep(7)
    assert project.lines(run_id, "egress.jsonl") == []
    running.kill()
    project.ended(running)
    resumed = project.ended(project.start("resume", run_id, "-q"), within_s=240)
    assert resumed.code == 0, resumed.err

    ways = [json.loads(line)["egress"] for line in project.lines(run_id, "egress.jsonl")]
    told = [(way["recovered"], way["egress"]["host"], way["egress"]["reason"]) for way in ways]
    hosts = [("evil.example", "not_listed"), ("10.0.0.1", "address")]
    assert told == [(recovered, *it) for recovered in (True, False) for it in hosts]
    assert len({way["egress"]["egress_id"] for way in ways}) == 4
    assert list((project.path / "runs" / run_id / "spool").iterdir()) == []

    (case,) = json.loads(project.run("export", run_id, "--include-cases").out)["cases"]
    assert (case["outcome"], case["egress"]["denied"], case["egress"]["failed"]) == ("passed", 4, 0)
    shown = project.run("show", run_id, "--case", "c1").out
    assert shown.count("CONNECT evil.example:443") == 2
    assert "denied (recovered)" in shown
    (found,) = json.loads(project.run("show", run_id, "--case", "c1", "--json").out)["cases"]
    assert found["egress"] == ways


def test_plain_processes_do_not_ignore_the_list(asking: Callable[[float], Any]) -> None:
    project = asking(0)
    ended = project.run("run", "--sandbox", "process")
    assert ended.code == 1
    assert "pacabench.yaml:8: sandbox.egress.allow: the process sandbox cannot hold" in ended.err
    assert "Traceback" not in ended.err
    assert not (project.path / "runs").exists()
