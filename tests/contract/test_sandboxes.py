"""What every sandbox promises, tried on each kind with real processes and real containers."""

import asyncio
import dataclasses
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pacabench.agent import Countdown, Reply, ask
from pacabench.config.schema import AgentConfig, SandboxConfig, SandboxKind
from pacabench.events import Event, Notice
from pacabench.model import CallRecord, Case, CaseKey, ExitFacts
from pacabench.owner import current_owner
from pacabench.proxy.control import ProviderSpec
from pacabench.proxy.excerpt import CallText
from pacabench.sandbox.base import Sandbox, SandboxAgent, SandboxContext, Session
from pacabench.sandbox.factory import open_sandbox

AGENTS = {
    "echo": """
        for line in sys.stdin:
            say(json.loads(line)["input"])
    """,
    "reads to the end": """
        say(json.loads(sys.stdin.read())["input"])
    """,
    "never reads": """
        say("did not look")
        time.sleep(60)
    """,
    "crash": """
        sys.stdin.readline()
        print("last words", file=sys.stderr)
        sys.exit(7)
    """,
    "signal": """
        sys.stdin.readline()
        os.kill(os.getpid(), 11)
    """,
    "flood": """
        sys.stdin.readline()
        while True:
            sys.stdout.write("x" * 99 + chr(10))
    """,
    "flood on stderr, then answer": """
        sys.stdin.readline()
        for _ in range(200):
            sys.stderr.write("e" * 100_000)
        say("done")
    """,
    "one endless line": """
        sys.stdin.readline()
        while True:
            sys.stdout.write("x" * 1_000_000)
    """,
    "ignores SIGTERM": """
        import signal
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        sys.stdin.readline()
        time.sleep(60)
    """,
    "leaves a daemon": """
        import subprocess
        sys.stdin.readline()
        subprocess.Popen(["sleep", "30"], start_new_session=True)
        sys.exit(0)
    """,
    "environment": """
        sys.stdin.readline()
        say(dict(os.environ))
    """,
    "files": """
        sys.stdin.readline()
        open("note.txt", "w").write("mine")
        say(sorted(name for name in os.listdir(".") if not name.startswith(".")))
    """,
    "calls": """
        from urllib.request import Request, urlopen
        for line in sys.stdin:
            case = json.loads(line)
            request = Request(
                os.environ["OPENAI_BASE_URL"] + "/chat/completions",
                json.dumps({"model": "m", "messages": [
                    {"role": "user", "content": case["input"]}]}).encode(),
                {"authorization": "Bearer " + os.environ["OPENAI_API_KEY"],
                 "content-type": "application/json"},
            )
            say(json.load(urlopen(request))["choices"][0]["message"]["content"])
    """,
    "embeds": """
        from urllib.request import Request, urlopen
        sys.stdin.readline()
        urlopen(Request(
            os.environ["GEMINI_API_BASE"] + "/v1beta/models/e:embedContent",
            b'{"content": {"parts": [{"text": "count me"}]}}',
            {"x-goog-api-key": os.environ["GEMINI_API_KEY"], "content-type": "application/json"}))
        say("done")
    """,
    "calls before it is asked": """
        from urllib.request import Request, urlopen
        from urllib.error import HTTPError
        try:
            urlopen(Request(
                os.environ["OPENAI_BASE_URL"] + "/models",
                headers={"authorization": "Bearer " + os.environ["OPENAI_API_KEY"]}))
            status = 200
        except HTTPError as error:
            status = error.code
        print("tried", flush=True)
        sys.stdin.readline()
        say(status)
    """,
}
PRELUDE = """
import json, os, sys, time
def say(output):
    print(json.dumps({"output": output}), flush=True)
"""


SLOWLY = [{"contains": "slowly", "reply": "at last", "delay_ms": 700}]


@dataclass
class Place:
    """An open sandbox, and what it told."""

    sandbox: Sandbox
    run_id: str
    agents: dict[str, SandboxAgent]
    calls: list[CallRecord]
    events: list[Event]
    waits: list[tuple[str, bool, float]]
    texts: list[CallText]
    started: list[Session] = field(default_factory=list)

    async def start(self, name: str, attempt_id: str = "attempt-1") -> Session:
        session = await self.sandbox.start(self.agents[name])
        self.started.append(session)
        await session.bind(attempt_id)
        return session

    async def one(self, name: str, text: str = "hello", *, timeout_s: float = 60) -> "Answered":
        session = await self.start(name)
        reply = await question(session, text, timeout_s=timeout_s)
        began = time.monotonic()
        exit_facts = await session.close()
        took_s = time.monotonic() - began
        await session.unbind()
        return Answered(reply, exit_facts, took_s)


