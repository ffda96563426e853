"""Which session serves the next case: a fresh one, or a worker that is kept for many."""

import asyncio
from collections import defaultdict

from pacabench.aio import finish
from pacabench.model import ExitFacts
from pacabench.sandbox.base import Sandbox, SandboxAgent, Session


class SessionPool:
    """Hands out sessions by each agent's ``isolation``."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._idle: dict[str, list[Session]] = defaultdict(list)

    def take_idle(self, agent: SandboxAgent) -> Session | None:
        """A worker that already answered cases, or None. It may have died meanwhile."""
        idle = self._idle[agent.name]
        return idle.pop() if idle else None

    async def start(self, agent: SandboxAgent) -> Session:
        """A fresh session.

        Raises:
            SandboxError: this start failed.
            SandboxUnavailableError: no start can work.
        """
        return await self._sandbox.start(agent)

    def keep(self, agent: SandboxAgent, session: Session) -> None:
        """Take back a worker that answered, for the next case."""
        self._idle[agent.name].append(session)

    async def close(self, session: Session) -> ExitFacts:
        """End ``session`` for good, whoever is cancelled meanwhile."""
        return await finish(session.close())

    async def close_idle(self) -> None:
        """End every worker that waits. Call it when no more cases come."""
        sessions = [session for idle in self._idle.values() for session in idle]
        self._idle.clear()
        await asyncio.gather(*(self.close(session) for session in sessions))
