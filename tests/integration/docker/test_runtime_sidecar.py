"""The sidecar: keys stay in it, it is replaced when it dies, it reaches what it must."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import psutil
import pytest
from aiohttp import web

from pacabench.errors import SandboxError, SandboxUnavailableError
from pacabench.proxy.control import ProviderSpec
from pacabench.sandbox.docker import supervisor
from pacabench.sandbox.docker.engine import Engine
from tests.integration.docker.conftest import Rig, case, containers_of, tell

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300)]  # images may have to be built

REAL_KEY = "sk-real-canary-5f1d0c"


@dataclass
class Provider:
    """An OpenAI-like provider on this machine."""

    port: int = 0
    keys: list[str] = field(default_factory=list)
    asked: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))
    """Released by every request."""
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    """Replies wait for it."""

    async def answer(self, request: web.Request) -> web.Response:
        self.keys.append(request.headers["authorization"])
        self.asked.release()
        await self.gate.wait()
        return web.json_response(
            {
                "id": "x",
                "object": "chat.completion",
                "model": "real",
                "choices": [{"index": 0, "message": {"role": "assistant", "content": "pong"}}],
                "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
            }
        )

    def spec(self, host: str = "127.0.0.1") -> ProviderSpec:
        return ProviderSpec("openai", "openai", f"http://{host}:{self.port}/v1", REAL_KEY)


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    made = Provider()
    made.gate.set()
    app = web.Application()
    app.router.add_post("/v1/chat/completions", made.answer)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "0.0.0.0", 0)
    await site.start()
    made.port = runner.addresses[0][1]
    yield made
    made.gate.set()
    await runner.cleanup()


async def networks_of(engine: Engine, run_id: str) -> list[str]:
    """Network modes of a run's sidecars."""
    found = []
    for container in await containers_of(engine, run_id, "sidecar"):
        told = await engine.call(lambda client, it=container: client.inspect_container(it))
        found.append(told["HostConfig"]["NetworkMode"])
    return found


async def test_a_provider_on_this_machine_gives_only_the_sidecar_the_hosts_network(
    rig: Rig, engine: Engine, provider: Provider
) -> None:
    agent = rig.agent()
    async with rig.open(agent, providers=[provider.spec()]) as sandbox:
        assert await networks_of(engine, rig.run_id) == ["host"]
        assert any("host's network" in text for text in rig.notices)
        session = await sandbox.start(agent)
        await session.bind("one")
        assert await tell(session, "say(ask_model('ping'))") == "pong"
        assert await tell(session, "say(os.listdir('/sys/class/net'))") == ["lo"]
        await session.close()
    assert provider.keys == [f"Bearer {REAL_KEY}"]
    (call,) = rig.calls_of("one")
    assert call.usage is not None
    assert (call.usage.input_tokens, call.usage.output_tokens) == (3, 2)


async def test_any_other_provider_is_reached_over_a_network_of_the_runs_own(
    rig: Rig, engine: Engine, provider: Provider
) -> None:
    addresses = [
        entry.address
        for entries in psutil.net_if_addrs().values()
        for entry in entries
        if entry.family == socket.AF_INET and not entry.address.startswith("127.")
    ]
    if not addresses:
        pytest.skip("this machine has no address but loopback")
    agent = rig.agent()
    async with rig.open(agent, providers=[provider.spec(addresses[0])]) as sandbox:
        (mode,) = await networks_of(engine, rig.run_id)
        network = await engine.call(lambda client: client.inspect_network(mode))
        assert network["Labels"]["pacabench.run"] == rig.run_id
        assert network["Options"]["com.docker.network.bridge.enable_icc"] == "false"
        session = await sandbox.start(agent)
        await session.bind("one")
        assert await tell(session, "say(ask_model('ping'))") == "pong"
        await session.close()


