"""``show --case ID --calls``: what was said, escaped, without keys, and what of it is missing."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from pacabench.testing import Reply, provider_in_thread

REAL_KEY = "sk-the-real-canary-0123456789"
KEY = {"FAKE_KEY": REAL_KEY}
CONFIG = """\
name: captured
config:
  concurrency: 1
  timeout_seconds: 60
  proxy: {{base_url: "{url}", api_key_env: FAKE_KEY, {capture}}}
sandbox: {{kind: {sandbox}}}
agents: [{{name: first, command: python agent.py}}]
datasets: [{{name: words, source: words.jsonl}}]
"""
CASES = (
    {"case_id": "c1", "input": "one \x1b]0;owned\x07", "expected": "x"},
    {"case_id": "c2", "input": "w" * 300_000, "expected": "x"},
)


@pytest.fixture
def captured(small: Any) -> Iterator[Any]:
    small.cases(*CASES)
    reply = Reply(text=f"\x1b[2Jyour key is {REAL_KEY}\u202e")
    with provider_in_thread(lambda _: reply) as provider:

        def configure(capture: str = "capture: bodies", sandbox: str = "process") -> None:
            text = CONFIG.format(url=provider.base_url, capture=capture, sandbox=sandbox)
            small.write("pacabench.yaml", text)

        small.configure = configure
        yield small


def check(project: Any) -> None:
    shown = project.run("show", "r1", "--case", "c1", "--calls")
    assert shown.code == 0, shown.err
    assert "request, " in shown.out
    assert '"content": "one ' in shown.out
    assert "your key is ***" in shown.out
    long = project.run("show", "r1", "--case", "c2", "--calls").out
    assert "were not kept" in long
    assert "shown are the first 20,000 characters" in long
    for text in (shown.out, long):
        assert "\x1b" not in text
        assert "\u202e" not in text
    found = json.loads(project.run("show", "r1", "--case", "c2", "--calls", "--json").out)
    (bodies,) = found["bodies"].values()
    assert bodies["request"]["kept_bytes"] == 256 * 1024 < bodies["request"]["size_bytes"]
    run_dir = project.path / "runs" / "r1"
    content = b"".join(path.read_bytes() for path in run_dir.rglob("*") if path.is_file())
    assert REAL_KEY.encode() not in content
    assert b"sk-pacabench-" not in (run_dir / "bodies.jsonl").read_bytes()


def test_what_was_said_is_shown_escaped_and_without_keys(captured: Any) -> None:
    captured.configure()
    captured.run("run", "--run-id", "r1", **KEY)
    check(captured)


@pytest.mark.docker
@pytest.mark.timeout(300)
def test_in_containers_too(captured: Any) -> None:
    captured.configure(sandbox="docker")
    captured.run("run", "--run-id", "r1", **KEY)
    check(captured)


def test_by_default_nothing_is_kept_and_that_is_said(captured: Any) -> None:
    captured.configure(capture="")
    captured.run("run", "--run-id", "r1", "--limit", "1", **KEY)
    assert not (captured.path / "runs" / "r1" / "bodies.jsonl").exists()
    shown = captured.run("show", "r1", "--case", "c1", "--calls").out
    assert "was not kept: set `config.proxy.capture: bodies`" in shown
    assert captured.run("show", "r1", "--calls").code == 2
