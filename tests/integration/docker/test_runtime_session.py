"""One agent container, from start to removal, whatever the agent does."""

import asyncio
import json
import resource
import time

import pytest

from pacabench.errors import SandboxError
from pacabench.sandbox.docker.engine import Engine
from tests.integration.docker.conftest import Rig, case, containers_of, left_over, tell

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300)]  # images may have to be built


async def test_an_answer_comes_back_and_the_call_counts_for_the_attempt(rig: Rig) -> None:
    agent = rig.agent()
    async with rig.open(agent) as sandbox:
        session = await sandbox.start(agent)
        await session.bind("one")
        assert await tell(session, "say(ask_model('ping'))") == "ping"
        end = await session.close()
        await session.unbind()
    assert (end.killed, end.out_of_memory, end.stderr_tail) == (True, False, "")
    assert [call.end for call in rig.calls_of("one")] == ["complete"]


async def test_a_session_calls_nothing_before_it_is_bound_nor_after(rig: Rig) -> None:
    agent = rig.agent()
    async with rig.open(agent) as sandbox:
        session = await sandbox.start(agent)
        assert await tell(session, "say(ask_model('early'))") == 403
        await session.bind("one")
        assert await tell(session, "say(ask_model('in time'))") == "in time"
        await session.unbind()
        assert await tell(session, "say(ask_model('late'))") == 403
        await session.bind("two")
        assert await tell(session, "say(ask_model('again'))") == "again"
        await session.close()
    assert [len(rig.calls_of(attempt)) for attempt in ("one", "two")] == [1, 1]


async def test_the_next_agent_in_a_lane_cannot_use_the_last_ones_key(rig: Rig) -> None:
    agent = rig.agent()
    async with rig.open(agent, concurrency=1) as sandbox:
        first = await sandbox.start(agent)
        key = await tell(first, "say(os.environ['OPENAI_API_KEY'])")
        await first.close()
        second = await sandbox.start(agent)
        await second.bind("two")
        assert await tell(second, f"say(ask_model('x', key={key!r}))") == 401
        assert await tell(second, "say(os.environ['OPENAI_API_KEY'])") != key
        await second.close()


async def test_a_late_answer_meets_no_other_case(rig: Rig) -> None:
    agent = rig.agent()
    async with rig.open(agent, concurrency=1) as sandbox:
        slow = await sandbox.start(agent)
        await slow.send(case("time.sleep(0.7); say('late')"), last=False)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await slow.read_line()
        end = await slow.close()
        assert (end.killed, end.signal, end.exit_code) == (True, 9, None)
        after = await sandbox.start(agent)
        await asyncio.sleep(0.7)
        assert await tell(after, "say('mine')") == "mine"
        await after.close()


async def test_exit_code_and_signal_are_told_apart(rig: Rig) -> None:
    agent = rig.agent()
    async with rig.open(agent) as sandbox:
        for code, exit_code, signal in (
            ("sys.stderr.write('bye'); sys.exit(7)", 7, None),
            ("os.kill(os.getpid(), 11)", 139, 11),
            ("sys.exit(0)", 0, None),
        ):
            session = await sandbox.start(agent)
            await session.send(case(code), last=True)
            assert await session.read_line() is None
            end = await session.close()
            assert (end.exit_code, end.signal, end.killed) == (exit_code, signal, False)
            assert end == await session.close()


async def test_too_much_memory_is_seen_as_such(rig: Rig) -> None:
    agent = rig.agent(memory="64m")
    async with rig.open(agent) as sandbox:
        session = await sandbox.start(agent)
        await session.send(case("x = b'x' * 200_000_000; say('fits')"), last=True)
        assert await session.read_line() is None
        end = await session.close()
        assert (end.out_of_memory, end.killed) == (True, False)
        healthy = await sandbox.start(agent)
        assert await tell(healthy, "say(1)") == 1
        assert not (await healthy.close()).out_of_memory


