"""The fakes keep to what they stand for."""

import asyncio
import gc
import subprocess
import sys
import time
import urllib.request
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import openai
import orjson
import pytest

from pacabench.config.schema import AgentConfig, SandboxConfig
from pacabench.errors import SandboxError
from pacabench.model import CallRecord
from pacabench.protocol import parse_answer
from pacabench.sandbox.base import Sandbox, SandboxAgent, Session
from pacabench.testing import (
    Act,
    FakeProvider,
    FakeSandbox,
    Reply,
    ScriptedAgent,
    Tokens,
    fake_call,
    provider_in_thread,
)

AGENT = SandboxAgent(
    config=AgentConfig(name="agent", command="run"),
    sandbox=SandboxConfig(),
    env={},
    source=None,
    requirements=None,
    project=Path("/"),
)
SAY = [{"role": "user", "content": "12345678"}]


def case(case_id: str = "c1", text: str = "hello") -> bytes:
    return orjson.dumps({"case_id": case_id, "input": text}) + b"\n"


async def converse(session: Session, line: bytes, *, last: bool = True) -> list[bytes]:
    """Everything the agent writes until its output ends."""
    await session.send(line, last=last)
    lines = []
    while (got := await session.read_line()) is not None:
        lines.append(got)
    return lines


class TestFakeProvider:
    async def test_a_stream_carries_usage_only_where_it_is_asked_for(self) -> None:
        async with (
            FakeProvider() as provider,
            openai.AsyncOpenAI(base_url=provider.base_url, api_key="k") as client,
        ):
            plain = [
                chunk
                async for chunk in await client.chat.completions.create(
                    model="m", messages=SAY, stream=True
                )
            ]
            asked = [
                chunk
                async for chunk in await client.chat.completions.create(
                    model="m", messages=SAY, stream=True, stream_options={"include_usage": True}
                )
            ]
        assert all(chunk.usage is None for chunk in plain)
        assert asked[-1].usage.prompt_tokens == 2
        assert [entry.tokens for entry in provider.books] == [Tokens(2, 1)] * 2
        assert provider.totals() == Tokens(4, 2)
        assert {entry.key for entry in provider.books} == {"k"}

    async def test_a_client_that_hangs_up_is_billed_for_the_whole_reply(self) -> None:
        reply = Reply(text="word " * 50, pause_s=0.01, tokens=Tokens(5, 50))
        async with (
            FakeProvider(lambda _: reply) as provider,
            openai.AsyncOpenAI(base_url=provider.base_url, api_key="k") as client,
        ):
            stream = await client.chat.completions.create(model="m", messages=SAY, stream=True)
            await anext(aiter(stream))
            await stream.close()
            async with asyncio.timeout(10):
                while not provider.books[0].client_gone:  # noqa: ASYNC110 - no event
                    await asyncio.sleep(0.01)
        assert provider.totals() == Tokens(5, 50)
        assert provider.books[0].sent_digest is None

    async def test_errors_are_not_billed(self) -> None:
        async with (
            FakeProvider(lambda _: Reply(status=503)) as provider,
            openai.AsyncOpenAI(base_url=provider.base_url, api_key="k", max_retries=0) as client,
        ):
            with pytest.raises(openai.InternalServerError):
                await client.chat.completions.create(model="m", messages=SAY)
        assert provider.totals() == Tokens(0)
        assert provider.books[0].status == 503

    def test_it_runs_in_a_thread_for_code_that_is_not_async(self) -> None:
        with (
            provider_in_thread(lambda _: Reply(text="hi")) as provider,
            openai.OpenAI(base_url=provider.base_url, api_key="k") as client,
        ):
            reply = client.chat.completions.create(model="m", messages=SAY)
        assert reply.choices[0].message.content == "hi"
        assert len(provider.books) == 1

    def test_it_runs_as_a_process_and_shows_its_books(self) -> None:
        process = subprocess.Popen(
            [sys.executable, "-m", "pacabench.testing"], stdout=subprocess.PIPE, text=True
        )
        try:
            base_url = process.stdout.readline().strip()
            with openai.OpenAI(base_url=base_url, api_key="k") as client:
                client.chat.completions.create(model="m", messages=SAY)
            with urllib.request.urlopen(base_url.removesuffix("/v1") + "/books") as reply:
                books = orjson.loads(reply.read())
        finally:
            process.terminate()
            assert process.wait(10) == 0
            process.stdout.close()
        assert (books["totals"]["prompt"], books["totals"]["completion"]) == (2, 1)
        assert books["calls"][0]["model"] == "m"


