"""In which order, how many at a time, again or not, and when to stop.

Knows nothing of containers or agents: it is given ``execute``, which makes one attempt.
"""

import asyncio
import heapq
import itertools
import random
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace

from pacabench.aio import settle
from pacabench.model import CaseResult, Outcome, PlannedAttempt, new_attempt_id

Execute = Callable[[PlannedAttempt], Awaitable[CaseResult]]
"""Makes one attempt. Raises only what must end the run."""
Record = Callable[[CaseResult, bool], Awaitable[None]]
"""Puts a result on disk; the flag says that the case will be tried again."""
Abandoned = Callable[[PlannedAttempt], CaseResult]
"""The result of an attempt that was cut off when the grace period ended."""


class Stop:
    """Asks a run to end in good order: no new cases, running ones may finish."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    @property
    def requested(self) -> bool:
        """Whether somebody asked."""
        return self._event.is_set()

    def request(self) -> None:
        """Ask. Idempotent, safe in a signal handler of the loop."""
        self._event.set()

    async def wait(self) -> None:
        """Return once somebody asked."""
        await self._event.wait()


@dataclass(frozen=True, slots=True)
class Policy:
    """The numbers a schedule keeps to."""

    concurrency: int
    max_retries: int = 2
    """Further attempts after an infrastructure outcome."""
    backoff_s: float = 1.0
    """Before the first retry; doubles with each."""
    backoff_cap_s: float = 60.0
    grace_s: float = 60.0
    """How long running cases may go on after a stop."""

    def delay_s(self, retry: int) -> float:
        """Seconds before the ``retry``-th retry (from 1): exponential, with full jitter.

        Jitter as in "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015), but never
        less than half, so that a provider which asked for quiet gets some.
        """
        ceiling = min(self.backoff_cap_s, self.backoff_s * 2.0 ** (retry - 1))
        return ceiling * random.uniform(0.5, 1.0)  # noqa: S311 - no secret hangs on it


@dataclass(frozen=True, slots=True, order=True)
class _Item:
    ready_at: float
    turn: int
    planned: PlannedAttempt
    retries: int


class Schedule:
    """One pass over planned attempts. Use once."""

    def __init__(
        self,
        planned: Iterable[PlannedAttempt],
        *,
        execute: Execute,
        record: Record,
        abandoned: Abandoned,
        policy: Policy,
        stop: Stop,
    ) -> None:
        self._execute = execute
        self._record = record
        self._abandoned = abandoned
        self._policy = policy
        self._stop = stop
        self._turns = itertools.count()
        self._waiting = [_Item(0.0, next(self._turns), attempt, 0) for attempt in planned]
        self._running: set[asyncio.Task[CaseResult]] = set()
        self._cutting = False
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """Make every attempt, or stop when asked. Every started attempt has ended on return.

        Cancelling it cuts running attempts off at once and records nothing for them.

        Raises:
            Exception: whatever ``execute`` or ``record`` raised first; the rest is cut off.
        """
        if not self._waiting:
            return
        workers = min(self._policy.concurrency, len(self._waiting))
        try:
            async with asyncio.TaskGroup() as group:
                watcher = group.create_task(self._cut_after_grace())
                tasks = [group.create_task(self._work()) for _ in range(workers)]
                await asyncio.wait(tasks)
                watcher.cancel()
        except BaseExceptionGroup as several:
            raise _first(several) from None

    async def _cut_after_grace(self) -> None:
        await self._stop.wait()
        self._changed.set()
        await asyncio.sleep(self._policy.grace_s)
        self._cutting = True
        for task in self._running:
            task.cancel()

    async def _work(self) -> None:
        while (item := await self._next()) is not None:
            result = await self._attempt(item.planned)
            again = self._again(item, result)
            await self._record(result, again is not None)
            if again is not None:
                heapq.heappush(self._waiting, again)
            self._changed.set()

    async def _next(self) -> _Item | None:
        loop = asyncio.get_running_loop()
        while not self._stop.requested:
            wait_s: float | None = None
            if self._waiting:
                wait_s = self._waiting[0].ready_at - loop.time()
                if wait_s <= 0:
                    return heapq.heappop(self._waiting)
            elif not self._running:
                return None
            self._changed.clear()
            try:
                async with asyncio.timeout(wait_s):
                    await self._changed.wait()
            except TimeoutError:
                continue
        return None

    async def _attempt(self, planned: PlannedAttempt) -> CaseResult:
        task: asyncio.Task[CaseResult] = asyncio.ensure_future(self._run_one(planned))
        self._running.add(task)
        try:
            await asyncio.wait({task})
        finally:
            if not task.done():
                await settle({task})
            self._running.discard(task)
            self._changed.set()
        if task.cancelled() and self._cutting:
            return self._abandoned(planned)
        return task.result()

    async def _run_one(self, planned: PlannedAttempt) -> CaseResult:
        return await self._execute(planned)

    def _again(self, item: _Item, result: CaseResult) -> _Item | None:
        if not result.outcome.is_infrastructure or result.outcome is Outcome.CANCELLED:
            return None
        if item.retries >= self._policy.max_retries or self._stop.requested:
            return None
        retries = item.retries + 1
        planned = replace(
            item.planned,
            number=item.planned.number + 1,
            attempt_id=new_attempt_id(item.planned.key),
        )
        ready_at = asyncio.get_running_loop().time() + self._policy.delay_s(retries)
        return _Item(ready_at, next(self._turns), planned, retries)


def _first(several: BaseExceptionGroup[BaseException]) -> BaseException:
    error: BaseException = several
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
