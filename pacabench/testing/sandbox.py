"""A sandbox in memory, so that attempts, scheduler and runs can be tested in milliseconds."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, Self

import orjson

from pacabench.left_files import LeftFiles, Wanted
from pacabench.model import JSON, CallRecord, ExitFacts, Usage
from pacabench.protocol import MAX_LINE_BYTES
from pacabench.sandbox.base import STDERR_KEPT_BYTES, CallSink, SandboxAgent, SandboxFacts

_SIGKILL = 9


@dataclass(frozen=True, slots=True)
class Act:
    """What an agent does with one case."""

    stdout: bytes = b""
    """Written as it is; several lines are fine, and so is garbage."""
    stderr: str = ""
    delay_s: float = 0.0
    """Before it writes."""
    hangs: bool = False
    """Neither answers further nor exits."""
    exit_code: int | None = None
    """It exits after writing. None: it goes on to the next case, if one comes."""
    signal: int | None = None
    """It dies of this signal after writing."""
    out_of_memory: bool = False
    failure: str | None = None
    """What of the sandbox fails meanwhile."""
    calls: Sequence[CallRecord] = ()
    """LLM calls that it makes before it writes; their attempt id is filled in."""
    leaves: Mapping[str, bytes] = field(default_factory=dict)
    """Files, by name, that are in its work directory afterwards."""

    @classmethod
    def answers(cls, output: JSON, **more: Any) -> "Act":
        """A valid answer; ``more`` are other fields of the act."""
        return cls(stdout=orjson.dumps({"output": output, "error": None}) + b"\n", **more)

    @classmethod
    def fails(cls, error: str, **more: Any) -> "Act":
        """An answer that says it failed."""
        return cls(stdout=orjson.dumps({"output": None, "error": error}) + b"\n", **more)

    @classmethod
    def crashes(cls, stderr: str = "Traceback: boom\n", exit_code: int = 1, **more: Any) -> "Act":
        """An exit with no answer."""
        return cls(stderr=stderr, exit_code=exit_code, **more)

    @property
    def ends(self) -> bool:
        """The agent is gone after it."""
        return self.exit_code is not None or self.signal is not None or self.out_of_memory


Behaviour = Callable[[dict[str, Any]], "bytes | Act"]
"""From a case as the agent reads it to what the agent writes or does."""


class ScriptedAgent:
    """A behaviour that plays acts per case id, one per attempt; the last one is repeated."""

    def __init__(
        self,
        acts: Mapping[str, Sequence[Act]] | None = None,
        *,
        otherwise: Behaviour = lambda case: Act.answers(case["input"]),
    ) -> None:
        self._acts = {case_id: list(entries) for case_id, entries in (acts or {}).items()}
        self._otherwise = otherwise
        self.seen: list[dict[str, Any]] = []
        """Every case that an agent read, in order."""

    def __call__(self, case: dict[str, Any]) -> "bytes | Act":
        """The next act for ``case``."""
        self.seen.append(case)
        acts = self._acts.get(case["case_id"])
        if not acts:
            return self._otherwise(case)
        return acts.pop(0) if len(acts) > 1 else acts[0]


class FakeSandbox:
    """An implementation of ``sandbox.base.Sandbox`` that runs a behaviour.

    Args:
        behaviour: what every agent does with a case.
        on_call: gets the calls of acts.
        start_failures: raised by the first starts, in order; None lets one through.
        start_delay_s: how long a start takes.
    """

    def __init__(
        self,
        behaviour: Behaviour,
        *,
        on_call: CallSink = lambda _: None,
        start_failures: Sequence[Exception | None] = (),
        start_delay_s: float = 0.0,
    ) -> None:
        self.behaviour = behaviour
        self.on_call = on_call
        self.facts = SandboxFacts(kind="fake", engine=None, image_digests={})
        self.started = 0
        self.live: set[FakeSession] = set()
        """Sessions that were started and not closed."""
        self.peak = 0
        """Most sessions that were ever live together."""
        self.torn_down: list[str] = []
        """Agents whose teardown ran."""
        self._failures = list(start_failures)
        self._start_delay_s = start_delay_s

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for session in list(self.live):
            await session.close()

    async def start(self, agent: SandboxAgent) -> "FakeSession":
        """See ``Sandbox``."""
        await asyncio.sleep(self._start_delay_s)
        failure = self._failures.pop(0) if self._failures else None
        if failure is not None:
            raise failure
        self.started += 1
        session = FakeSession(self, agent)
        self.live.add(session)
        self.peak = max(self.peak, len(self.live))
        return session

    async def run_teardown(self, agent: SandboxAgent) -> None:
        """See ``Sandbox``."""
        self.torn_down.append(agent.name)


class FakeSession:
    """An implementation of ``sandbox.base.Session``; made by :class:`FakeSandbox`."""

    def __init__(self, sandbox: FakeSandbox, agent: SandboxAgent) -> None:
        self.agent = agent
        self.attempts: list[str] = []
        """Attempt ids that it was bound to, in order."""
        self.closed = False
        self.placed: dict[str, bytes] = {}
        self.failure: str | None = None
        """See ``Session``."""
        self._sandbox = sandbox
        self._bound: str | None = None
        self._output: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._ended: Act | None = None
        self._playing: set[asyncio.Task[None]] = set()
        self._stdout_bytes = 0
        self._stderr = ""
        self._left: dict[str, bytes] = {}

    async def bind(self, attempt_id: str) -> None:
        """See ``Session``."""
        self._bound = attempt_id
        self.attempts.append(attempt_id)

    async def unbind(self) -> None:
        """See ``Session``."""
        self._bound = None

    async def place(self, files: Mapping[str, bytes]) -> str:
        """See ``Session``. They are kept in ``placed``."""
        self.placed = dict(files)
        return "/files"

    async def send(self, line: bytes, *, last: bool) -> None:
        """See ``Session``. The behaviour is asked at once, and played in the background."""
        said = self._sandbox.behaviour(orjson.loads(line))
        act = said if isinstance(said, Act) else Act(stdout=said)
        if last and not act.ends and not act.hangs:
            act = replace(act, exit_code=0)
        self.failure = act.failure
        task = asyncio.create_task(self._play(act))
        self._playing.add(task)
        task.add_done_callback(self._playing.discard)

    async def read_line(self) -> bytes | None:
        """See ``Session``."""
        line = await self._output.get()
        if line is None:
            self._output.put_nowait(None)
        return line

    async def take_left(self, wanted: Wanted) -> LeftFiles:
        """See ``Session``. What the act leaves, whatever was wanted."""
        await self.close()
        return LeftFiles(wanted.patterns, dict(self._left))

    async def close(self) -> ExitFacts:
        """See ``Session``."""
        killed = self._ended is None
        for task in list(self._playing):
            task.cancel()
        if not self.closed:
            self.closed = True
            self._sandbox.live.discard(self)
            self._output.put_nowait(None)
        end = self._ended or Act(signal=_SIGKILL)
        return ExitFacts(
            exit_code=end.exit_code,
            signal=end.signal,
            out_of_memory=end.out_of_memory,
            killed=killed,
            stdout_bytes=self._stdout_bytes,
            stderr_bytes=len(self._stderr.encode()),
            stderr_tail=self._stderr[-STDERR_KEPT_BYTES:],
        )

    async def _play(self, act: Act) -> None:
        await asyncio.sleep(act.delay_s)
        if self._ended is not None:
            return
        for call in act.calls:
            if self._bound is not None:
                self._sandbox.on_call(replace(call, attempt_id=self._bound))
        self._left |= act.leaves
        self._stderr += act.stderr
        self._stdout_bytes += len(act.stdout)
        for line in act.stdout.removesuffix(b"\n").split(b"\n") if act.stdout else ():
            self._output.put_nowait(line[:MAX_LINE_BYTES])
        if act.ends:
            self._ended = act
            self._output.put_nowait(None)


def fake_call(**changes: Any) -> CallRecord:
    """A call record of a chat completion that went well; ``changes`` replace fields."""
    fields: dict[str, Any] = {
        "call_id": "call-1",
        "attempt_id": "attempt-1",
        "provider": "openai",
        "endpoint": "chat.completions",
        "model": "fake-model",
        "answered_model": "fake-model",
        "status": 200,
        "end": "complete",
        "stream": False,
        "started_at": 1_700_000_000.0,
        "ttft_ms": 10.0,
        "duration_ms": 20.0,
        "usage": Usage(input_tokens=10, cached_tokens=0, output_tokens=5, reasoning_tokens=0),
        "usage_source": "provider",
        "raw_usage": None,
        "request_digest": "0" * 32,
        "request_bytes": 100,
        "response_bytes": 200,
    }
    return CallRecord(**{**fields, **changes})
