"""A benchmark recorded, and run again with its provider gone and no key: the same results."""

import json
import random
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest
from decks import packed_too

from pacabench.testing import FakeProvider, Reply, Tokens, provider_in_thread

REAL_KEY = "sk-the-real-canary-0123456789"
KEY = {"FAKE_KEY": REAL_KEY}
CASES = 5
CONFIG = """\
name: recorded
config:
  concurrency: {concurrency}
  timeout_seconds: 60
  max_retries: 1
  proxy:
    base_url: "{url}"
    api_key_env: FAKE_KEY
    replay: {{ignore: [/user]}}
sandbox: {{kind: {sandbox}}}
agents:
  - {{name: first, command: python agent.py}}
  - {{name: second, command: python agent.py}}
datasets: [{{name: words, source: words.jsonl}}]
"""
AGENT = '''\
"""Asks the same thing three times, one of them as a stream, and answers with all three."""
import json, os, random, sys, time, urllib.request

def ask(body):
    request = urllib.request.Request(
        os.environ["OPENAI_BASE_URL"] + "/chat/completions",
        data=json.dumps(body).encode(),
        headers={
            "Authorization": "Bearer " + os.environ["OPENAI_API_KEY"],
            "Content-Type": "application/json",
        },
    )
    return urllib.request.urlopen(request).read().decode()

for line in sys.stdin:
    case = json.loads(line)
    # Another user each time, the key in it: what is ignored must not matter.
    body = {"model": "m", "user": os.environ["OPENAI_API_KEY"] + str(random.random()),
            "messages": [{"role": "user", "content": case["input"] + os.environ.get("MORE", "")}]}
    one = json.loads(ask(body))["choices"][0]["message"]["content"]
    two = json.loads(ask(body))["choices"][0]["message"]["content"]
    three = ask(body | {"stream": True})
    words = [json.loads(part[6:]) for part in three.split("\\n\\n") if part.startswith("data: {")]
    text = "".join(it["choices"][0]["delta"].get("content") or "" for it in words if it["choices"])
    print(json.dumps({"output": one if case["input"] != "w3" else [one, two, text]}), flush=True)
'''


class Model:
    """Says the word, and how often it was asked: no two answers to a request are the same."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, asked: dict[str, Any]) -> Reply:
        self.count += 1
        said = asked["messages"][-1]["content"]
        right = said != "w1"
        tokens = Tokens(prompt=100 + self.count, completion=self.count, cached=self.count % 7)
        text = f"{said}" if right else "wrong"
        if said == "w3":
            text = f"{said} for the {self.count}th time"
        return Reply(text=text, tokens=tokens)


def configure(project: Any, url: str, *, sandbox: str = "process", concurrency: int = 3) -> None:
    project.write(
        "pacabench.yaml", CONFIG.format(url=url, sandbox=sandbox, concurrency=concurrency)
    )


@pytest.fixture
def recorded(small: Any) -> Iterator[Any]:
    small.write("agent.py", AGENT)
    small.cases(
        *({"case_id": f"c{n}", "input": f"w{n}", "expected": f"w{n}"} for n in range(CASES))
    )
    with provider_in_thread(Model()) as provider:
        small.provider = provider
        small.cassette = small.path.parent / "cassette"
        configure(small, provider.base_url)
        yield small


def exported(project: Any, run: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(project.run("export", run, "--include-cases").out)
    return found


TIMES = {"duration_ms", "provider_wait_ms", "ttft_ms", "latency_ms"}
OF_REPLAY = {"replayed_calls", "unmatched_calls"}


def told(value: Any) -> Any:
    """Everything in an export's part that is not about time or about its being replayed."""
    if isinstance(value, dict):
        return {
            name: told(member)
            for name, member in value.items()
            if name not in TIMES | OF_REPLAY and not name.startswith("latency")
        }
    return [told(part) for part in value] if isinstance(value, list) else value


def books(provider: FakeProvider) -> tuple[int, int]:
    return len(provider.books), provider.totals().prompt


