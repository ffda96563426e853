"""A GSM8K benchmark against a provider that keeps books: shared by the proof and its tests.

The provider answers a known share of the problems right and bills every call with token counts of
its own, so accuracy, calls and tokens in an export can be compared with its books exactly.

Run as a script it makes the whole proof on all cases:

    python tests/support/gsm8k.py DATA.jsonl [--cases N] [--kills N] [--sandbox docker|process]
"""

import argparse
import hashlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from pacabench.testing import FakeProvider, Reply, Request, Tokens, provider_in_thread

REPOSITORY = Path(__file__).parent.parent.parent
RIGHT_SHARE = 0.7
KEY = "sk-the-real-key-that-no-agent-may-see"
MODEL = "gpt-4o-mini"
_NUMBER = re.compile(r"#### (.+)")

CONFIG = """\
name: gsm8k
config:
  concurrency: {concurrency}
  timeout_seconds: 120
  proxy:
    provider: openai
    base_url: {base_url}
    api_key_env: GSM8K_KEY
agents:
  - name: solver
    command: python agents/solver.py
    requirements: requirements.txt
datasets:
  - name: gsm8k
    source: data.jsonl
    input_map: {{input: question, expected: answer}}
    evaluator:
      type: numeric
      extract: '####\\s*(-?\\$?[\\d.,]+)'
      expected_extract: '####\\s*(-?\\$?[\\d.,]+)'
"""


def is_right(question: str) -> bool:
    """Whether the provider knows the answer: a fixed share of all questions."""
    digest = hashlib.sha256(question.encode()).digest()
    return int.from_bytes(digest[:4], "big") / 2**32 < RIGHT_SHARE


@dataclass
class Problems:
    """The data set, and the provider's answers to it."""

    answers: dict[str, str]
    pause_s: float = 0.0

    @property
    def right(self) -> int:
        return sum(map(is_right, self.answers))

    def reply(self, request: Request) -> Reply:
        """Right or wrong as the question decides; billed as the question's hash decides."""
        question = request["messages"][-1]["content"]
        number = _NUMBER.search(self.answers[question])
        assert number is not None
        said = number[1] if is_right(question) else f"{number[1]}7"
        digest = hashlib.sha256(b"tokens" + question.encode()).digest()
        tokens = Tokens(
            prompt=200 + digest[0],
            completion=50 + digest[1],
            cached=digest[2] % 128,
            reasoning=digest[3] % 40,
        )
        return Reply(text=f"Let me think.\n#### {said}", tokens=tokens, pause_s=self.pause_s)


def read_problems(data: Path, cases: int | None) -> tuple[Problems, bytes]:
    """The first ``cases`` problems, and their lines."""
    lines = data.read_bytes().splitlines(keepends=True)[:cases]
    rows = [json.loads(line) for line in lines]
    return Problems({row["question"]: row["answer"] for row in rows}), b"".join(lines)


def make_project(folder: Path, lines: bytes, base_url: str, *, concurrency: int) -> None:
    """A benchmark as a user would write it, with the agent of the GSM8K example."""
    example = REPOSITORY / "examples" / "gsm8k"
    (folder / "agents").mkdir(parents=True)
    (folder / "agents" / "solver.py").write_bytes((example / "agents" / "solver.py").read_bytes())
    (folder / "requirements.txt").write_bytes((example / "requirements.txt").read_bytes())
    (folder / "data.jsonl").write_bytes(lines)
    (folder / "pacabench.yaml").write_text(
        CONFIG.format(concurrency=concurrency, base_url=base_url)
    )


