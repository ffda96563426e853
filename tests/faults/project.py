"""The benchmark that is tormented: questions of two LLM calls each, one of them streamed."""

import json
from dataclasses import dataclass
from pathlib import Path

from faults.provider import is_right

KEY = "sk-the-real-key-of-the-soak"
KEY_VARIABLE = "FAULTS_KEY"

_CONFIG = """\
name: faults
config:
  concurrency: {concurrency}
  timeout_seconds: 60
  proxy: {{provider: openai, base_url: {base_url}, api_key_env: {key}}}
agents:
  - {{name: asker, source: agent, command: python asker.py}}
datasets:
  - {{name: questions, source: questions.jsonl}}
"""
_AGENT = '''\
"""Asks twice, and answers with what came the second time."""
import json, os, sys, urllib.request


def ask(text, stream):
    body = {"model": "gpt-4o-mini", "stream": stream}
    body["messages"] = [{"role": "user", "content": text}]
    request = urllib.request.Request(
        os.environ["OPENAI_BASE_URL"] + "/chat/completions",
        data=json.dumps(body).encode(),
        headers={
            "Authorization": "Bearer " + os.environ["OPENAI_API_KEY"],
            "Content-Type": "application/json",
        },
    )
    with urllib.request.urlopen(request) as reply:
        if not stream:
            return json.load(reply)["choices"][0]["message"]["content"]
        events = [line[6:] for line in reply if line.startswith(b"data: {")]
        choices = [choice for event in events for choice in json.loads(event)["choices"]]
        return "".join(choice["delta"].get("content") or "" for choice in choices)


for line in sys.stdin:
    question = json.loads(line)["input"]
    ask(question + ", call 1", False)
    print(json.dumps({"output": ask(question + ", call 2", True)}), flush=True)
'''


@dataclass(frozen=True, slots=True)
class Project:
    """A directory with the benchmark in it."""

    path: Path
    cases: int
    concurrency: int

    @property
    def expected(self) -> dict[str, str]:
        """Case id to the outcome of an attempt that nothing happened to."""
        return {f"c{n}": "passed" if is_right(n) else "failed" for n in range(self.cases)}

    def run_dir(self, run_id: str) -> Path:
        """Where a run lies."""
        return self.path / "runs" / run_id


def make_project(path: Path, base_url: str, *, cases: int, concurrency: int) -> Project:
    """Write the benchmark into ``path``, which may have an earlier one."""
    (path / "agent").mkdir(parents=True, exist_ok=True)
    (path / "agent" / "asker.py").write_text(_AGENT)
    rows = [
        {"case_id": f"c{n}", "input": f"question {n}", "expected": f"answer {n}"}
        for n in range(cases)
    ]
    (path / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = _CONFIG.format(concurrency=concurrency, base_url=base_url, key=KEY_VARIABLE)
    (path / "pacabench.yaml").write_text(config)
    return Project(path, cases, concurrency)