@pytest.mark.parametrize(
    "flood",
    [
        pytest.param("while True: sys.stdout.write('x' * 99 + '\\n')", id="lines"),
        pytest.param("while True: os.write(1, b'\\n' * 65536)", id="newlines"),
        pytest.param("while True: os.write(1, b'x' * 65536)", id="one-line"),
        pytest.param("while True: os.write(2, b'e' * 65536)", id="stderr"),
    ],
)
async def test_a_flood_that_nobody_reads_costs_little_and_ends_at_once(
    rig: Rig, flood: str
) -> None:
    agent = rig.agent()
    async with rig.open(agent) as sandbox:
        session = await sandbox.start(agent)
        before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        await session.send(case(f"say('it begins')\n{flood}"), last=False)
        assert await session.read_line() is not None
        await asyncio.sleep(2)
        asked = time.monotonic()
        end = await session.close()
        assert time.monotonic() - asked < 1.0
        assert end.killed
        assert end.stdout_bytes + end.stderr_bytes > 1_000_000
        grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib
        assert grown_kib < 160 * 1024


async def test_an_agent_that_never_reads_holds_nobody_up(rig: Rig) -> None:
    agent = rig.agent("echo '{\"output\": 1}'; exec sleep 60")
    async with rig.open(agent) as sandbox:
        session = await sandbox.start(agent)
        sending = asyncio.create_task(session.send(b"x" * 8_000_000 + b"\n", last=True))
        assert await session.read_line() == b'{"output": 1}'
        assert not sending.done()
        sending.cancel()
        assert (await session.close()).killed


async def test_the_last_line_closes_stdin(rig: Rig) -> None:
    agent = rig.agent("cat")
    async with rig.open(agent) as sandbox:
        session = await sandbox.start(agent)
        await session.send(b"a\nb\n", last=True)
        assert [await session.read_line() for _ in range(3)] == [b"a", b"b", None]
        assert (await session.close()).exit_code == 0


async def test_a_long_answer_comes_whole(rig: Rig) -> None:
    agent = rig.agent()
    async with rig.open(agent) as sandbox:
        session = await sandbox.start(agent)
        assert await tell(session, "say('é' * 5_000_000)") == "é" * 5_000_000
        await session.close()


async def test_the_work_directory_holds_the_source_and_takes_a_bounded_amount(rig: Rig) -> None:
    agent = rig.agent(tmp_size="16m")
    async with rig.open(agent) as sandbox:
        session = await sandbox.start(agent)
        assert await tell(session, "say('agent.py' in os.listdir())")
        assert await tell(session, "open('beside', 'w').write('x'); say(os.getcwd())") == "/work"
        fill = """
def fill(path):
    try:
        with open(path, 'wb') as file:
            while True:
                file.write(b'x' * 1_000_000)
    except OSError as error:
        return os.strerror(error.errno), os.path.getsize(path)
say([fill('/work/big'), fill('/tmp/big')])
"""
        for why, size in await tell(session, fill):
            assert why == "No space left on device"
            assert size <= 16 * 1024**2
        await session.close()
        again = await sandbox.start(agent)
        many = """
try:
    for n in range(100_000):
        os.close(os.open(f'/tmp/{n}', os.O_CREAT))
except OSError as error:
    say([error.errno, n])
else:
    say('no end')
"""
        number, made = await tell(again, many)
        assert (number, made < 5000) == (28, True)
        for path in ("/x", "/opt/x", "/opt/agent/x", "/etc/x", "/var/tmp/x"):
            write = f"try: open('{path}', 'w'); say('done')\nexcept OSError as e: say(e.errno)"
            assert await tell(again, write) != "done"
        await again.close()