class Harness:
    """The ``pacabench`` command in a project's directory."""

    def __init__(self, project: Path, cache: Path) -> None:
        self.project = project
        self.environ = {
            **os.environ,
            "GSM8K_KEY": KEY,
            "PACABENCH_CONFIG__CACHE_DIRECTORY": str(cache),
        }

    def start(self, *arguments: str) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            [sys.executable, "-m", "pacabench", *arguments],
            cwd=self.project,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def run(self, *arguments: str, timeout_s: float = 3600) -> tuple[int, bytes]:
        process = self.start(*arguments)
        output, _ = process.communicate(timeout=timeout_s)
        return process.returncode, output

    def export(self, run_id: str) -> dict[str, Any]:
        done = subprocess.run(
            [sys.executable, "-m", "pacabench", "export", run_id, "--include-cases"],
            cwd=self.project,
            env=self.environ,
            capture_output=True,
            check=True,
        )
        exported: dict[str, Any] = orjson.loads(done.stdout)
        return exported

    def run_with_kills(self, run_id: str, sandbox: str, kills: int, span_s: float) -> list[str]:
        """Start the run and kill it ``kills`` times, each after up to ``span_s`` of work."""
        said = []
        for number in range(kills):
            process = self.start("run", "--sandbox", sandbox, "--run-id", run_id)
            delay_s = random.uniform(0.3, span_s)
            try:
                process.wait(timeout=delay_s)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
            output, _ = process.communicate()
            said.append(f"kill {number + 1} after {delay_s:.1f} s: {process.returncode}")
            if process.returncode not in {-signal.SIGKILL, 0}:
                raise AssertionError(output.decode("utf-8", "replace"))
        return said


def compare(exported: dict[str, Any], provider: FakeProvider, problems: Problems) -> list[str]:
    """Everything in which the export differs from the provider's books and the known answers."""
    (agent,) = exported["agents"]
    billed = [entry for entry in provider.books if entry.tokens is not None]
    totals = provider.totals()
    expected = {
        "cases": len(problems.answers),
        "passed": problems.right,
        "failed": len(problems.answers) - problems.right,
        "infrastructure": 0,
        "accuracy": problems.right / len(problems.answers),
        "calls": len(billed),
        "input_tokens": totals.prompt,
        "output_tokens": totals.completion,
        "cached_tokens": totals.cached,
        "reasoning_tokens": totals.reasoning,
    }
    wrong = [
        f"{name}: exported {agent[name]}, in the books {value}"
        for name, value in expected.items()
        if agent[name] != value
    ]
    ids = Counter(case["case_id"] for case in exported["cases"])
    wrong += [
        f"case {case_id} appears {count} times" for case_id, count in ids.items() if count > 1
    ]
    if len(ids) != len(problems.answers):
        wrong.append(f"{len(ids)} cases of {len(problems.answers)}")
    for name in ("calls", "input_tokens", "output_tokens", "cached_tokens"):
        total = sum(case[name] for case in exported["cases"])
        if total != expected[name]:
            wrong.append(f"cases' {name} add up to {total}, in the books {expected[name]}")
    keys = {entry.key for entry in provider.books}
    if keys != {KEY}:
        wrong.append("a key other than the real one reached the provider")
    return wrong


def prove(
    data: Path,
    *,
    cases: int | None,
    kills: int,
    sandbox: str,
    cache: Path,
    span_s: float,
    pause_s: float = 0.0,
) -> dict[str, Any]:
    """Run everything, compare, and return the figures. Raises AssertionError on any difference."""
    problems, lines = read_problems(data, cases)
    problems.pause_s = pause_s
    with (
        tempfile.TemporaryDirectory() as folder,
        provider_in_thread(problems.reply) as provider,
    ):
        project = Path(folder) / "project"
        make_project(project, lines, provider.base_url, concurrency=4)
        harness = Harness(project, cache)
        started = time.monotonic()
        said = harness.run_with_kills("proof", sandbox, kills, span_s) if kills else []
        code, output = harness.run("run", "--sandbox", sandbox, "--run-id", "proof")
        assert code == 0, output.decode("utf-8", "replace")
        exported = harness.export("proof")
        wrong = compare(exported, provider, problems)
        assert not wrong, "\n".join([*said, *wrong])
        (agent,) = exported["agents"]
        return {**agent, "seconds": round(time.monotonic() - started, 1), "kills": said}


def main() -> None:
    """Make the proof and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--cases", type=int)
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--span", type=float, default=60.0)
    parser.add_argument("--sandbox", default="docker")
    parser.add_argument("--pause", type=float, default=0.0, help="seconds between events")
    options = parser.parse_args()
    figures = prove(
        options.data,
        cases=options.cases,
        kills=options.kills,
        sandbox=options.sandbox,
        cache=REPOSITORY / ".pacabench" / "test-cache",
        span_s=options.span,
        pause_s=options.pause,
    )
    print(json.dumps(figures, indent=2))  # noqa: T201 - what the script is for


if __name__ == "__main__":
    main()
