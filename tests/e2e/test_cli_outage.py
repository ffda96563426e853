"""A provider that is slow, crowded, failing or gone: no case is scored for it, no token is lost."""

import asyncio
import contextlib
import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pacabench.testing import FakeProvider, Reply, Tokens

CONFIG = """\
name: outage
config:
  concurrency: 4
  timeout_seconds: {timeout}
  max_retries: 0
  {more}
  proxy: {{base_url: "{url}", api_key_env: FAKE_KEY, {proxy}}}
sandbox: {sandbox}
agents: [{{name: first, command: python agent.py}}]
datasets: [{{name: words, source: words.jsonl}}]
"""
KEY = {"FAKE_KEY": "sk-fake-0123456789"}
CASES = 12
WRONG = 4
"""Of the cases: their right answer is another one than the model gives."""


class Weather:
    """A provider in a thread that can go away and come back, and keeps its books."""

    def __init__(self) -> None:
        self.provider = FakeProvider(self._answer)
        self.replies: list[Reply] = []
        """Given first, in order."""
        self.broken = False
        self.served = 0
        self.on_served: Callable[[int], None] = lambda _: None
        self._loop = asyncio.new_event_loop()
        self._up = asyncio.Event()
        self._state_lock = threading.Lock()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.come()

    def _answer(self, asked: dict[str, Any]) -> Reply:
        if self.broken:
            return Reply(status=503, message="overloaded")
        if self.replies:
            return self.replies.pop(0)
        if "messages" not in asked:  # the proxy asks for the list of models, whether it is back
            return Reply()
        self.served += 1
        self.on_served(self.served)
        text = asked["messages"][-1]["content"]
        return Reply(text=text, tokens=Tokens(prompt=7, completion=3), delay_s=0.05)

    def come(self) -> None:
        self._call(self.provider.__aenter__())

    def go(self) -> None:
        self._call(self.provider.__aexit__(None, None, None))

    def _call(self, work: Any) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(20)

    def later(self, seconds: float, act: Callable[[], None]) -> None:
        timer = threading.Timer(seconds, act)
        timer.daemon = True
        timer.start()

    @property
    def billed(self) -> int:
        return sum(entry.tokens is not None for entry in self.provider.books)

    def end(self) -> None:
        with contextlib.suppress(Exception):
            self.go()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()


@pytest.fixture
def weather() -> Iterator[Weather]:
    made = Weather()
    yield made
    made.end()


@pytest.fixture
def outage(small: Any, weather: Weather) -> Any:
    """The small project before that provider; call it to write its configuration."""
    small.cases(
        *(
            {"case_id": f"c{n}", "input": f"w{n}", "expected": "no" if n < WRONG else f"w{n}"}
            for n in range(CASES)
        )
    )

    def configure(
        *, timeout: float = 30, proxy: str = "", more: str = "", sandbox: str = "{kind: process}"
    ) -> None:
        url = weather.provider.base_url
        text = CONFIG.format(timeout=timeout, url=url, proxy=proxy, more=more, sandbox=sandbox)
        small.write("pacabench.yaml", text)

    small.configure = configure
    return small


