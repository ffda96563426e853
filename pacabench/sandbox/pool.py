"""Which session serves the next case: a fresh one, or a worker that is kept for many."""

import asyncio
from collections.abc import Iterable

from pacabench.aio import finish
from pacabench.model import ExitFacts
from pacabench.sandbox.base import Sandbox, SandboxAgent, Session


def most_sessions(agents: Iterable[SandboxAgent], concurrency: int) -> int:
    """How many sessions may be open at a time: one per running case, and workers that wait.

    As many workers wait as cases run, but never less than one per agent that has any: else two
    agents that take turns would end each other's workers before every case.
    """
    workers = sum(agent.sandbox.isolation == "worker" for agent in agents)
    return concurrency + (max(concurrency, workers) if workers else 0)


class SessionPool:
    """Hands out sessions by each agent's ``isolation``, never more than ``most`` at a time.

    ``most`` is more than the number of cases that run at a time: then there is always a worker
    that waits, and can make room, when the limit is met.
    """

    def __init__(self, sandbox: Sandbox, *, most: int) -> None:
        self._sandbox = sandbox
        self._most = most
        self._idle: list[tuple[str, Session]] = []
        """Agent names and workers, the one that waits longest first."""
        self._open: set[Session] = set()
        self._starting = 0

    def take_idle(self, agent: SandboxAgent) -> Session | None:
        """A worker that already answered cases, or None. It may have died meanwhile."""
        for place in reversed(range(len(self._idle))):
            if self._idle[place][0] == agent.name:
                return self._idle.pop(place)[1]
        return None

    async def start(self, agent: SandboxAgent) -> Session:
        """A fresh session. Where there is no room for it, the oldest worker that waits is ended.

        Raises:
            SandboxError: this start failed.
            SandboxUnavailableError: no start can work.
        """
        self._starting += 1
        try:
            while self._idle and len(self._open) + self._starting > self._most:
                await self.close(self._idle.pop(0)[1])
            session = await self._sandbox.start(agent)
            self._open.add(session)
        finally:
            self._starting -= 1
        return session

    def keep(self, agent: SandboxAgent, session: Session) -> None:
        """Take back a worker that answered, for the next case."""
        self._idle.append((agent.name, session))

    async def close(self, session: Session) -> ExitFacts:
        """End ``session`` for good, whoever is cancelled meanwhile."""
        self._open.discard(session)
        return await finish(session.close())

    async def close_idle(self) -> None:
        """End every worker that waits. Call it when no more cases come."""
        sessions = [session for _, session in self._idle]
        self._idle.clear()
        await asyncio.gather(*(self.close(session) for session in sessions))
