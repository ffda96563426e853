"""What stands still in a run, and how it is noticed: frozen containers, and calls nobody ends."""

import asyncio

import pytest

from pacabench.errors import SandboxError
from pacabench.sandbox.docker import sidecar as sidecar_module
from pacabench.sandbox.docker.engine import Engine
from tests.integration.docker.conftest import Rig, case, containers_of, tell

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300)]  # images may have to be built


async def freeze(engine: Engine, container: str) -> None:
    """As if every process in it were stopped."""
    await engine.call(lambda client: client.pause(container))


async def test_a_frozen_agent_or_holder_holds_nobody_up(rig: Rig, engine: Engine) -> None:
    agent = rig.agent()
    async with rig.open(agent) as sandbox:
        session = await sandbox.start(agent)
        (agents,) = await containers_of(engine, rig.run_id, "agent")
        await session.bind("frozen-agent")
        await freeze(engine, agents)
        await session.send(case("say(1)"), last=False)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await session.read_line()
        facts = await session.close()
        assert (facts.killed, session.failure) == (True, None)

        session = await sandbox.start(agent)
        (holder,) = await containers_of(engine, rig.run_id, "lane")
        await freeze(engine, holder)
        await session.bind("frozen-holder")
        assert await tell(session, "say(ask_model('ping'))") == "ping"
        await session.close()
        assert len(rig.calls_of("frozen-holder")) == 1


async def test_a_frozen_sidecar_fails_the_case_and_is_replaced(
    rig: Rig, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sidecar_module, "PING_EVERY_S", 0.5)
    agent = rig.agent()
    async with rig.open(agent) as sandbox:
        session = await sandbox.start(agent)
        await session.bind("frozen")
        assert await tell(session, "say(ask_model('before'))") == "before"
        (sidecar,) = await containers_of(engine, rig.run_id, "sidecar")
        await freeze(engine, sidecar)
        with monkeypatch.context() as short:  # no other sidecar is asked in so little time
            short.setattr(sidecar_module, "PING_WITHIN_S", 3.0)
            await session.send(case("say(ask_model('hangs', timeout=99))"), last=False)
            with pytest.raises(SandboxError, match="lane went down"):
                await session.read_line()
        await session.close()
        assert session.failure is not None
        assert "did not answer within" in session.failure
        assert next(call.end for call in rig.calls_of("frozen")) == "complete"

        again = await sandbox.start(agent)
        await again.bind("again")
        assert await tell(again, "say(ask_model('after'))") == "after"
        await again.close()
    assert any("did not answer" in text and "fresh one" in text for text in rig.notices)


async def test_an_agent_that_timed_out_while_its_sidecar_was_stuck_is_not_blamed(
    rig: Rig, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its time may be over long before anybody asks the sidecar."""
    monkeypatch.setattr(sidecar_module, "UNBIND_WITHIN_S", 1.0)
    agent = rig.agent()
    async with rig.open(agent) as sandbox:
        session = await sandbox.start(agent)
        await session.bind("short")
        (sidecar,) = await containers_of(engine, rig.run_id, "sidecar")
        await freeze(engine, sidecar)
        await session.close()
        assert session.failure is not None
        assert "in the middle of a case" in session.failure
