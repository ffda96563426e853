"""The agent protocol over a session: order, limits, and what is log."""

import asyncio

import pytest

from pacabench.agent import LOG_KEPT_BYTES, Countdown, ask, drain
from pacabench.errors import SandboxError
from pacabench.model import Case, CaseKey, ExitFacts
from pacabench.sandbox.lines import LineBuffer

KEY = CaseKey("agent", "data", "1")


class Pipe:
    """A session whose output is fed by the test."""

    def __init__(self) -> None:
        self.out = LineBuffer()
        self.sent = b""
        self.closed_stdin = False
        self.send_error: Exception | None = None
        self.send_blocks = False

    async def bind(self, attempt_id: str) -> None: ...

    async def unbind(self) -> None: ...

    async def send(self, line: bytes, *, last: bool) -> None:
        if self.send_error is not None:
            raise self.send_error
        if self.send_blocks:
            await asyncio.sleep(60)
        self.sent += line
        self.closed_stdin = last

    async def read_line(self) -> bytes | None:
        return await self.out.read_line()

    async def close(self) -> ExitFacts:
        raise AssertionError


def a_case(text: str = "question", **metadata: object) -> Case:
    return Case("data", "1", text, "the expected answer", metadata=metadata)


class TestAsk:
    async def test_an_agent_that_never_reads_cannot_hold_up_its_own_answer(self) -> None:
        pipe = Pipe()
        pipe.send_blocks = True
        pipe.out.feed(b'{"output": 1}\n')
        reply = await ask(pipe, a_case(), KEY, countdown=Countdown(5), last=True)

        assert reply.answer is not None
        assert not reply.timed_out

    async def test_nor_the_timeout(self) -> None:
        pipe = Pipe()
        pipe.send_blocks = True
        reply = await ask(pipe, a_case(), KEY, countdown=Countdown(0.02), last=True)

        assert reply.timed_out
        assert reply.silent

    async def test_a_sandbox_that_cannot_send_says_so_at_once(self) -> None:
        pipe = Pipe()
        pipe.send_error = SandboxError("the lane is gone")
        async with asyncio.timeout(2):
            with pytest.raises(SandboxError, match="the lane is gone"):
                await ask(pipe, a_case(), KEY, countdown=Countdown(60), last=True)

    async def test_log_is_kept_up_to_its_limit_and_the_answer_found_behind_it(self) -> None:
        pipe = Pipe()
        for _ in range(40):
            pipe.out.feed(b"x" * 9_999 + b"\n")
        pipe.out.feed(b'{"output": "found"}\n')
        reply = await ask(pipe, a_case(), KEY, countdown=Countdown(5), last=True)

        assert reply.answer is not None
        assert reply.answer.output == "found"
        assert len(reply.log) <= LOG_KEPT_BYTES

    async def test_what_was_said_before_the_timeout_is_kept(self) -> None:
        pipe = Pipe()
        pipe.out.feed(b"I am thinking\n")
        reply = await ask(pipe, a_case(), KEY, countdown=Countdown(0.05), last=True)

        assert reply.timed_out
        assert reply.log == b"I am thinking\n"

    async def test_stdin_is_closed_behind_the_last_case_only(self) -> None:
        for last in (True, False):
            pipe = Pipe()
            pipe.out.feed(b'{"output": 1}\n')
            await ask(pipe, a_case(), KEY, countdown=Countdown(5), last=last)
            assert pipe.closed_stdin is last
            assert b"the expected answer" not in pipe.sent


class TestDrain:
    async def test_throws_away_what_waits_and_says_that_the_worker_lives(self) -> None:
        pipe = Pipe()
        pipe.out.feed(b'{"output": "late"}\nnoise\n')

        assert await drain(pipe)
        pipe.out.feed(b"fresh\n")
        assert await pipe.read_line() == b"fresh"

    async def test_says_when_the_worker_is_dead(self) -> None:
        pipe = Pipe()
        pipe.out.feed(b"last words\n")
        pipe.out.end()

        assert not await drain(pipe)


class TestCountdown:
    """Time in which an agent waits for its provider can be left out, but not for ever."""

    async def expires_after_s(self, countdown: Countdown) -> float:
        loop = asyncio.get_running_loop()
        began = loop.time()
        with pytest.raises(TimeoutError):
            async with countdown.start():
                await asyncio.sleep(30)
        return loop.time() - began

    async def test_it_ends_after_its_time(self) -> None:
        assert 0.05 <= await self.expires_after_s(Countdown(0.05)) < 0.5

    async def test_standing_still_takes_none_of_it(self) -> None:
        countdown = Countdown(1.0)
        loop = asyncio.get_running_loop()
        turned: list[float] = []

        def turn(held: bool) -> None:
            countdown.hold(held)
            turned.append(loop.time())

        loop.call_later(0.9, turn, True)
        loop.call_later(1.2, turn, False)
        took_s = await self.expires_after_s(countdown)
        stood_still_s = turned[1] - turned[0]  # on a busy machine not what was asked for
        assert 0.99 <= took_s - stood_still_s < 1.7
        assert not countdown.held

    async def test_it_stands_still_from_the_start_where_it_is_told_so_before(self) -> None:
        countdown = Countdown(0.05)
        countdown.hold(True)
        assert 0.5 <= await self.expires_after_s(countdown) < 2

    async def test_ten_times_over_is_the_end_all_the_same(self) -> None:
        countdown = Countdown(0.05)
        asyncio.get_running_loop().call_later(0.01, countdown.hold, True)
        assert 0.49 <= await self.expires_after_s(countdown) < 2
        assert countdown.held

    async def test_many_short_waits_do_not_move_the_end_further(self) -> None:
        countdown = Countdown(0.05)

        async def flicker() -> None:
            while True:
                countdown.hold(True)
                await asyncio.sleep(0.02)
                countdown.hold(False)
                await asyncio.sleep(0)

        flickering = asyncio.create_task(flicker())
        assert await self.expires_after_s(countdown) < 2
        flickering.cancel()

    async def test_what_is_heard_after_the_end_changes_nothing(self) -> None:
        countdown = Countdown(0.02)
        await self.expires_after_s(countdown)
        countdown.hold(True)
        countdown.hold(False)
        countdown.end()
        countdown.hold(True)

    async def test_an_answer_that_comes_in_time_of_its_own_counts(self) -> None:
        pipe, countdown = Pipe(), Countdown(0.2)
        loop = asyncio.get_running_loop()
        loop.call_later(0.05, countdown.hold, True)
        loop.call_later(0.6, countdown.hold, False)
        loop.call_later(0.65, pipe.out.feed, b'{"output": 1}\n')
        reply = await ask(pipe, a_case(), KEY, countdown=countdown, last=True)
        assert reply.answer is not None
        assert (reply.timed_out, reply.capped) == (False, False)
