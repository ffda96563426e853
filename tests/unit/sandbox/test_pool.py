"""Sessions that are kept, and room that is made."""

from pathlib import Path
from typing import Literal

import pytest

from pacabench.config.schema import AgentConfig, SandboxConfig
from pacabench.errors import SandboxError
from pacabench.sandbox.base import SandboxAgent
from pacabench.sandbox.pool import SessionPool, most_sessions
from pacabench.testing import FakeSandbox, ScriptedAgent


def agent(name: str, isolation: Literal["case", "worker"] = "worker") -> SandboxAgent:
    return SandboxAgent(
        config=AgentConfig(name=name, command="unused"),
        sandbox=SandboxConfig(isolation=isolation),
        env={},
        source=None,
        requirements=None,
        project=Path(),
    )


A, B, C = agent("a"), agent("b"), agent("c")


@pytest.fixture
def sandbox() -> FakeSandbox:
    return FakeSandbox(ScriptedAgent(), on_call=lambda _: None)


async def test_a_worker_is_handed_out_to_its_own_agent_only(sandbox: FakeSandbox) -> None:
    pool = SessionPool(sandbox, most=2)
    session = await pool.start(A)
    pool.keep(A, session)

    assert pool.take_idle(B) is None
    assert pool.take_idle(A) is session
    assert pool.take_idle(A) is None


async def test_the_worker_that_waits_longest_makes_room(sandbox: FakeSandbox) -> None:
    pool = SessionPool(sandbox, most=2)
    first, second = await pool.start(A), await pool.start(B)
    pool.keep(A, first)
    pool.keep(B, second)
    third = await pool.start(C)

    assert sandbox.live == {second, third}
    assert pool.take_idle(A) is None
    assert pool.take_idle(B) is second


async def test_a_start_that_fails_takes_no_room(sandbox: FakeSandbox) -> None:
    pool = SessionPool(
        FakeSandbox(ScriptedAgent(), on_call=print, start_failures=[SandboxError()]), most=1
    )
    with pytest.raises(SandboxError):
        await pool.start(A)
    session = await pool.start(A)
    pool.keep(A, session)

    assert pool.take_idle(A) is session


@pytest.mark.parametrize(
    ("agents", "concurrency", "most"),
    [
        ([agent("x", "case"), agent("y", "case")], 4, 4),
        ([A, agent("y", "case")], 4, 8),
        ([A, B, C], 1, 4),
    ],
)
def test_room_is_for_running_cases_and_waiting_workers(
    agents: list[SandboxAgent], concurrency: int, most: int
) -> None:
    assert most_sessions(agents, concurrency) == most
