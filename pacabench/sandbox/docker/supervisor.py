"""Keeps one sidecar running: when it dies, a fresh one with fresh lanes takes its place."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pacabench.aio import finish, first_of, running_time
from pacabench.errors import PacabenchError, SandboxError, SandboxUnavailableError
from pacabench.events import Notice
from pacabench.sandbox.docker.runtime import Runtime, RuntimePlan, open_runtime

MOST_DEATHS = 5
DEATHS_WITHIN_S = 120.0
_START_TRIES = 3


class Supervisor:
    """Knows the runtime that serves at present. Made by :func:`supervise`."""

    def __init__(self, plan: RuntimePlan) -> None:
        self._plan = plan
        self._current: Runtime | None = None
        self._failure: PacabenchError | None = None
        self._deaths: deque[float] = deque(maxlen=MOST_DEATHS)
        self._news = asyncio.Event()
        self._stop = asyncio.Event()

    async def runtime(self) -> Runtime:
        """The runtime that serves; waits while a dead one is being replaced.

        Raises:
            SandboxUnavailableError: none can be made any more.
        """
        while self._current is None or self._current.sidecar.lost.is_set():
            if self._failure is not None:
                raise self._failure
            self._news.clear()
            await self._news.wait()
        return self._current

    async def run(self) -> None:
        """Serve until :meth:`stop`. What goes wrong is raised by :meth:`runtime`."""
        try:
            while not self._stop.is_set():
                why = await self._serve_once()
                if not self._stop.is_set():
                    self._note_death(why)
        except PacabenchError as error:
            self._fail(error)
        except BaseException:
            self._fail(SandboxUnavailableError("the sidecar's supervisor was stopped"))
            raise

    def _note_death(self, why: str) -> None:
        self._deaths.append(running_time())
        first, last = self._deaths[0], self._deaths[-1]
        if len(self._deaths) == MOST_DEATHS and last - first < DEATHS_WITHIN_S:
            raise SandboxUnavailableError(
                f"the sidecar died {MOST_DEATHS} times within {DEATHS_WITHIN_S:.0f} s "
                f"(last: {why}); see logs/sidecar.log in the run's directory"
            )
        self._tell(f"the sidecar died ({why}); a fresh one takes its place")

    def stop(self) -> None:
        """End in good order."""
        self._stop.set()

    async def _serve_once(self) -> str:
        """Open a runtime, serve until it dies or the end comes, remove it; returns why it died."""
        for tries_left in reversed(range(_START_TRIES)):
            try:
                async with open_runtime(self._plan) as runtime:
                    self._current = runtime
                    self._news.set()
                    await first_of(runtime.sidecar.lost.wait(), self._stop.wait())
                    self._current = None
                    why = runtime.sidecar.why
            except SandboxError as error:
                if self._current is None and tries_left and not self._stop.is_set():
                    self._tell(f"{error}; trying again")
                    continue
                raise SandboxUnavailableError(str(error)) from error
            else:
                return why
        raise AssertionError("unreachable")

    def _tell(self, text: str) -> None:
        self._plan.context.listener(Notice("warning", text))

    def _fail(self, error: PacabenchError) -> None:
        self._failure = error
        self._current = None
        self._news.set()


@asynccontextmanager
async def supervise(plan: RuntimePlan) -> AsyncIterator[Supervisor]:
    """A supervisor whose first sidecar serves. At the end everything of it is removed.

    Raises:
        SandboxUnavailableError: the sidecar cannot be started.
    """
    supervisor = Supervisor(plan)
    running = asyncio.create_task(supervisor.run())
    try:
        await supervisor.runtime()
        yield supervisor
    finally:
        supervisor.stop()
        await finish(_ended(running))


async def _ended(running: asyncio.Task[None]) -> None:
    await asyncio.wait({running})
    running.result()
