"""A harness was killed: the next one removes what it left, and saves the calls nobody heard of."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from aiohttp import web

from pacabench import owner
from pacabench.events import Preparing
from pacabench.owner import current_owner
from pacabench.proxy.spool import read_spool
from pacabench.sandbox.docker import containers, leftovers
from pacabench.sandbox.docker.engine import Engine
from pacabench.sandbox.docker.labels import Role, RunLabels
from pacabench.sandbox.docker.leftovers import find_leftovers
from pacabench.sandbox.docker.sidecar_network import make_network
from pacabench.sandbox.docker.sweep import remove_session, sweep
from pacabench.sandbox.docker.volume import make_volume
from tests.integration.docker import doomed_harness
from tests.integration.docker.conftest import Rig, containers_of, eventually, left_over, tell

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300)]  # images may have to be built

REPOSITORY = Path(__file__).parents[3]


@dataclass
class SlowProvider:
    """Answers at once, but to ``slow`` only when told to."""

    url: str = ""
    slow_asked: asyncio.Event = field(default_factory=asyncio.Event)
    release: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self, request: web.Request) -> web.Response:
        body = await request.json()
        if body["messages"][0]["content"] == "slow":
            self.slow_asked.set()
            await self.release.wait()
        message = {"role": "assistant", "content": "ok"}
        usage = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
        return web.json_response({"model": "m", "choices": [{"message": message}], "usage": usage})


@pytest.fixture
async def provider() -> AsyncIterator[SlowProvider]:
    made = SlowProvider()
    app = web.Application()
    app.router.add_post("/v1/chat/completions", made.answer)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    yield made
    made.release.set()
    await runner.cleanup()


@pytest.fixture
def here(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """This process is on the doomed harness's machine, where no other test is."""
    monkeypatch.setattr(owner, "_machine", lambda: doomed_harness.machine_of(rig.run_id))


