"""A whole run with a provider that repeats the real key: a search for it in all that is left."""

from pathlib import Path
from typing import Any

import pytest

from pacabench.testing import Reply, Tokens
from tests.e2e.test_cli_outage import Weather

CANARY = "sk-canary-4f1d0c/9+b7e2a86"
CONFIG = """\
name: canary
config:
  concurrency: 2
  timeout_seconds: 60
  max_retries: 1
  cache_directory: {cache}
  proxy: {{base_url: "{url}", api_key_env: CANARY_KEY}}
sandbox: {sandbox}
agents:
- {{name: curious, command: python agent.py, env: {{MINE: "${{CANARY_KEY}}", SEALED: "{sealed}"}}}}
datasets: [{{name: words, source: words.jsonl}}]
"""
AGENT = '''\
"""Tells all that it can find: its variables, its neighbours', and what it was answered."""

import glob, json, os, sys
from urllib.error import HTTPError
from urllib.request import Request, urlopen


def asked(body):
    headers = {
        "authorization": "Bearer " + os.environ["OPENAI_API_KEY"],
        "content-type": "application/json",
    }
    url = os.environ["OPENAI_BASE_URL"] + "/chat/completions"
    try:
        reply = urlopen(Request(url, json.dumps(body).encode(), headers))
    except HTTPError as error:
        reply = error
    return str(reply.headers) + reply.read().decode("latin-1")


def contents(path):
    try:
        with open(path, "rb") as file:
            return file.read(100_000).decode("latin-1")
    except OSError:
        return ""


case = json.loads(sys.stdin.readline())
said = [repr(dict(os.environ))]
for more in ({}, {"stream": True}, {"tools": [{"type": "mcp"}]}, {"model": 1}):
    said.append(asked({"model": "m", "messages": [{"role": "user", "content": "hi"}], **more}))
for path in glob.glob("/proc/[0-9]*/environ") + glob.glob("/proc/[0-9]*/cmdline"):
    # Where agents are only trusted ones, they can read what the user can.
    if os.environ["SEALED"] or path.split("/")[2] == str(os.getpid()):
        said.append(contents(path))
print("\\n".join(said), file=sys.stderr)
print(json.dumps({"output": "\\n".join(said)}))
'''


@pytest.mark.parametrize(
    "sandbox",
    [
        "{kind: process}",
        pytest.param(
            "{memory: 256m}", marks=[pytest.mark.docker, pytest.mark.timeout(600)], id="docker"
        ),
    ],
)
def test_the_real_key_is_nowhere(small: Any, cache_dir: Path, sandbox: str) -> None:
    weather = Weather()
    echo = {"x-request-id": CANARY, "x-ratelimit-limit-requests": CANARY}
    good = Reply(text=f"it is {CANARY}", tokens=Tokens(7, 3), model=CANARY, headers=echo)
    bad = [Reply(status=status, message=f"no {CANARY}", headers=echo) for status in (400, 500)]
    weather.replies = [bad[1], good, good, bad[0], good, good, bad[0], *[good] * 9]
    small.cases({"case_id": "c1", "input": "a", "expected": "b"})
    url = weather.provider.base_url
    small.write(
        "pacabench.yaml",
        CONFIG.format(
            url=url,
            sandbox=sandbox,
            cache=cache_dir,
            sealed="" if "process" in sandbox else "yes",
        ),
    )
    small.write("agent.py", AGENT)
    try:
        key = {"CANARY_KEY": CANARY}
        process = small.start("run", "--run-id", "r1", "--log-format", "json", **key)
        ended = small.ended(process, within_s=500)
        shown = small.run("show", "r1", "--case", "c1", **key)
        exported = small.run("export", "r1", "--include-cases", **key)
        assert {entry.key for entry in weather.provider.books} == {CANARY}
        assert len(weather.provider.books) >= 4
    finally:
        weather.end()
    assert ended.code == 0, ended.err
    said = ended.out + ended.err + shown.out + shown.err + exported.out + exported.err
    assert "*" * len(CANARY) in exported.out  # the agent was answered with it, blotted out
    assert CANARY not in said
    left = [path for path in small.path.rglob("*") if path.is_file()]
    assert {"calls.jsonl", "results.jsonl", "run.json"} <= {path.name for path in left}
    for path in left:
        assert CANARY.encode() not in path.read_bytes(), path
        assert CANARY.replace("/", "\\/").encode() not in path.read_bytes(), path