def replay_and_compare(project: Any, live: dict[str, Any], **config: Any) -> dict[str, Any]:
    """Run again with another order and concurrency, nobody at the address, and no key."""
    configure(project, "http://127.0.0.1:9/v1", **config)
    words = project.path / "words.jsonl"
    lines = words.read_text().splitlines(keepends=True)
    words.write_text("".join(random.sample(lines, len(lines))))
    run = f"again-{time.monotonic_ns()}"
    done = project.run("run", "--replay", str(project.cassette), "--run-id", run)
    assert done.code == 0, done.err + done.out
    again = exported(project, run)
    for part in ("agents", "cases"):
        assert told(again[part]) == told(live[part])
    assert f"Replayed: {6 * CASES} LLM calls answered out of the cassette" in done.out
    assert again["run"]["cassette"]["mode"] == "replay"
    assert again["run"]["cassette"]["replayed"] == live["run"]["cassette"]["recorded"]
    assert sum(agent["replayed_calls"] for agent in again["agents"]) == 6 * CASES
    return again


def record(project: Any, run: str = "live") -> dict[str, Any]:
    done = project.run("run", "--record", str(project.cassette), "--run-id", run, **KEY)
    assert done.code == 0, done.err + done.out
    assert "Recorded into cassette (sha256:" in done.out
    live = exported(project, run)
    assert live["run"]["cassette"]["not_recorded"] == 0
    return live


def test_a_whole_benchmark_is_replayed_without_provider_and_key(recorded: Any) -> None:
    live = record(recorded)
    calls, prompt = books(recorded.provider)
    assert calls == sum(agent["calls"] for agent in live["agents"]) == 6 * CASES
    assert prompt == sum(agent["input_tokens"] for agent in live["agents"])
    replay_and_compare(recorded, live, concurrency=8)
    assert books(recorded.provider) == (calls, prompt)
    content = packed_too(recorded.cassette)
    assert b"w3 for the" in content
    assert REAL_KEY.encode() not in content
    assert b"sk-pacabench-" not in content


def test_killed_while_recording_and_resumed_the_cassette_is_whole(recorded: Any) -> None:
    process = recorded.start("run", "--record", str(recorded.cassette), "--run-id", "live", **KEY)
    recorded.wait_for_results("live", 3)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert 3 <= len(recorded.lines("live")) < 2 * CASES
    done = recorded.run("resume", "live", **KEY)
    assert done.code == 0, done.err + done.out
    live = exported(recorded, "live")
    assert live["run"]["cassette"]["not_recorded"] == 0
    # Calls of attempts that the kill cut are in the run's books, and are not played.
    configure(recorded, "http://127.0.0.1:9/v1")
    done = recorded.run("run", "--replay", str(recorded.cassette), "--run-id", "again")
    assert done.code == 0, done.err + done.out
    again = exported(recorded, "again")
    assert [case["output"] for case in again["cases"]] == [case["output"] for case in live["cases"]]
    assert sum(agent["replayed_calls"] for agent in again["agents"]) == 6 * CASES


def test_calls_without_a_match_are_infrastructure_reported_and_not_tried_again(
    recorded: Any,
) -> None:
    record(recorded)
    text = AGENT.replace('+ os.environ.get("MORE", "")', '+ ("!" if case["input"] == "w2" else "")')
    recorded.write("agent.py", text)
    configure(recorded, "http://127.0.0.1:9/v1")
    done = recorded.run("run", "--replay", str(recorded.cassette), "--run-id", "again")
    assert done.code == 3
    again = exported(recorded, "again")
    for agent in again["agents"]:
        assert agent["infrastructure"] == 1
        assert agent["outcomes"]["provider_error"] == 1
        assert agent["attempts"] == CASES  # no second one: it would end the same
        assert agent["unmatched_calls"] == 1
        assert agent["failed"] == 2  # w1 and w3 are wrong, and no other
    assert "Without a match in the cassette:" in done.out
    assert "first / words / c2: chat.completions m:" in done.out
    (lost, _) = [case for case in again["cases"] if case["case_id"] == "c2"]
    assert lost["error"].startswith("no recording fits this call")  # and no provider is blamed
    assert "call 1 of it differs at /messages/0" in done.out
    shown = recorded.run("show", "again", "--case", "c2")
    assert "no recording fits this call" in shown.out


