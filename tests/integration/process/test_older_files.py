"""Benchmarks in the shapes that files of this format have had: they load and run as they are.

Their sources are stand-ins on this machine: a provider that keeps books, a repository, a judge.
"""

import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pacabench.model import CaseResult, Outcome
from pacabench.report.view import RunView, read_view
from pacabench.run import RunRequest, start_run
from pacabench.scheduler import Stop
from pacabench.store import load_run
from pacabench.testing import FakeProvider, Reply, Request, provider_in_thread

ASKS = """\
import json, os, sys, urllib.request

for line in sys.stdin:
    case = json.loads(line)
    told = "\\n".join(message["content"] for message in case["history"])
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": told + case["input"]}]}
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
"""
SMOKE = """\
name: my-benchmark
description: Example benchmark
version: "0.1.0"
config:
  concurrency: 2
  timeout_seconds: 60
  proxy:
    enabled: true
    provider: "openai"
agents:
  - name: "echo-agent"
    command: "python agents/echo_agent.py"
    env:
      OPENAI_API_KEY: "${OPENAI_API_KEY}"
datasets:
  - name: "example-data"
    source: "data/example.jsonl"
    input_map:
      input: "question"
      expected: "answer"
    evaluator:
      type: "exact_match"
output:
  directory: "./runs"
"""
GAIA = """\
name: gaia-benchmark
version: "0.1.0"
config:
  concurrency: 1
  timeout_seconds: 120
agents:
  - name: "smolagent"
    command: "python agents/echo_agent.py"
datasets:
  - name: "gaia-validation"
    source: "data/validation.jsonl"
    input_map:
      input: "input"
      expected: "expected"
    evaluator:
      type: "llm_judge"
      model: "gpt-4o-mini"
output:
  directory: "./runs"
"""
MEMBENCH = """\
name: membench-qa-test
version: "1.0.0"
config:
  concurrency: 10
  timeout_seconds: 600
  proxy:
    enabled: true
    provider: "openai"
agents:
  - name: "long-context-baseline"
    command: "python agents/echo_agent.py"
    env:
      OPENAI_API_KEY: "${OPENAI_API_KEY}"
datasets:
  - name: "membench"
    source: "git:URL"
    prepare: "python scripts/prepare.py"
    input_map:
      input: "question"
      expected: "ground_truth"
    evaluator:
      type: "multiple_choice"
      extra_config:
        fallback: "f1"
output:
  directory: "./runs"
"""
PREPARE = """\
import json, os
from pathlib import Path

base = Path(os.environ["PACABENCH_DATASET_PATH"])
with open(base / "membench.jsonl", "w") as out:
    for file in sorted((base / "MemData" / "FirstAgent").glob("*.json")):
        for record in json.loads(file.read_text())["events"]:
            qa = record["QA"]
            row = {
                "case_id": f"{file.stem}-{record['tid']}",
                "question": qa["question"],
                "ground_truth": qa["ground_truth"],
                "choices": qa.get("choices") or {},
                "history": [{"role": "user", "content": text} for text in record["message_list"]],
                "answer_text": qa["answer"],
            }
            out.write(json.dumps(row) + "\\n")
"""
MARKED = re.compile(r"<ANSWER (\w+)>\n(.*)\n</ANSWER", re.DOTALL)
EXPECTED = re.compile(r"<EXPECTED \w+>\n(.*)\n</EXPECTED", re.DOTALL)


def answer(request: Request) -> Reply:
    """Plays the agents' model and the judge's: the judge compares, the other one knows little."""
    text = request["messages"][-1]["content"]
    if (marked := MARKED.search(text)) is not None:
        expected = EXPECTED.search(text)
        assert expected is not None
        same = marked[2].strip(".").lower().endswith(expected[1].lower())
        verdict = "correct" if same else "incorrect"
        return Reply(text=json.dumps({"code": marked[1], "reasoning": "", "verdict": verdict}))
    return Reply(text="The answer is (B)." if "a dog" in text else "It is Paris.")


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeProvider]:
    with provider_in_thread(answer) as opened:
        monkeypatch.setenv("OPENAI_API_KEY", "sk-the-real-key")
        monkeypatch.setenv("PACABENCH_CONFIG__PROXY__BASE_URL", opened.base_url)
        yield opened