async def test_the_environment_is_the_agents_own_and_the_proxys(rig: Rig) -> None:
    agent = rig.agent(env={"MODE": "a b\nc", "HOME": "/elsewhere"})
    async with rig.open(agent) as sandbox:
        session = await sandbox.start(agent)
        env = await tell(session, "say(dict(os.environ))")
        await session.close()
    assert env["MODE"] == "a b\nc"
    assert env["HOME"] == "/elsewhere"
    assert env["OPENAI_BASE_URL"] == env["OPENAI_API_BASE"] == "http://127.0.0.1:8080/v1"
    assert env["OPENAI_API_KEY"].startswith("sk-pacabench-")
    assert env["PYTHONUNBUFFERED"] == "1"


async def test_without_a_provider_there_is_no_way_to_call_one(rig: Rig) -> None:
    agent = rig.agent()
    async with rig.open(agent, providers=()) as sandbox:
        session = await sandbox.start(agent)
        await session.bind("one")
        assert await tell(session, "say('OPENAI_API_KEY' in os.environ)") is False
        status = (
            "os.environ['OPENAI_BASE_URL'] = 'http://127.0.0.1:8080/v1'; say(ask_model('x', 'k'))"
        )
        assert await tell(session, status) == 403
        await session.unbind()
        await session.close()
    assert rig.calls == []


async def test_a_cancelled_start_leaves_nothing(rig: Rig, engine: Engine) -> None:
    agent = rig.agent()
    async with rig.open(agent, concurrency=1) as sandbox:
        for delay_s in (0.0, 0.01, 0.03, 0.08, 0.15):
            starting = asyncio.create_task(sandbox.start(agent))
            await asyncio.sleep(delay_s)
            if starting.cancel():
                with pytest.raises(asyncio.CancelledError):
                    await starting
            else:  # a machine that is quick has started it
                await starting.result().close()
            assert await containers_of(engine, rig.run_id, "agent") == []
        async with asyncio.timeout(20):
            session = await sandbox.start(agent)
        assert await tell(session, "say('still')") == "still"
        await session.close()


async def test_closing_is_shared_and_the_container_is_gone_then(rig: Rig, engine: Engine) -> None:
    agent = rig.agent()
    async with rig.open(agent) as sandbox:
        session = await sandbox.start(agent)
        ends = await asyncio.gather(session.close(), session.close(), session.close())
        assert ends[0] == ends[1] == ends[2]
        assert await containers_of(engine, rig.run_id, "agent") == []


async def test_a_session_left_open_is_removed_with_the_sandbox(rig: Rig, engine: Engine) -> None:
    agent = rig.agent()
    async with rig.open(agent) as sandbox:
        await sandbox.start(agent)
    assert await left_over(engine, rig.run_id) == []


async def test_a_container_removed_by_somebody_else_ends_the_session_like_any(
    rig: Rig, engine: Engine
) -> None:
    agent = rig.agent()
    async with rig.open(agent) as sandbox:
        session = await sandbox.start(agent)
        (container,) = await containers_of(engine, rig.run_id, "agent")
        await engine.call(lambda client: client.remove_container(container, force=True))
        assert await session.read_line() is None
        await session.close()


async def test_teardown_runs_once_in_a_container_and_its_failure_is_a_notice(rig: Rig) -> None:
    good = rig.agent(teardown="test -f agent.py")
    bad = rig.agent(name="bad", teardown="echo no >&2; exit 3")
    async with rig.open(good, bad) as sandbox:
        await sandbox.run_teardown(good)
        assert rig.notices == []
        await sandbox.run_teardown(bad)
        assert rig.notices == ["teardown of agent 'bad' failed: it exited with 3: no\n"]


async def test_a_start_that_the_engine_refuses_is_a_sandbox_error(rig: Rig) -> None:
    agent = rig.agent()
    weird = rig.agent(memory="1m")  # the engine wants 6 MB at least
    async with rig.open(agent) as sandbox:
        with pytest.raises(SandboxError, match=r"(?i)memory"):
            await sandbox.start(weird)


def test_cases_are_lines() -> None:
    assert json.loads(case("x\ny")) == {"input": "x\ny"}