def test_new_cases_are_recorded_on_top_and_old_ones_replayed(recorded: Any) -> None:
    recorded.run("run", "--record", str(recorded.cassette), "--limit", "3", "--run-id", "a", **KEY)
    before = books(recorded.provider)[0]
    assert before == 3 * 6
    text = AGENT.replace('+ os.environ.get("MORE", "")', '+ ("!" if case["input"] == "w2" else "")')
    recorded.write("agent.py", text)
    done = recorded.run("run", "--replay-or-record", str(recorded.cassette), "--run-id", "b", **KEY)
    assert done.code == 0, done.err + done.out
    # Two cases are new; the one whose request changed was tried, and then made anew.
    assert books(recorded.provider)[0] == before + (2 + 1) * 6
    mixed = exported(recorded, "b")
    assert mixed["run"]["cassette"]["mode"] == "replay-or-record"
    assert sum(agent["replayed_calls"] for agent in mixed["agents"]) == 2 * 6
    assert sum(agent["unmatched_calls"] for agent in mixed["agents"]) == 2
    done = recorded.run("run", "--replay", str(recorded.cassette), "--run-id", "c")
    assert done.code == 0, done.err + done.out
    third = exported(recorded, "c")
    assert [case["output"] for case in third["cases"]] == [
        case["output"] for case in mixed["cases"]
    ]
    assert books(recorded.provider)[0] == before + (2 + 1) * 6


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (
            ["--replay", "missing"],
            "there is no such directory. `pacabench run --record DIR` makes one",
        ),
        (["--record", "x", "--replay", "y"], "exclude each other"),
        (["--record", "."], "is not empty and no cassette"),
        (["--replay-or-record", "."], "is no cassette"),
        (["--replay-or-record", "agent.py"], "is no directory"),
        (["--record", "agent.py"], "agent.py is a file, not a directory: name a new one"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_runs(
    recorded: Any, options: list[str], word: str
) -> None:
    done = recorded.run("run", *options, "--run-id", "r", **KEY)
    assert done.code in (1, 2)
    assert word in done.err
    assert not (recorded.path / "runs" / "r").exists()


def test_a_run_keeps_to_how_it_was_begun(recorded: Any) -> None:
    record(recorded)
    done = recorded.run("run", "--run-id", "live", **KEY)
    assert done.code == 2
    assert "begun with --record" in done.err
    done = recorded.run("run", "--record", str(recorded.cassette), "--run-id", "other", **KEY)
    assert done.code == 1
    assert "holds a cassette already" in done.err


@pytest.mark.docker
@pytest.mark.timeout(600)
def test_in_containers_too_with_no_network_for_the_sidecar(recorded: Any) -> None:
    configure(recorded, recorded.provider.base_url, sandbox="docker")
    live = record(recorded)
    assert books(recorded.provider)[0] == 6 * CASES
    again = replay_and_compare(recorded, live, sandbox="docker")
    assert again["run"]["sandbox"] == "docker"
    assert books(recorded.provider)[0] == 6 * CASES
    content = packed_too(recorded.cassette) + packed_too(recorded.path / "runs")
    assert REAL_KEY.encode() not in content
    assert b"sk-pacabench-" not in packed_too(recorded.cassette)


def test_a_replay_that_was_killed_goes_on_as_one(recorded: Any) -> None:
    live = record(recorded)
    configure(recorded, "http://127.0.0.1:9/v1")
    process = recorded.start("run", "--replay", str(recorded.cassette), "--run-id", "again")
    recorded.wait_for_results("again", 2)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert 2 <= len(recorded.lines("again")) < 2 * CASES
    done = recorded.run("resume", "again")
    assert done.code == 0, done.err + done.out
    again = exported(recorded, "again")
    assert [(case["outcome"], case["output"]) for case in again["cases"]] == [
        (case["outcome"], case["output"]) for case in live["cases"]
    ]
    assert again["run"]["cassette"]["mode"] == "replay"
    assert books(recorded.provider)[0] == 6 * CASES
    with (recorded.cassette / "index.jsonl").open("ab") as file:
        file.write(b"\n")
    assert "is not what it was when this run began" in recorded.run("retry", "again").err