class TestFakeSandbox:
    async def test_it_is_a_sandbox(self) -> None:
        sandbox: Sandbox = FakeSandbox(ScriptedAgent())
        session: Session = await sandbox.start(AGENT)
        [line] = await converse(session, case(text="echo"))
        assert parse_answer(line).output == "echo"
        facts = await session.close()
        assert (facts.exit_code, facts.killed) == (0, False)
        assert facts.stdout_bytes == len(line) + 1

    async def test_acts_are_played_one_per_attempt(self) -> None:
        agent = ScriptedAgent({"c1": [Act.crashes(), Act.answers("42")]})
        async with FakeSandbox(agent) as sandbox:
            first = await sandbox.start(AGENT)
            assert await converse(first, case()) == []
            facts = await first.close()
            second = await sandbox.start(AGENT)
            [line] = await converse(second, case())
        assert (facts.exit_code, facts.stderr_tail) == (1, "Traceback: boom\n")
        assert parse_answer(line).output == "42"
        assert [seen["case_id"] for seen in agent.seen] == ["c1", "c1"]

    async def test_an_agent_that_hangs_is_killed(self) -> None:
        async with FakeSandbox(lambda _: Act(hangs=True)) as sandbox:
            session = await sandbox.start(AGENT)
            await session.send(case(), last=True)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await session.read_line()
            facts = await session.close()
            assert await session.read_line() is None
        assert (facts.killed, facts.signal, facts.exit_code) == (True, 9, None)

    async def test_garbage_is_written_as_it_is(self) -> None:
        async with FakeSandbox(lambda _: b"\xff\x00 no json\n\nlast") as sandbox:
            session = await sandbox.start(AGENT)
            assert await converse(session, case()) == [b"\xff\x00 no json", b"", b"last"]

    async def test_a_worker_goes_on_to_the_next_case(self) -> None:
        async with FakeSandbox(ScriptedAgent()) as sandbox:
            session = await sandbox.start(AGENT)
            for text in ("one", "two"):
                await session.send(case(text=text), last=False)
                assert parse_answer(await session.read_line()).output == text
        assert sandbox.started == 1

    async def test_out_of_memory_shows_in_the_facts(self) -> None:
        async with FakeSandbox(lambda _: Act(out_of_memory=True)) as sandbox:
            session = await sandbox.start(AGENT)
            assert await converse(session, case()) == []
            assert (await session.close()).out_of_memory

    async def test_calls_go_to_the_sink_under_the_bound_attempt(self) -> None:
        got: list[CallRecord] = []
        act = Act.answers("x", calls=[fake_call(call_id="c")])
        async with FakeSandbox(lambda _: act, on_call=got.append) as sandbox:
            session = await sandbox.start(AGENT)
            await session.bind("attempt-7")
            await converse(session, case())
            await session.unbind()
        assert [(call.call_id, call.attempt_id) for call in got] == [("c", "attempt-7")]

    async def test_starts_can_fail(self) -> None:
        sandbox = FakeSandbox(ScriptedAgent(), start_failures=[SandboxError("no"), None])
        with pytest.raises(SandboxError, match="no"):
            await sandbox.start(AGENT)
        await sandbox.start(AGENT)
        assert sandbox.started == 1

    async def test_it_knows_what_is_live_and_leaves_nothing(self) -> None:
        async with FakeSandbox(ScriptedAgent()) as sandbox:
            first, _ = [await sandbox.start(AGENT) for _ in range(2)]
            await first.close()
            await first.close()
            assert (len(sandbox.live), sandbox.peak) == (1, 2)
            await sandbox.run_teardown(AGENT)
        assert sandbox.live == set()
        assert sandbox.torn_down == ["agent"]


def test_a_provider_in_a_thread_leaves_no_reply_unfinished(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with provider_in_thread(lambda _: Reply(silent=True)) as provider:
        connection = HTTPConnection("127.0.0.1", urlsplit(provider.origin).port)
        connection.request("POST", "/v1/chat/completions", b"{}")
        while not provider.books:
            time.sleep(0.01)
        connection.close()
        time.sleep(0.1)  # a server that hears of it too late is another case
    gc.collect()
    assert "was destroyed" not in caplog.text
