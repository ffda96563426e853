"""Cases that go the whole way that a run's go, and harnesses that take shorter ones."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from pacabench.attempt import Workshop, run_attempt
from pacabench.audit.attack import Attack
from pacabench.audit.bench import DATASET, LIMITS, Bench
from pacabench.audit.drives.talk import Talk
from pacabench.config.evaluators import ExactMatchConfig
from pacabench.config.schema import AgentConfig
from pacabench.evaluators.factory import make_evaluator
from pacabench.model import JSON, Case, CaseKey, CaseResult, PlannedAttempt, new_attempt_id
from pacabench.sandbox.base import SandboxAgent, SandboxFacts, Session
from pacabench.sandbox.pool import SessionPool

Isolation = Literal["case", "worker"]
_AGENT = "attacker"


class _AttackSandbox:
    """A :class:`~pacabench.sandbox.base.Sandbox` whose only agent is an attack."""

    facts = SandboxFacts(kind="docker", engine=None, image_digests={})

    def __init__(self, bench: Bench, attack: Attack) -> None:
        self._bench = bench
        self._scripts = {attack.id: attack.script}

    async def start(self, _: SandboxAgent) -> Session:
        """The attack in a container."""
        return await self._bench.start(self._scripts)

    async def run_teardown(self, agent: SandboxAgent) -> None:
        """It has none."""


async def run_cases(
    bench: Bench,
    attack: Attack,
    cases: Sequence[Mapping[str, JSON]],
    *,
    isolation: Isolation,
    timeouts_s: Sequence[float],
) -> list[CaseResult]:
    """One attempt at each case after the other, as ``run`` makes them.

    Each has its own timeout, so that only those that shall be late are on a busy machine.
    ``expected`` of a case is what its answer is compared with; the rest is the script's input.
    """
    sandbox = LIMITS.model_copy(update={"isolation": isolation})
    config = AgentConfig(name=_AGENT, command="true")
    agent = SandboxAgent(config, sandbox, {}, None, None, Path())
    pool = SessionPool(_AttackSandbox(bench, attack), most=1)
    workshop = Workshop(
        pool=pool,
        agents={_AGENT: agent},
        evaluators={DATASET: make_evaluator(ExactMatchConfig(), Path())},
        timeout_s=timeouts_s[0],
        calls_of=bench.ledger.of,
        keep_log=_keep_no_log,
    )
    try:
        return [
            await run_attempt(
                _planned(bench, attack, number, case), replace(workshop, timeout_s=timeout_s)
            )
            for number, (case, timeout_s) in enumerate(zip(cases, timeouts_s, strict=True))
        ]
    finally:
        await pool.close_idle()


def _planned(bench: Bench, attack: Attack, number: int, case: Mapping[str, JSON]) -> PlannedAttempt:
    given = {**bench.given, "attack": attack.id, **attack.given, **case}
    expected = given.pop("expected", bench.ground.expected_canary)
    key = CaseKey(agent=_AGENT, dataset=DATASET, case_id=f"{attack.id}-{number}")
    return PlannedAttempt(
        key=key,
        cases=[Case(dataset=DATASET, case_id=key.case_id, input=given, expected=expected)],
        place=0,
        number=1,
        attempt_id=new_attempt_id(key),
    )


async def _keep_no_log(_attempt: str, _log: bytes, _stderr: str) -> None:
    return None


async def naive_answers(
    talk: Talk, attack: Attack, cases: Sequence[Mapping[str, JSON]], waits_s: Sequence[float]
) -> list[JSON]:
    """What a harness takes for the answers that keeps its worker whatever happened.

    It waits for each answer as long as ``waits_s`` says, and throws nothing away in between.
    """
    answers: list[JSON] = []
    for case, wait_s in zip(cases, waits_s, strict=True):
        await talk.send(attack.id, {**attack.given, **case})
        try:
            async with asyncio.timeout(wait_s):
                answers.append(await talk.naive_answer())
        except TimeoutError:
            answers.append(None)
    return answers
