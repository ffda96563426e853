"""A published multiple-choice set out of a git repository: two agents, and the accuracies that they
must have."""

import json
import subprocess
from typing import Any

from mmlu import EVALUATOR, FILE, ROWS

from pacabench.testing import Reply, provider_in_thread

CASES = 60
CONFIG = """\
name: mmlu
config: {{concurrency: 4, proxy: {{base_url: "{url}", api_key_env: FAKE_KEY}}}}
sandbox: {{kind: process, isolation: worker}}
agents:
  - {{name: good, command: python agent.py, env: {{MODEL: good}}}}
  - {{name: weak, command: python agent.py, env: {{MODEL: weak}}}}
datasets:
  - name: mmlu
    source: "git:{repository}@v1#dev/mmlu.jsonl"
    input_map: {{case_id: id, input: question, expected: answer}}
    hide: [reasoning]
    evaluator: {evaluator}
"""
AGENT = """\
import json, os, sys, urllib.request

headers = {
    "Authorization": "Bearer " + os.environ["OPENAI_API_KEY"], "Content-Type": "application/json"
}
for line in sys.stdin:
    case = json.loads(line)
    assert "reasoning" not in line and "answer" not in case["metadata"]
    options = "".join(f" ({a}) {b}" for a, b in zip("ABCD", case["metadata"]["choices"]))
    said = {"role": "user", "content": case["input"] + options}
    body = {"model": os.environ["MODEL"], "messages": [said]}
    url = os.environ["OPENAI_BASE_URL"] + "/chat/completions"
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    reply = json.load(urllib.request.urlopen(request))
    print(json.dumps({"output": reply["choices"][0]["message"]["content"]}), flush=True)
"""


def asked_in(row: dict[str, Any]) -> str:
    options = "".join(
        f" ({letter}) {choice}" for letter, choice in zip("ABCD", row["choices"], strict=True)
    )
    return f"{row['question']}{options}"


UNKNOWN = {asked_in(row) for row in ROWS[:CASES:4]}
"""To the weak model, which says the next letter. One of them is in the set twice."""
KNOWN = sum(asked_in(row) not in UNKNOWN for row in ROWS[:CASES])


def says(asked: dict[str, Any]) -> Reply:
    """A model that answers in the words that are published for the question."""
    text = asked["messages"][-1]["content"]
    row = next(row for row in ROWS if text == asked_in(row))
    reasoning = row["reasoning"]
    if asked["model"] == "weak" and text in UNKNOWN:
        other = "ABCD"[("ABCD".index(row["answer"]) + 1) % 4]
        reasoning = reasoning.replace(f"answer is ({row['answer']})", f"answer is ({other})")
    return Reply(text=reasoning)


def commit(folder: Any, *commands: str) -> None:
    for command in commands:
        subprocess.run(["git", "-C", str(folder), *command.split()], check=True, timeout=30)


def test_accuracies_of_two_agents_are_what_their_models_know(small: Any) -> None:
    repository = small.path.parent / "questions"
    (repository / "dev").mkdir(parents=True)
    (repository / "dev" / "mmlu.jsonl").write_bytes(FILE.read_bytes())
    who = "-c user.name=a -c user.email=a@example.org"
    commit(repository, "init -q", "add .", f"{who} commit -q -m questions", "tag v1")
    small.write("agent.py", AGENT)
    with provider_in_thread(says) as provider:
        small.write(
            "pacabench.yaml",
            CONFIG.format(
                url=provider.base_url, repository=repository, evaluator=json.dumps(EVALUATOR)
            ),
        )
        args = ("--limit", str(CASES), "--run-id", "mmlu")
        done = small.run("run", *args, FAKE_KEY="sk-fake-0123456789")
        assert done.code == 0, done.err + done.out
        assert len(provider.books) == 2 * CASES
    export = json.loads(small.run("export", "mmlu").out)
    figures = {agent["name"]: agent for agent in export["agents"]}
    assert (figures["good"]["passed"], figures["good"]["cases"]) == (CASES, CASES)
    assert figures["weak"]["passed"] == KNOWN == 44
    assert figures["weak"]["accuracy"] == KNOWN / CASES
    revision = subprocess.run(
        ["git", "-C", str(repository), "rev-parse", "v1"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert export["run"]["dataset_revisions"] == {"mmlu": revision.stdout.strip()}
