"""What is asked of each contestant, and how a burst of it is measured."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from proxy_bench.contestants import Contestant
from proxy_bench.processes import BenchError, cpu_s, running
from proxy_bench.upstream import COMPLETION_TOKENS, PROMPT_TOKENS

_BOOKED_WITHIN_S = 10
_PATH = "/v1/chat/completions"
_WORDS = "Name the capital of the country whose name comes first in the alphabet. "
_HEADERS = {
    # As openai's SDK for Python sends them.
    "Accept-Encoding": "gzip, deflate",
    "Connection": "keep-alive",
    "Accept": "application/json",
    "Content-Type": "application/json",
    "User-Agent": "AsyncOpenAI/Python 1.99.0",
    "X-Stainless-Lang": "python",
    "X-Stainless-Package-Version": "1.99.0",
    "X-Stainless-OS": "Linux",
    "X-Stainless-Arch": "x64",
    "X-Stainless-Runtime": "CPython",
    "X-Stainless-Runtime-Version": "3.11.7",
    "X-Stainless-Async": "async:asyncio",
    "x-stainless-retry-count": "0",
    "x-stainless-read-timeout": "600",
}


@dataclass(frozen=True)
class Scenario:
    """One kind of load."""

    name: str
    model: str
    load: Mapping[str, Any]
    """See ``load.py``."""
    prompt_bytes: int = 400
    less: Mapping[str, Any] = field(default_factory=dict)
    """In place of parts of ``load`` for LiteLLM, which would take too long."""


SCENARIOS = (
    Scenario(
        "one at a time",
        "plain",
        {"connections": 1, "requests": 500, "warm_up": 20},
        less={"requests": 60, "warm_up": 5},
    ),
    Scenario(
        "one at a time, pauses of 5 ms",
        "plain",
        {"connections": 1, "requests": 200, "warm_up": 10, "pace_ms": 5},
        less={"requests": 50, "warm_up": 5},
    ),
    Scenario(
        "prompts of 400 KB",
        "plain",
        {"connections": 1, "requests": 100, "warm_up": 5},
        prompt_bytes=400_000,
        less={"requests": 25},
    ),
    Scenario("one paced stream", "stream-50-10", {"connections": 1, "requests": 2}),
    Scenario("16 at a time", "plain", {"connections": 16, "seconds": 2, "warm_up": 2}),
    Scenario(
        "16 streams, unpaced",
        "stream-50-0",
        {"connections": 16, "seconds": 2, "warm_up": 1},
        less={"warm_up": 0, "requests": 1, "seconds": 60},
    ),
    Scenario(
        "64 paced streams",
        "stream-50-10",
        {"connections": 64, "requests": 3, "spread_ms": 500},
        less={"requests": 1},
    ),
    Scenario(
        "64 paced streams, begun at once",
        "stream-50-10",
        {"connections": 64, "requests": 2},
        less={"requests": 1},
    ),
)


@dataclass(frozen=True)
class Burst:
    """What one contestant did under one load."""

    load: Mapping[str, Any]
    """See ``load.py``."""
    cpu_s: float
    """Of the contestant."""
    load_core_busy: float
    """Share of the wall time in which load generator and provider had their core."""
    load_core_wall_s: float

    @property
    def per_s(self) -> float:
        """Replies (or streams) per second."""
        return float(self.load["count"] / self.load["wall_s"])

    @property
    def cpu_ms_each(self) -> float:
        """Of the contestant, for each reply or stream, those of the warm-up included."""
        return 1000 * self.cpu_s / int(self.load["asked"])


class Generator:
    """The load generator's process."""

    def __init__(self, process: subprocess.Popen[bytes], provider: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._provider = provider

    def run(self, scenario: Scenario, contestant: Contestant) -> Burst:
        """One burst, with the contestant's books checked after it.

        Raises:
            BenchError: a reply was not as it should be, or the books do not fit.
        """
        job = self._job(scenario, contestant)
        contestant.go_on()
        self.ask_once(contestant)
        self._check_books(contestant, 1)
        own, core = self._cpu(contestant), self._load_core_s()
        began = time.monotonic()
        found = self.ask(job)
        wall_s = time.monotonic() - began
        busy = (self._load_core_s() - core) / wall_s
        burst = Burst(found, self._cpu(contestant) - own, busy, wall_s)
        self._check_books(contestant, found["asked"])
        contestant.pause()
        return burst

    def ask(self, job: Mapping[str, Any]) -> dict[str, Any]:
        """Run one job.

        Raises:
            BenchError: it failed.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(job).encode() + b"\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        found: dict[str, Any] = json.loads(line) if line else {"error": "it ended"}
        if found["error"]:
            raise BenchError(f"load on port {job.get('port')}: {found['error']}")
        return found

    def ask_once(self, contestant: Contestant) -> None:
        """One small call."""
        self.ask(_job_of(contestant, "plain", 400, {"connections": 1, "requests": 1}))

    def hold(self, contestant: Contestant, count: int) -> None:
        """Open ``count`` streams that say one thing and then nothing, until :meth:`let_go`."""
        self.ask(_job_of(contestant, "silent", 400, {"connections": count, "hold": True}))

    def let_go(self) -> None:
        """Hang up on them."""
        self.ask({"connections": 0})

    def _job(self, scenario: Scenario, contestant: Contestant) -> dict[str, Any]:
        load = dict(scenario.load)
        if contestant.name == "LiteLLM":
            load |= scenario.less
        return _job_of(contestant, scenario.model, scenario.prompt_bytes, load)

    @staticmethod
    def _cpu(contestant: Contestant) -> float:
        return 0.0 if contestant.pid is None else cpu_s(contestant.pid)

    def _load_core_s(self) -> float:
        return cpu_s(self._process.pid) + cpu_s(self._provider.pid)

    @staticmethod
    def _check_books(contestant: Contestant, asked: int) -> None:
        """Every call that was made is booked once, with the tokens that the provider told."""
        if contestant.own is None:
            return
        calls = contestant.own.books.take_calls(asked)
        for call in calls:
            usage = call.record.usage
            assert call.record.end == "complete", call
            assert usage is not None, call
            tokens = (usage.total_input_tokens, usage.output_tokens)
            assert tokens == (PROMPT_TOKENS, COMPLETION_TOKENS), call


def _job_of(
    contestant: Contestant, model: str, prompt_bytes: int, load: Mapping[str, Any]
) -> dict[str, Any]:
    prompt = (_WORDS * (prompt_bytes // len(_WORDS) + 1))[:prompt_bytes]
    messages = [
        {"role": "system", "content": "You are a helpful assistant. Answer with one word."},
        {"role": "user", "content": prompt},
    ]
    body: dict[str, Any] = {"messages": messages, "model": model, "temperature": 0.0}
    if model != "plain":
        body["stream"] = True
    headers = {**_HEADERS, "Authorization": f"Bearer {contestant.key}"}
    return {
        "host": "127.0.0.1",
        "port": contestant.port,
        "path": _PATH,
        "headers": headers,
        "body": body,
        **load,
    }


@contextmanager
def open_generator(core: int, provider: subprocess.Popen[bytes]) -> Iterator[Generator]:
    """The load generator on ``core``."""
    with running([sys.executable, str(Path(__file__).parent / "load.py")], core) as process:
        yield Generator(process, provider)
