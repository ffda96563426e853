"""In which order, how many at a time, again or not, and when to stop.

Knows nothing of containers or agents: it is given ``execute``, which makes one attempt.
"""

import asyncio
import contextlib
import heapq
import itertools
import random
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

from pacabench.aio import first_of, running_time, settle
from pacabench.breaker import Breaker, BreakerPolicy
from pacabench.model import CaseResult, Outcome, PlannedAttempt, new_attempt_id

MOST_EXCUSED = 20
"""Attempts at one case that an outage may fail without using up its retries."""

Execute = Callable[[PlannedAttempt], Awaitable[CaseResult]]
"""Makes one attempt. Raises only what must end the run."""
Record = Callable[[CaseResult, bool], Awaitable[None]]
"""Puts a result on disk; the flag says that the case will be tried again."""
Again: TypeAlias = Literal["usual", "uncounted", "never"]
"""What comes after an infrastructure outcome: ``uncounted``, a retry that tells nothing of the
infrastructure; ``never``, since it would end the same."""
Judge = Callable[[CaseResult], Again]
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


@dataclass(slots=True, order=True)
class _Item:
    """A case that has yet to be decided."""

    ready_at: float
    turn: int
    planned: PlannedAttempt = field(compare=False)
    retries: int = field(default=0, compare=False)
    excused: int = field(default=0, compare=False)
    """Attempts that an outage failed."""
    begun: float = field(default=0.0, compare=False)
    """When its attempt began, by the loop's clock, as the breaker's."""
    given_up: bool = field(default=False, compare=False)
    """Its retries are used up. An outage that comes to light later brings it back."""


