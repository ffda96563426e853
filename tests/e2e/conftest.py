"""The installed ``pacabench`` command, and a small project to try it on."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

PACABENCH = Path(sys.executable).with_name("pacabench")

AGENT = '''\
"""Waits for what the case says, asks the proxy, and answers."""
import json, os, sys, time, urllib.request

for line in sys.stdin:
    case = json.loads(line)
    time.sleep(case.get("sleep_s", 0))
    if "gate" in case:
        open(case["gate"] + ".began", "w").close()
        while not os.path.exists(os.path.dirname(case["gate"]) + "/open"):
            time.sleep(0.02)
    body = {"model": "m", "messages": [{"role": "user", "content": case["input"]}]}
    request = urllib.request.Request(
        os.environ["OPENAI_BASE_URL"] + "/chat/completions",
        data=json.dumps(body).encode(),
        headers={
            "Authorization": "Bearer " + os.environ["OPENAI_API_KEY"],
            "Content-Type": "application/json",
        },
    )
    reply = json.load(urllib.request.urlopen(request))
    print(json.dumps({"output": reply["choices"][0]["message"]["content"]}), flush=True)
'''

CONFIG = """\
name: small
config:
  concurrency: 2
  timeout_seconds: 30
  max_retries: 0
  proxy: {provider: scripted, rules: rules.yaml}
sandbox: {kind: process}
agents:
  - {name: first, command: python agent.py}
  - {name: second, command: python agent.py}
datasets:
  - {name: words, source: words.jsonl}
"""


@dataclass
class Ended:
    """A command that has ended."""

    code: int
    out: str
    err: str


class Project:
    """A directory with a benchmark, and the command run in it as a user would."""

    command = PACABENCH

    def __init__(self, path: Path) -> None:
        self.path = path
        self.started: list[subprocess.Popen[str]] = []
        self.gates = path.parent / "gates"

    def write(self, name: str, text: str) -> None:
        (self.path / name).write_text(text, encoding="utf-8")

    def cases(self, *cases: dict[str, Any]) -> None:
        """Write the data set. A case with a ``gate`` waits until :meth:`open_gates`."""
        # Outside the project: a file in an agent's source changes the agent.
        self.gates.mkdir(exist_ok=True)
        for case in cases:
            if "gate" in case:
                case["gate"] = str(self.gates / case["gate"])
        self.write("words.jsonl", "".join(json.dumps(case) + "\n" for case in cases))

    def start(self, *args: str, **env: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [PACABENCH, *args],
            cwd=self.path,
            env=self.environment(**env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.started.append(process)
        return process

    def run(self, *args: str, **env: str) -> Ended:
        return self.ended(self.start(*args, **env))

    def ended(self, process: subprocess.Popen[str], *, within_s: float = 90) -> Ended:
        out, err = process.communicate(timeout=within_s)
        return Ended(process.returncode, out, err)

    def environment(self, **changes: str) -> dict[str, str]:
        """What a shell would give; no provider's key, and nothing of ours."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("PACABENCH_") and not name.endswith("_API_KEY")
        }
        return {**kept, "COLUMNS": "200", **changes}

    def open_gates(self) -> None:
        """Let cases go on that wait, those of later runs too."""
        (self.gates / "open").touch()

    def lines(self, run_id: str, name: str = "results.jsonl") -> list[str]:
        file = self.path / "runs" / run_id / name
        return file.read_text().splitlines() if file.exists() else []

    def wait_for_began(self, *gates: str) -> None:
        wait_until(lambda: all((self.gates / f"{gate}.began").exists() for gate in gates))

    def wait_for_results(self, run_id: str, count: int, *, within_s: float = 60) -> None:
        wait_until(lambda: len(self.lines(run_id)) >= count, within_s=within_s)


def wait_until(condition: Callable[[], bool], *, within_s: float = 60) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


@pytest.fixture(autouse=True, scope="session")
def signals_of_a_foreground_job() -> Iterator[None]:
    """Tests that run behind ``&`` or ``nohup`` ignore signals, and the command inherits that."""
    ignored = [
        number
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        if signal.getsignal(number) is signal.SIG_IGN
    ]
    for number in ignored:
        signal.signal(number, signal.SIG_DFL)
    yield
    for number in ignored:
        signal.signal(number, signal.SIG_IGN)


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Project]:
    """Two agents and three cases, of which one gets a wrong answer. No LLM, no engine."""
    project = Project(tmp_path / "project")
    project.path.mkdir()
    project.write("pacabench.yaml", CONFIG)
    project.write("agent.py", AGENT)
    project.write("rules.yaml", "- {contains: three, reply: wrong}\n")
    project.cases(
        {"case_id": "c1", "input": "one", "expected": "one"},
        {"case_id": "c2", "input": "two", "expected": "two"},
        {"case_id": "c3", "input": "three", "expected": "three"},
    )
    yield project
    for process in project.started:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.communicate()