@dataclass(frozen=True)
class Answered:
    reply: Reply
    exit: ExitFacts
    close_s: float

    @property
    def output(self) -> object:
        assert self.reply.answer is not None, self.exit.stderr_tail
        return self.reply.answer.output


async def question(
    session: Session, text: str, *, timeout_s: float = 60, last: bool = True, case_id: str = "1"
) -> Reply:
    case = Case("data", case_id, text, "expected")
    return await ask(
        session, case, CaseKey("a", "data", case_id), countdown=Countdown(timeout_s), last=last
    )


pytestmark = pytest.mark.timeout(300)
KINDS = ["process", pytest.param("docker", marks=pytest.mark.docker)]


@pytest.fixture(params=KINDS)
async def place(
    request: pytest.FixtureRequest, tmp_path: Path, cache_dir: Path
) -> AsyncIterator[Place]:
    kind: SandboxKind = request.param
    source = tmp_path / "source"
    source.mkdir()
    (tmp_path / "run").mkdir()
    agents = {}
    for number, (name, body) in enumerate(AGENTS.items()):
        lines = [line.removeprefix(" " * 8) for line in body.splitlines()]
        (source / f"agent{number}.py").write_text(PRELUDE + "\n".join(lines))
        agents[name] = sandbox_agent(kind, name, f"python agent{number}.py", source)
    calls: list[CallRecord] = []
    events: list[Event] = []
    texts: list[CallText] = []
    waits: list[tuple[str, bool, float]] = []
    context = SandboxContext(
        run_id=f"contract-{uuid.uuid4().hex[:8]}",
        run_dir=tmp_path / "run",
        owner=current_owner(),
        cache_dir=cache_dir,
        agents=list(agents.values()),
        providers=[ProviderSpec("scripted", "scripted", rules=SLOWLY)],
        default_provider="scripted",
        concurrency=2,
        on_call=calls.append,
        listener=events.append,
        on_text=texts.append,
        on_wait=lambda *wait: waits.append(wait),
        live_waits=True,
    )
    async with AsyncExitStack() as stack:
        sandbox = await stack.enter_async_context(open_sandbox(kind, context))
        opened = Place(sandbox, context.run_id, agents, calls, events, waits, texts)
        yield opened
        for session in opened.started:
            await session.close()


def sandbox_agent(kind: SandboxKind, name: str, command: str, source: Path) -> SandboxAgent:
    return SandboxAgent(
        config=AgentConfig(name=name, command=command),
        sandbox=SandboxConfig(kind=kind, memory="256m", tmp_size="16m"),
        env={"MARK": "set by the agent's env"},
        source=source,
        requirements=None,
        project=source,
    )


async def test_conversation(place: Place) -> None:
    """Everything that an honest agent relies on. One sandbox serves it all, to save its set-up."""
    assert (await place.one("echo", "käse \U0001f9c0")).output == "käse \U0001f9c0"
    assert (await place.one("echo", "x" * 3_000_000)).output == "x" * 3_000_000
    assert (await place.one("reads to the end")).output == "hello"
    assert (await place.one("never reads", "x" * 3_000_000)).output == "did not look"

    files = (await place.one("files")).output
    assert isinstance(files, list)
    assert "note.txt" in files
    assert "agent0.py" in files

    environment = (await place.one("environment")).output
    assert isinstance(environment, dict)
    assert environment["MARK"] == "set by the agent's env"
    assert environment["OPENAI_BASE_URL"].startswith("http://127.0.0.1:")
    assert environment["OPENAI_API_KEY"].startswith("sk-pacabench-")
    assert environment["HOME"] != str(Path.home())


async def test_calls_are_counted_for_the_attempt_that_is_bound(place: Place) -> None:
    session = await place.start("calls", "attempt-a")
    assert (await question(session, "one", last=False)).answer is not None
    await session.unbind()
    assert [call.attempt_id for call in place.calls] == ["attempt-a"]

    await session.bind("attempt-b")
    assert (await question(session, "two", last=False, case_id="2")).answer is not None
    await session.close()
    await session.unbind()

    assert [call.attempt_id for call in place.calls] == ["attempt-a", "attempt-b"]
    assert all(call.status == 200 and call.usage is not None for call in place.calls)