class Schedule:
    """One pass over planned attempts. Use once.

    ``breaker`` is asked before each start; without one nothing is ever paused. ``judge`` says of an
    infrastructure outcome whether another attempt could end otherwise.
    """

    def __init__(
        self,
        planned: Iterable[PlannedAttempt],
        *,
        execute: Execute,
        record: Record,
        abandoned: Abandoned,
        policy: Policy,
        stop: Stop,
        breaker: Breaker | None = None,
        judge: Judge = lambda _: "usual",
    ) -> None:
        self._judge = judge
        self._execute = execute
        self._record = record
        self._abandoned = abandoned
        self._policy = policy
        self._stop = stop
        self._turns = itertools.count()
        self._waiting = [_Item(0.0, next(self._turns), attempt) for attempt in planned]
        self._running: set[asyncio.Task[CaseResult]] = set()
        self._cutting = False
        self._halted: set[str] | None = set()
        """Agents of which no case is started any more; None: all."""
        self._changed = asyncio.Event()
        self._failed_lately: dict[Outcome, list[_Item]] = defaultdict(list)
        """Since the last attempt that ended otherwise."""
        self._failed_agent = ""
        self._breaker = breaker or Breaker(BreakerPolicy(pile=2**63))
        self._breaker.on_change = self._changed.set
        self._breaker.on_certain = self._excuse

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
                watchers = [
                    group.create_task(self._cut_after_grace()),
                    group.create_task(self._watch_patience()),
                ]
                tasks = [group.create_task(self._work()) for _ in range(workers)]
                await asyncio.wait(tasks)
                for watcher in watchers:
                    watcher.cancel()
        except BaseExceptionGroup as several:
            raise _first(several) from None

    def halt(self) -> None:
        """Start no more cases. Those that run go on to their end, retries included.

        Cases that are left out so have no result.
        """
        self._waiting = [item for item in self._waiting if item.retries or item.excused]
        heapq.heapify(self._waiting)
        self._changed.set()

    def forgo(self, agent: str | None) -> None:
        """Start no more cases of ``agent``, or None of any: not again either. Those that run go on.

        Cases that are left out so have no result, and are planned again by the next session.
        """
        if agent is None:
            self._halted = None
        elif self._halted is not None:
            self._halted.add(agent)
        self._waiting = [item for item in self._waiting if not self._is_halted(item)]
        heapq.heapify(self._waiting)
        self._changed.set()

    def _is_halted(self, item: _Item) -> bool:
        return self._halted is None or item.planned.key.agent in self._halted

    @property
    def _ending(self) -> bool:
        return self._stop.requested or self._breaker.over.is_set()

    async def _cut_after_grace(self) -> None:
        await first_of(self._stop.wait(), self._breaker.over.wait())
        self._changed.set()
        await asyncio.sleep(self._policy.grace_s)
        self._cutting = True
        for task in self._running:
            task.cancel()

    async def _watch_patience(self) -> None:
        """Let the breaker give up in time, also while every worker is busy."""
        while not self._breaker.over.is_set():
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._breaker.gives_up_in_s()):
                    await self._changed.wait()
            self._breaker.check()

    async def _work(self) -> None:
        while (item := await self._next()) is not None:
            result = await self._attempt(item.planned)
            again = self._again(item, result)
            await self._record(result, again)
            if again:
                heapq.heappush(self._waiting, item)
            self._changed.set()

    async def _next(self) -> _Item | None:
        loop = asyncio.get_running_loop()
        while not self._ending:
            wait_s: float | None = None
            if self._waiting:
                wait_s = self._breaker.admits_in_s()
                if wait_s is not None:
                    wait_s = max(wait_s, self._waiting[0].ready_at - loop.time())
                if wait_s is not None and wait_s <= 0:
                    return self._take()
            elif not self._running:
                return None
            self._changed.clear()
            try:
                async with asyncio.timeout(wait_s):
                    await self._changed.wait()
            except TimeoutError:
                continue
        return None

    def _take(self) -> _Item:
        """The next one; as a trial one of another agent than failed last, where there is one."""
        item = heapq.heappop(self._waiting)
        if self._breaker.paused and item.planned.key.agent == self._failed_agent:
            now = asyncio.get_running_loop().time()
            others = (
                other
                for other in self._waiting
                if other.ready_at <= now and other.planned.key.agent != self._failed_agent
            )
            other = min(others, default=None)
            if other is not None:
                self._waiting.remove(other)
                self._waiting.append(item)
                heapq.heapify(self._waiting)
                item = other
        item.begun = running_time()
        self._breaker.started(item.planned.attempt_id)
        return item

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

    def _again(self, item: _Item, result: CaseResult) -> bool:
        """Whether the case is tried again; then ``item`` is about its next attempt."""
        again = self._judge(result) if result.outcome.is_infrastructure else "usual"
        self._breaker.ended(result, counts=again == "usual")
        if not result.outcome.is_infrastructure:
            self._failed_lately.clear()
            return False
        self._failed_agent = item.planned.key.agent
        if result.outcome is Outcome.CANCELLED or self._ending or again == "never":
            return False
        if self._is_halted(item):
            return False
        if self._breaker.explains(result.outcome, item.begun) and item.excused < MOST_EXCUSED:
            item.excused += 1
        else:
            self._failed_lately[result.outcome].append(item)
            if item.retries >= self._policy.max_retries:
                item.given_up = True
                return False
            item.retries += 1
        self._plan_next(item)
        return True

    def _plan_next(self, item: _Item) -> None:
        planned = item.planned
        item.planned = replace(
            planned, number=planned.number + 1, attempt_id=new_attempt_id(planned.key)
        )
        delay_s = self._policy.delay_s(max(1, item.retries))
        item.ready_at = asyncio.get_running_loop().time() + delay_s
        item.turn = next(self._turns)

    def _excuse(self, outcome: Outcome) -> None:
        """What failed lately was an outage: it costs no case a retry, and none is given up."""
        for item in self._failed_lately.pop(outcome, ()):
            if item.excused >= MOST_EXCUSED or (item.given_up and self._is_halted(item)):
                continue
            item.excused += 1
            if item.given_up:
                item.given_up = False
                self._plan_next(item)
                heapq.heappush(self._waiting, item)
            else:
                item.retries -= 1


def _first(several: BaseExceptionGroup[BaseException]) -> BaseException:
    error: BaseException = several
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