def exported(project: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    found = json.loads(project.run("export", "r1", "--include-cases", **KEY).out)
    return found["agents"][0], found["cases"]


def assert_books_and_accuracy(project: Any, weather: Weather) -> None:
    """All cases decided as planned, and every token that was billed is on record once."""
    agent, cases = exported(project)
    assert (agent["passed"], agent["failed"]) == (CASES - WRONG, WRONG)
    assert (agent["infrastructure"], agent["pending"]) == (0, 0)
    assert agent["accuracy"] == (CASES - WRONG) / CASES
    totals = weather.provider.totals()
    assert agent["calls"] == weather.billed
    assert (agent["input_tokens"], agent["output_tokens"]) == (totals.prompt, totals.completion)
    assert (agent["uncounted_calls"], agent["sdk_retries"]) == (0, 0)
    assert all(case["provider_wait_ms"] > 40 for case in cases)


def test_a_rate_limit_and_errors_in_between_are_nothing_an_agent_sees(
    outage: Any, weather: Weather
) -> None:
    limited = Reply(status=429, message="slow down", headers={"Retry-After": "1"})
    weather.replies = [
        limited,
        Reply(status=503, message="overloaded"),
        Reply(reset_after=0),
        limited,
        Reply(status=500),
    ]
    outage.configure()
    ended = outage.run("run", "--run-id", "r1", **KEY)
    assert ended.code == 0, ended.err
    assert "rate limited (429); at most " in ended.err
    assert "provider_error" not in ended.err
    assert len(outage.lines("r1")) == CASES
    assert_books_and_accuracy(outage, weather)
    assert weather.billed == CASES


def test_an_outage_pauses_the_run_and_fails_no_case(outage: Any, weather: Weather) -> None:
    """Cases time out while it lasts; they are made again although no retries are left."""

    def fail(served: int) -> None:
        if served == 3:
            weather.broken = True
            weather.later(7, lambda: setattr(weather, "broken", False))
        if served == 8:
            weather.later(0, weather.go)
            weather.later(6, weather.come)

    weather.on_served = fail
    outage.configure(timeout=3)
    ended = outage.run("run", "--run-id", "r1", **KEY)
    assert ended.code == 0, ended.err
    assert ended.err.count("paused: provider openai is down: ") >= 2
    assert "HTTP status 503: overloaded" in ended.err
    assert "cannot be reached" in ended.err
    assert ended.err.count("going on after a pause of ") >= 2
    assert "provider_error" in ended.err
    assert "will be tried again" in ended.err
    assert "timeout" not in ended.err
    assert_books_and_accuracy(outage, weather)


def test_one_that_does_not_come_back_ends_the_run_to_be_resumed(
    outage: Any, weather: Weather
) -> None:
    weather.on_served = lambda served: weather.later(0, weather.go) if served == 4 else None
    outage.configure(timeout=4, proxy="give_up_after_seconds: 6")
    ended = outage.run("run", "--run-id", "r1", **KEY)
    assert ended.code == 3, ended.err
    assert "gave up waiting: provider openai is down: " in ended.err
    assert "pacabench resume r1" in ended.out
    agent, _ = exported(outage)
    assert agent["pending"] > 0
    assert agent["failed"] + agent["passed"] <= 4

    weather.on_served = lambda _: None
    weather.come()
    ended = outage.run("resume", "r1", **KEY)
    assert ended.code == 0, ended.err
    assert_books_and_accuracy(outage, weather)


def test_ctrl_c_works_while_the_run_is_paused(outage: Any, weather: Weather) -> None:
    weather.broken = True
    outage.configure(timeout=5)
    process = outage.start("run", "--run-id", "r1", **KEY)
    for line in process.stderr:
        if line.startswith("paused: "):
            break
    process.send_signal(signal.SIGINT)
    began = time.monotonic()
    ended = outage.ended(process)
    assert ended.code == 130
    assert time.monotonic() - began < 20
    assert "pacabench resume r1" in ended.out


def test_a_key_that_is_refused_ends_the_run_at_once_and_names_the_variable(
    outage: Any, weather: Weather
) -> None:
    weather.replies = [Reply(status=401, message="no such key")] * 100
    outage.configure()
    ended = outage.run("run", "--run-id", "r1", **KEY)
    assert ended.code == 3, ended.err
    assert (
        "provider openai refuses the key in FAKE_KEY (HTTP status 401: no such key): "
        "put a valid one there, then resume"
    ) in " ".join(ended.err.split())
    assert "paused" not in ended.err
    assert len(outage.lines("r1")) <= 4  # as many as ran at once
    weather.replies.clear()
    assert outage.run("resume", "r1", "-q", **KEY).code == 0
    assert_books_and_accuracy(outage, weather)


@pytest.mark.parametrize("excluded", [True, False])
def test_waiting_for_a_slow_provider_can_be_left_out_of_the_timeout(
    outage: Any, weather: Weather, excluded: bool
) -> None:
    weather.replies = [Reply(text="w5", tokens=Tokens(prompt=7, completion=3), delay_s=5)] * 2
    outage.cases({"case_id": "c5", "input": "w5", "expected": "w5"})
    outage.configure(timeout=3, more=f"timeout_excludes_provider_wait: {str(excluded).lower()}")
    assert outage.run("run", "--run-id", "r1", "-q", **KEY).code == 0
    agent, [case] = exported(outage)
    assert case["outcome"] == ("passed" if excluded else "timeout")
    assert case["provider_wait_ms"] > (4900 if excluded else 1000)
    totals = weather.provider.totals()
    assert (agent["input_tokens"], agent["output_tokens"]) == (totals.prompt, totals.completion)


@pytest.mark.docker
@pytest.mark.timeout(600)  # images may have to be built
def test_in_containers_agents_whose_clock_stands_still_sit_an_outage_out(
    outage: Any, weather: Weather, cache_dir: Path
) -> None:
    def fail(served: int) -> None:
        if served == 3:
            weather.broken = True
            weather.later(14, lambda: setattr(weather, "broken", False))

    weather.on_served = fail
    outage.configure(
        timeout=10,
        more=f"timeout_excludes_provider_wait: true\n  cache_directory: {cache_dir}",
        sandbox="{memory: 256m}",
    )
    ended = outage.ended(outage.start("run", "--run-id", "r1", **KEY), within_s=500)
    assert ended.code == 0, ended.err
    assert "paused: provider openai is down: HTTP status 503: overloaded" in ended.err
    assert "going on after a pause of " in ended.err
    assert len(outage.lines("r1")) == CASES  # nobody had to be made again
    assert_books_and_accuracy(outage, weather)
    longest = max(case["provider_wait_ms"] for case in exported(outage)[1])
    assert longest > 10_000
