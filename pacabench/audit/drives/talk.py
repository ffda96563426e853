"""Several cases in one attacker's container, and harnesses that read them naively."""

import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from pacabench.agent import Countdown, Reply, ask
from pacabench.aio import finish
from pacabench.audit.attack import Alter, Observation
from pacabench.audit.bench import LIMITS, Bench
from pacabench.config.schema import SandboxConfig
from pacabench.model import JSON, Case, CaseKey, ExitFacts
from pacabench.protocol import encode_case
from pacabench.sandbox.docker.images.agent import AgentImage
from pacabench.sandbox.docker.session import DockerSession

NOTHING = Reply(answer=None, timed_out=False, silent=True, log=b"", duration_ms=0.0)


class Talk:
    """One container of an attacker. Made by :func:`open_talk`."""

    def __init__(self, bench: Bench, session: DockerSession) -> None:
        self.session = session
        self.end: ExitFacts | None = None
        """Once it is over."""
        self.close_s = 0.0
        """How long it took to end it and to remove every trace."""
        self._bench = bench

    async def ask(
        self, name: str, given: Mapping[str, JSON], *, timeout_s: float, last: bool = False
    ) -> Reply:
        """One case to the script ``name``, as a run asks."""
        case, key = await self._begin(name, given)
        return await ask(self.session, case, key, countdown=Countdown(timeout_s), last=last)

    async def ask_on(self, name: str, given: Mapping[str, JSON], *, timeout_s: float) -> Reply:
        """Another case, of which the proxy is told nothing."""
        case, key = self._bench.case(name, given)
        return await ask(self.session, case, key, countdown=Countdown(timeout_s), last=False)

    async def send(self, name: str, given: Mapping[str, JSON], *, last: bool = False) -> None:
        """One case, and nothing is read."""
        case, _ = await self._begin(name, given)
        await self.session.send(encode_case(case, shown_id=case.case_id), last=last)

    async def _begin(self, name: str, given: Mapping[str, JSON]) -> tuple[Case, CaseKey]:
        case, key = self._bench.case(name, given)
        await self.session.unbind()
        await self.session.bind(self._bench.new_attempt(key))
        return case, key

    async def naive_answer(self) -> JSON:
        """What a harness takes for the answer that believes the next line with an ``output``."""
        while (line := await self.session.read_line()) is not None:
            try:
                message = json.loads(line)
            except ValueError:
                continue
            if isinstance(message, dict) and "output" in message:
                return message["output"]
        return None

    async def close(self) -> None:
        """End it."""
        began = time.monotonic()
        self.end = await self.session.close()
        self.close_s = time.monotonic() - began

    def observed(self, broke: bool, **evidence: JSON) -> Observation:
        """What a drive noticed, for the judge ``noted``. Once it is over."""
        return Observation(NOTHING, self.end, (), self.close_s, {"broke": broke, **evidence})


@asynccontextmanager
async def open_talk(
    bench: Bench,
    scripts: Mapping[str, str],
    *,
    alter: Alter | None = None,
    limits: SandboxConfig = LIMITS,
    image: AgentImage | None = None,
) -> AsyncIterator[Talk]:
    """A started attacker, which is gone at the end.

    Raises:
        SandboxError: it cannot be started.
    """
    session = await bench.start(scripts, alter=alter, limits=limits, image=image)
    talk = Talk(bench, session)
    try:
        yield talk
    finally:
        await finish(talk.close())


def remark(broke: bool, **evidence: Any) -> Observation:
    """What a drive without a container of its own noticed, for the judge ``noted``."""
    return Observation(NOTHING, None, (), 0.0, {"broke": broke, **evidence})