@pytest.fixture
def run(tmp_path: Path, provider: FakeProvider) -> Callable[..., Any]:
    async def carry_out(text: str, **files: str) -> tuple[RunView, dict[str, CaseResult]]:
        project = tmp_path / "project"
        for name, content in {
            "agents/echo_agent.py": ASKS,
            "pacabench.yaml": text,
            **files,
        }.items():
            (project / name).parent.mkdir(parents=True, exist_ok=True)
            (project / name).write_text(content)
        request = RunRequest(project / "pacabench.yaml", {"sandbox.kind": "process"}, run_id="run")
        report = await start_run(
            request, accept_changes=False, listener=lambda _: None, stop=Stop()
        )
        record = load_run(report.run_dir)
        return read_view(record), {result.key.case_id: result for result in record.results()}

    return carry_out


def lines(*rows: dict[str, Any]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


async def test_a_smoke_test(run: Callable[..., Any], provider: FakeProvider) -> None:
    rows = [
        {"question": "Capital of France?", "answer": "It is Paris."},
        {"question": "2+2?", "answer": "4"},
    ]
    view, results = await run(SMOKE, **{"data/example.jsonl": lines(*rows)})
    assert sorted(result.outcome for result in results.values()) == ["failed", "passed"]
    assert view.summary.total.usage.calls == len(provider.books) == 2
    assert {entry.key for entry in provider.books} == {"sk-the-real-key"}


async def test_gaia_with_a_judge(run: Callable[..., Any], provider: FakeProvider) -> None:
    rows = [
        {"case_id": "t1", "input": "Capital?", "expected": "Paris", "level": "1"},
        {
            "case_id": "t2",
            "input": "River?",
            "expected": "Seine",
            "level": "2",
            "file_name": "x.png",
        },
    ]
    view, results = await run(GAIA, **{"data/validation.jsonl": lines(*rows)})
    assert results["t1"].outcome is Outcome.PASSED
    assert results["t2"].outcome is Outcome.FAILED
    assert (view.summary.total.usage.calls, view.judge.calls) == (2, 2)
    assert len(provider.books) == 4


async def test_membench_from_a_repository_that_is_prepared(
    run: Callable[..., Any], tmp_path: Path
) -> None:
    there = tmp_path / "there" / "Membench.git"
    (there / "MemData" / "FirstAgent").mkdir(parents=True)
    qa = {"question": "Which pet?", "choices": {"A": "a cat", "B": "a dog"}, "answer": "a dog"}
    events = [
        {"tid": 0, "message_list": ["I have a dog."], "QA": {**qa, "ground_truth": "B"}},
        {"tid": 1, "message_list": ["I have a cat."], "QA": {**qa, "ground_truth": "A"}},
        {
            "tid": 2,
            "message_list": ["We met in Paris."],
            "QA": {"question": "Where?", "ground_truth": "Paris", "answer": "Paris"},
        },
    ]
    (there / "MemData" / "FirstAgent" / "simple.json").write_text(json.dumps({"events": events}))
    git(there, "init", "--quiet")
    git(there, "add", ".")
    git(there, "commit", "--quiet", "-m", "x")

    view, results = await run(
        MEMBENCH.replace("URL", f"file://{there}"), **{"scripts/prepare.py": PREPARE}
    )
    outcomes = {case: result.outcome.value for case, result in results.items()}
    # "It is Paris." against "Paris" is an F1 of 0.5, and half is enough.
    assert outcomes == {"simple-0": "passed", "simple-1": "failed", "simple-2": "passed"}
    assert results["simple-0"].evaluation is not None
    assert results["simple-0"].evaluation.details["read_by"] == "statement"
    revisions = view.record.manifest.dataset_revisions
    assert revisions == {"membench": git(there, "rev-parse", "HEAD")}


def git(folder: Path, *words: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@t"]
    quiet = {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null"}
    done = subprocess.run(
        ["git", *identity, *words],
        cwd=folder,
        env=quiet,
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()
