"""A benchmark whose answers a model judges: recorded, replayed by nobody, and judged again."""

import json
import re
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from decks import packed_too

from pacabench.testing import Reply, Tokens, provider_in_thread

REAL_KEY = "sk-the-real-canary-0123456789"
KEY = {"FAKE_KEY": REAL_KEY}
CASES = 3
CONFIG = """\
name: judged
config:
  concurrency: 3
  max_retries: 0
  proxy: {{base_url: "{url}", api_key_env: FAKE_KEY, retry_for_seconds: 0}}
sandbox: {{kind: process}}
agents: [{{name: a, command: python agent.py}}]
datasets:
  - name: words
    source: words.jsonl
    evaluator: {{type: llm_judge, model: {judge}, votes: 3}}
"""
AGENT = """\
import json, os, sys, urllib.request

case = json.loads(sys.stdin.readline())
body = {"model": "m", "messages": [{"role": "user", "content": case["input"]}]}
headers = {
    "Authorization": "Bearer " + os.environ["OPENAI_API_KEY"], "Content-Type": "application/json"
}
request = urllib.request.Request(
    os.environ["OPENAI_BASE_URL"] + "/chat/completions", json.dumps(body).encode(), headers
)
said = json.load(urllib.request.urlopen(request))["choices"][0]["message"]["content"]
print(json.dumps({"output": said}))
"""
MARKED = re.compile(r"<ANSWER (\w+)>\n(.*)\n</ANSWER", re.DOTALL)


class Model:
    """Agent and judge; no two of its verdicts are in the same words."""

    def __init__(self) -> None:
        self.judged = 0

    def __call__(self, asked: dict[str, Any]) -> Reply:
        text = asked["messages"][-1]["content"]
        if (found := MARKED.search(text)) is None:
            return Reply(text=text, tokens=Tokens(prompt=7, completion=1))
        self.judged += 1
        right = found[2] != "w1" or asked["model"] == "lenient"
        said = {
            "code": found[1],
            "reasoning": f"verdict {self.judged}",
            "verdict": "correct" if right else "incorrect",
        }
        return Reply(text=json.dumps(said), tokens=Tokens(prompt=100, completion=10))


@pytest.fixture
def benchmark(small: Any) -> Iterator[Any]:
    small.write("agent.py", AGENT)
    small.cases(*({"case_id": f"c{n}", "input": f"w{n}", "expected": "x"} for n in range(CASES)))
    with provider_in_thread(Model()) as provider:
        small.provider = provider
        small.tape = str(small.path.parent / "cassette")
        small.write("pacabench.yaml", CONFIG.format(url=provider.base_url, judge="strict"))
        yield small


def verdicts(project: Any, run: str) -> dict[str, Any]:
    """What the judge said, in its words."""
    path = project.path / "runs" / run / "results.jsonl"
    results = [json.loads(line)["result"] for line in path.read_text().splitlines()]
    return {it["key"]["case_id"]: (it["outcome"], it["evaluation"]) for it in results}


def scored(project: Any, name: str) -> dict[str, Any]:
    """What it said when it judged again."""
    path = project.path / "runs" / "live" / "scores" / f"{name}.jsonl"
    scores = [json.loads(line)["score"] for line in path.read_text().splitlines()[1:]]
    return {it["attempt_id"]: (it["outcome"], it["evaluation"]) for it in scores}