async def test_what_a_provider_does_not_tell_is_handed_over_before_its_call(place: Place) -> None:
    assert (await place.one("embeds")).output == "done"
    [call] = place.calls
    assert (call.endpoint, call.usage, call.usage_source) == ("embedContent", None, "none")
    assert [(text.call_id, text.asked) for text in place.texts] == [(call.call_id, "count me")]


async def test_waits_for_a_provider_are_told_as_they_begin_and_end(place: Place) -> None:
    session = await place.start("calls", "attempt-a")
    asking = asyncio.create_task(question(session, "slowly"))
    async with asyncio.timeout(60):
        while not place.waits:  # noqa: ASYNC110 - a sink has no event
            await asyncio.sleep(0.01)
    assert not asking.done()
    assert (await asking).answer is not None
    await session.close()
    await session.unbind()

    [call] = place.calls
    assert {attempt for attempt, _, _ in place.waits} == {"attempt-a"}
    assert [waiting for _, waiting, _ in place.waits[:2]] == [True, False]
    _, waiting, total_ms = place.waits[-1]
    assert not waiting
    assert 690 <= total_ms <= call.duration_ms


async def test_calls_outside_an_attempt_are_refused(place: Place) -> None:
    session = await place.sandbox.start(place.agents["calls before it is asked"])
    place.started.append(session)
    async with asyncio.timeout(60):
        assert await session.read_line() == b"tried"
    await session.bind("attempt-a")
    reply = await question(session, "hello")
    await session.close()
    await session.unbind()

    assert reply.answer is not None
    assert reply.answer.output in {401, 403}
    assert not [call for call in place.calls if call.end == "complete"]


async def test_ends(place: Place) -> None:
    """However an agent ends, the facts say how, and closing is quick."""
    crashed = await place.one("crash")
    assert crashed.reply.answer is None
    assert crashed.exit.exit_code == 7
    assert not crashed.exit.killed
    assert "last words" in crashed.exit.stderr_tail

    signalled = await place.one("signal")
    assert signalled.exit.signal == 11
    assert not signalled.exit.killed

    stubborn = await place.one("ignores SIGTERM", timeout_s=0.5)
    assert stubborn.reply.timed_out
    assert stubborn.exit.killed
    assert stubborn.close_s < 15

    daemon = await place.one("leaves a daemon")
    assert not daemon.reply.timed_out
    assert daemon.exit.exit_code == 0


async def test_floods_neither_hang_nor_fill_the_memory(place: Place) -> None:
    for name in ("flood", "one endless line"):
        flooded = await place.one(name, timeout_s=3.0)
        assert flooded.reply.timed_out
        assert flooded.close_s < 15
        assert flooded.exit.stdout_bytes > 1_000

    noisy = await place.one("flood on stderr, then answer")
    assert noisy.output == "done"
    assert len(noisy.exit.stderr_tail) <= 64 * 1024


async def test_a_teardown_that_does_not_end_is_ended(
    place: Place, left_running: Callable[[str], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = left_running(place.run_id)
    echo = place.agents["echo"]
    config = echo.config.model_copy(update={"teardown": "sleep 600; : agent"})
    endless = dataclasses.replace(echo, config=config)

    cut = asyncio.create_task(place.sandbox.run_teardown(endless))
    await asyncio.sleep(0.5)
    cut.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cut
    assert left_running(place.run_id) <= before

    monkeypatch.setattr("pacabench.sandbox.teardown.WITHIN_S", 1.0)
    async with asyncio.timeout(60):
        await place.sandbox.run_teardown(endless)
    assert left_running(place.run_id) <= before
    told = [event.text for event in place.events if isinstance(event, Notice)]
    assert told == ["teardown of agent 'echo' failed: it was not done within 1 s"]


async def test_closing_twice_gives_the_same_facts(place: Place) -> None:
    session = await place.start("echo")
    await question(session, "hello")
    first = await session.close()
    assert await session.close() == first


async def test_a_start_that_is_cancelled_leaves_nothing_behind(
    place: Place, left_running: Callable[[str], int]
) -> None:
    before = left_running(place.run_id)
    for delay_s in (0.0, 0.02, 0.1):
        starting = asyncio.create_task(place.sandbox.start(place.agents["echo"]))
        await asyncio.sleep(delay_s)
        starting.cancel()
        results = await asyncio.gather(starting, return_exceptions=True)
        if not isinstance(results[0], BaseException):
            await results[0].close()
    assert left_running(place.run_id) <= before