@asynccontextmanager
async def doomed(rig: Rig, provider: SlowProvider) -> AsyncIterator[asyncio.subprocess.Process]:
    """A harness in a process of its own, with one call done and one under way."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        doomed_harness.__file__,
        str(rig.folder),
        str(rig.cache_dir),
        rig.run_id,
        provider.url,
        stdout=asyncio.subprocess.PIPE,
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(90):
            assert (await process.stdout.readline()).strip() == b"ready"
            await provider.slow_asked.wait()
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def test_a_killed_harness_leaves_nothing_after_the_next_sweep(
    rig: Rig, here: None, engine: Engine, provider: SlowProvider
) -> None:
    async with doomed(rig, provider) as harness:
        harness.send_signal(signal.SIGKILL)
        await harness.wait()
        (dead,) = [left for left in await find_leftovers(engine) if left.run_id == rig.run_id]
        assert dead.owner.pid == harness.pid
        assert sorted(item.role for item in dead.containers) == [
            "agent", "agent", "lane", "lane", "sidecar",
        ]  # fmt: skip
        assert (len(dead.volumes), len(dead.networks)) == (1, 0)
        assert "5 containers, 1 volume" in dead.text

        sweeping = asyncio.create_task(sweep(engine, listener=rig.events.append))

        async def no_agents() -> bool:
            return not await containers_of(engine, rig.run_id, "agent")

        await eventually(no_agents)  # they go first, while a call is still under way
        provider.release.set()
        async with asyncio.timeout(60):
            removed = await sweeping
    assert rig.run_id in {left.run_id for left in removed}
    assert await left_over(engine, rig.run_id) == []
    assert any(isinstance(event, Preparing) for event in rig.events)
    (spool,) = (rig.folder / "run" / "spool").iterdir()
    calls = {call.attempt_id: call for call in read_spool(spool)}
    assert calls["done"].end == "complete"
    assert set(calls) == {"done", "under-way"}
    assert list((rig.folder / "run").glob("*.partial")) == []


async def test_a_live_harness_keeps_everything(
    rig: Rig, here: None, engine: Engine, provider: SlowProvider
) -> None:
    async with doomed(rig, provider):
        before = sorted(await left_over(engine, rig.run_id))
        assert len(before) == 6
        assert rig.run_id not in {left.run_id for left in await find_leftovers(engine)}
        await sweep(engine, listener=rig.events.append)
        assert sorted(await left_over(engine, rig.run_id)) == before
        provider.release.set()
    await sweep(engine, listener=rig.events.append)


async def test_opening_a_sandbox_sweeps_first(
    rig: Rig, here: None, engine: Engine, provider: SlowProvider
) -> None:
    async with doomed(rig, provider) as harness:
        harness.kill()
        await harness.wait()
        provider.release.set()
        agent = rig.agent()
        async with rig.open(agent) as sandbox:
            session = await sandbox.start(agent)
            assert await tell(session, "say(1)") == 1
            await session.close()
            assert len(await containers_of(engine, rig.run_id, "agent")) == 0
    assert len(list((rig.folder / "run" / "spool").iterdir())) == 1


async def test_what_could_not_be_saved_at_the_start_is_when_the_sandbox_closes(
    rig: Rig, here: None, engine: Engine, provider: SlowProvider
) -> None:
    async with doomed(rig, provider) as harness:
        harness.kill()
        await harness.wait()
        provider.release.set()
        spool, agent = rig.folder / "run" / "spool", rig.agent()
        spool.write_text("in the way")
        async with rig.open(agent):
            assert any("until its calls can be saved" in text for text in rig.notices)
            spool.unlink()
    assert await left_over(engine, rig.run_id) == []
    (saved,) = spool.iterdir()
    assert {call.attempt_id for call in read_spool(saved)} == {"done", "under-way"}


async def test_two_sweeps_at_a_time_do_not_disturb_each_other(
    rig: Rig, here: None, engine: Engine, provider: SlowProvider
) -> None:
    async with doomed(rig, provider) as harness:
        harness.kill()
        await harness.wait()
        provider.release.set()
        async with asyncio.timeout(90):
            await asyncio.gather(*(sweep(engine, listener=rig.events.append) for _ in range(3)))
    assert await left_over(engine, rig.run_id) == []
    assert rig.notices == []
    (spool,) = (rig.folder / "run" / "spool").iterdir()
    assert {call.attempt_id for call in read_spool(spool)} == {"done", "under-way"}


async def test_a_run_whose_directory_is_gone_is_removed_all_the_same(
    rig: Rig, here: None, engine: Engine, provider: SlowProvider
) -> None:
    async with doomed(rig, provider) as harness:
        harness.kill()
        await harness.wait()
        provider.release.set()
        (rig.folder / "run").rename(rig.folder / "elsewhere")
        await sweep(engine, listener=rig.events.append)
    assert await left_over(engine, rig.run_id) == []
    assert not (rig.folder / "run").exists()


async def test_calls_that_cannot_be_saved_keep_what_holds_them(
    rig: Rig, here: None, engine: Engine, provider: SlowProvider
) -> None:
    async with doomed(rig, provider) as harness:
        harness.kill()
        await harness.wait()
        provider.release.set()
        spool = rig.folder / "run" / "spool"
        spool.write_text("in the way")
        await sweep(engine, listener=rig.events.append)
        assert any("until its calls can be saved" in text for text in rig.notices)
        assert await containers_of(engine, rig.run_id, "agent") == []
        assert len(await left_over(engine, rig.run_id)) > 0
        spool.unlink()
        await sweep(engine, listener=rig.events.append)
    assert len(list(spool.iterdir())) == 1


async def test_what_another_machine_made_is_left_only_when_it_is_long_abandoned(
    rig: Rig, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = RunLabels(
        rig.run_id,
        str(rig.folder / "run"),
        replace(current_owner(), machine="f" * 16, pid=2**22),
    )
    await make_volume(engine, elsewhere)
    await make_network(engine, elsewhere)

    async def is_leftover() -> bool:
        return rig.run_id in {left.run_id for left in await find_leftovers(engine)}

    assert not await is_leftover()
    monkeypatch.setattr(leftovers, "ABANDONED_AFTER_S", 0.5)
    await eventually(is_leftover)
    await remove_session(engine, elsewhere)


async def test_whose_process_id_was_used_again_is_dead_and_only_that_is_removed(
    rig: Rig, engine: Engine
) -> None:
    """The same host, boot and pid as this process; only the start differs."""
    me = current_owner()
    mine = RunLabels(rig.run_id, str(rig.folder), me)
    dead = RunLabels(f"{rig.run_id}-dead", "", replace(me, started=me.started - 5))
    boot = RunLabels(f"{rig.run_id}-boot", "", replace(me, boot="0" * 16))
    elsewhere = RunLabels(f"{rig.run_id}-far", "", replace(me, machine="f" * 16, host="far"))
    for each in (mine, dead, boot, elsewhere):
        await make_volume(engine, each)
    try:
        swept = await sweep(engine, listener=rig.events.append)
        assert {dead.run_id, boot.run_id} <= {left.run_id for left in swept}
        for gone in (dead, boot):
            assert await left_over(engine, gone.run_id) == []
        for kept in (mine, elsewhere):
            assert len(await left_over(engine, kept.run_id)) == 1
    finally:
        for each in (mine, dead, boot, elsewhere):
            await remove_session(engine, each)


async def test_only_ones_own_session_is_removed(rig: Rig, engine: Engine) -> None:
    mine = RunLabels(rig.run_id, str(rig.folder), current_owner())
    other = RunLabels(rig.run_id, str(rig.folder), current_owner())
    kept = await make_volume(engine, other)
    await make_volume(engine, mine)
    await make_network(engine, mine)
    await remove_session(engine, mine)
    await remove_session(engine, mine)
    assert await left_over(engine, rig.run_id) == [kept]
    await remove_session(engine, other)


async def test_labels_are_read_back_as_they_were_given(rig: Rig, engine: Engine) -> None:
    labels = RunLabels(rig.run_id, str(rig.folder), current_owner())
    name = await make_volume(engine, labels)
    told = await engine.call(lambda client: client.inspect_volume(name))
    assert told["Labels"] == labels.of(Role.RUNTIME)
    assert json.loads(json.dumps(told["Labels"])) == labels.of(Role.RUNTIME)
    await remove_session(engine, labels)
    assert containers.SIGKILL == signal.SIGKILL