def test_recorded_replayed_without_provider_and_key_and_judged_again(benchmark: Any) -> None:
    provider, tape = benchmark.provider, benchmark.tape
    done = benchmark.run("run", "--record", tape, "--run-id", "live", **KEY)
    assert done.code == 0, done.err + done.out
    judging = f"judging: {CASES * 2} calls, 600 input and 60 output tokens"
    assert judging in done.out
    assert len(provider.books) == CASES * 3  # two votes of three agree
    content = packed_too(benchmark.path.parent / "cassette")
    assert REAL_KEY.encode() not in content
    assert b"sk-judge-" not in content

    benchmark.write("pacabench.yaml", CONFIG.format(url="http://127.0.0.1:9/v1", judge="strict"))
    done = benchmark.run("run", "--replay", tape, "--run-id", "again")
    assert done.code == 0, done.err + done.out
    assert f"Replayed: {CASES * 3} LLM calls answered out of the cassette" in done.out
    assert judging in done.out
    assert verdicts(benchmark, "again") == verdicts(benchmark, "live")

    # The run's answers by the same judge, out of the cassette: no provider, no key.
    done = benchmark.run("score", "again", "--replay", tape, "--json")
    assert done.code == 0, done.err + done.out
    judge = json.loads(done.out)["scores"]["judge"]
    assert (judge["calls"], judge["replayed_calls"]) == (CASES * 2, CASES * 2)

    # By another one: asked once, and recorded beside the run; then it needs nobody either.
    benchmark.write("pacabench.yaml", CONFIG.format(url=provider.base_url, judge="lenient"))
    asked, other = len(provider.books), str(benchmark.path.parent / "lenient")
    done = benchmark.run("score", "live", "--record", other, "--name", "one", **KEY)
    assert done.code == 0, done.err + done.out
    assert judging in done.out
    assert len(provider.books) == asked + CASES * 2
    done = benchmark.run("score", "live", "--replay", other, "--name", "two")
    assert done.code == 0, done.err + done.out
    assert f"judging: {CASES * 2} calls ({CASES * 2} replayed)" in done.out
    assert len(provider.books) == asked + CASES * 2
    assert scored(benchmark, "one") == scored(benchmark, "two")
    assert {outcome for outcome, _ in scored(benchmark, "one").values()} == {"passed"}

    # Where the cassette holds none of it, that is said, and nobody is asked.
    done = benchmark.run("score", "live", "--replay", tape, "--name", "three")
    assert done.code == 3
    assert f"{CASES} without a match in the cassette" in done.out
    assert len(provider.books) == asked + CASES * 2


def judge_calls(project: Any, run: str) -> list[dict[str, Any]]:
    path = project.path / "runs" / run / "judge.jsonl"
    return [json.loads(line)["call"] for line in path.read_text().splitlines()]


def test_a_call_that_was_under_way_at_a_kill_is_in_the_books_after_resume(small: Any) -> None:
    small.write("agent.py", AGENT)
    small.cases(*({"case_id": f"c{n}", "input": f"w{n}", "expected": "x"} for n in range(CASES)))
    model = Model()
    under_way = threading.Event()

    def first_takes_its_time(asked: dict[str, Any]) -> Reply:
        reply = model(asked)
        if model.judged != 1 or under_way.is_set() or asked["model"] == "m":
            return reply
        under_way.set()
        return replace(reply, delay_s=60)

    with provider_in_thread(first_takes_its_time) as provider:
        text = CONFIG.format(url=provider.base_url, judge="strict").replace("votes: 3", "votes: 1")
        text = text.replace("concurrency: 3", "concurrency: 1") + "budget: {tokens: 1000000}\n"
        small.write("pacabench.yaml", text)
        process = small.start("run", "--run-id", "cut", **KEY)
        try:
            assert under_way.wait(60)
        finally:
            process.kill()
        small.ended(process)
        done = small.run("resume", "cut", **KEY)
        assert done.code == 0, done.err + done.out
        asked = [it for it in provider.books if it.model == "strict"]
    calls = judge_calls(small, "cut")
    assert len(calls) == len(asked) == CASES + 1
    (cut,) = [call for call in calls if call["recovered"]]
    assert (cut["call"]["end"], cut["call"]["usage"]) == ("interrupted", None)
    assert cut["key"]["case_id"] == "c0"
    assert cut["call"]["reserved_tokens"] > 100
    assert not list((small.path / "runs" / "cut" / "spool").iterdir())

    run = json.loads(small.run("export", "cut").out)["run"]
    assert run["judge"]["calls"] == CASES + 1
    assert run["judge"]["uncounted_calls"] == 1
    charged = CASES * (8 + 110) + 8 + cut["call"]["reserved_tokens"]  # the agent's c0 ran twice
    assert run["budget"]["run"]["spent_tokens"] == charged
    assert f"judging: {CASES + 1} calls" in small.run("show", "cut").out