async def test_the_real_key_is_nowhere_but_in_the_sidecars_memory(
    rig: Rig, engine: Engine, provider: Provider
) -> None:
    agent = rig.agent()
    async with rig.open(agent, providers=[provider.spec()]) as sandbox:
        session = await sandbox.start(agent)
        await session.bind("one")
        await tell(session, "say(ask_model('ping'))")
        key = await tell(session, "say(os.environ['OPENAI_API_KEY'])")
        assert key != REAL_KEY
        wanted = {"label": [f"pacabench.run={rig.run_id}"]}
        ids = [
            item["Id"]
            for item in await engine.call(
                lambda client: client.containers(all=True, filters=wanted)
            )
        ]
        assert len(ids) == 3
        for container in ids:
            told = await engine.call(lambda client, it=container: client.inspect_container(it))
            running = await engine.call(lambda client, it=container: client.top(it, "-ef"))
            assert REAL_KEY not in json.dumps([told, running])
        look = """
import glob
found = []
for path in glob.glob('/proc/*/environ') + glob.glob('/proc/*/cmdline'):
    try:
        found.append(open(path, 'rb').read().decode(errors='replace'))
    except OSError:
        pass
say([''.join(found), open('/proc/self/mountinfo').read()])
"""
        assert REAL_KEY not in "".join(await tell(session, look))
        await session.close()
        log = rig.folder / "run" / "logs" / "sidecar.log"
        assert REAL_KEY not in (log.read_text() if log.exists() else "")


async def test_a_killed_sidecar_fails_what_is_bound_and_is_replaced(
    rig: Rig, engine: Engine, provider: Provider
) -> None:
    agent = rig.agent()
    async with rig.open(agent, providers=[provider.spec()]) as sandbox:
        session = await sandbox.start(agent)
        await session.bind("one")
        assert await tell(session, "say(ask_model('first'))") == "pong"
        provider.gate.clear()
        await session.send(case("say(ask_model('second'))"), last=False)
        async with asyncio.timeout(10):
            for _ in range(2):
                await provider.asked.acquire()
        (sidecar,) = await containers_of(engine, rig.run_id, "sidecar")
        await engine.call(lambda client: client.kill(sidecar))
        with pytest.raises(SandboxError, match="lane"):
            async with asyncio.timeout(10):
                await session.read_line()
        await session.close()
        async with asyncio.timeout(30):
            await session.unbind()
        # What it had taken is known, the call under way as one that nobody knows the end of.
        assert [call.end for call in rig.calls_of("one")] == ["complete", "interrupted"]
        provider.gate.set()
        async with asyncio.timeout(30):
            fresh = await sandbox.start(agent)
        await fresh.bind("two")
        assert await tell(fresh, "say(ask_model('third'))") == "pong"
        await fresh.close()
        assert sidecar not in await containers_of(engine, rig.run_id, "sidecar")
    assert any("a fresh one takes its place" in text for text in rig.notices)
    assert len(rig.calls_of("two")) == 1
    assert len(rig.calls_of("one")) == 2


async def test_a_sidecar_that_keeps_dying_ends_the_run(
    rig: Rig, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "MOST_DEATHS", 2)  # before the supervisor is made
    agent = rig.agent()
    async with rig.open(agent) as sandbox, asyncio.timeout(60):
        for _ in range(2):
            await (await sandbox.start(agent)).close()
            (sidecar,) = await containers_of(engine, rig.run_id, "sidecar")
            await engine.call(lambda client, it=sidecar: client.kill(it))
            await asyncio.sleep(0.2)
        with pytest.raises(SandboxUnavailableError, match="died 2 times"):
            await sandbox.start(agent)


async def test_a_provider_that_cannot_be_configured_ends_the_start(rig: Rig) -> None:
    agent = rig.agent()
    nonsense = ProviderSpec("weird", "no-such-kind")
    with pytest.raises(SandboxUnavailableError, match=r"(?i)kind"):
        async with rig.open(agent, providers=[nonsense]):
            pass
