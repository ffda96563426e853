"""Pauses a run whose infrastructure keeps failing, and lets it go on once that has passed.

Two things make it pause. The proxy says that a provider is down: then nothing is started until it
says otherwise. Or attempts end one after the other for the same infrastructure reason: then single
attempts are made as trials, with growing pauses, and the first one that ends otherwise ends the
pause. Pure but for the clock; the scheduler asks it before each start.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from pacabench.aio import running_time
from pacabench.model import CaseResult, Outcome

Health: TypeAlias = Literal["up", "trying", "down"]
"""What the proxy says of a provider; ``trying``: the next call will show."""


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """The numbers of it."""

    pile: int = 5
    """Attempts in a row with the same infrastructure outcome, and none that ended otherwise."""
    trial_s: float = 2.0
    """Until the first trial; doubles with each that fails."""
    trial_cap_s: float = 60.0
    give_up_after_s: float = 600.0
    """Of a pause. Then the run ends, to be resumed later."""


@dataclass(slots=True)
class _Outage:
    """Why a run is paused."""

    outcome: Outcome
    """How attempts end because of it."""
    why: str
    certain: bool
    """Then it excuses the attempts that it failed."""
    told_by_proxy: bool
    """The proxy says when to try and when it is over; otherwise trials do."""
    may_try: bool = False


class Breaker:
    """Says whether an attempt may start.

    Args:
        policy: the numbers.
        on_pause: told why, at each new reason.
        on_resume: told for how many seconds the run was paused.
        clock: seconds that never go back; those of a standstill do not count.
    """

    def __init__(
        self,
        policy: BreakerPolicy,
        *,
        on_pause: Callable[[str], None] = lambda _: None,
        on_resume: Callable[[float], None] = lambda _: None,
        clock: Callable[[], float] = running_time,
    ) -> None:
        self._policy = policy
        self._on_pause, self._on_resume = on_pause, on_resume
        self._clock = clock
        self._outages: dict[str, _Outage] = {}
        self._in_a_row: Counter[Outcome] = Counter()
        self._since = 0.0
        self._ended_at: dict[Outcome, float] = {}
        self._trial: str | None = None
        self._trial_at = 0.0
        self._trial_in_s = policy.trial_s
        self.on_change: Callable[[], None] = lambda: None
        """Called when :meth:`admits_in_s` may have changed."""
        self.on_certain: Callable[[Outcome], None] = lambda _: None
        """Called when attempts that ended so just now turn out to be nobody's fault."""
        self.over = asyncio.Event()
        """Set when it gave up."""
        self.gave_up: str | None = None
        """Why, once it did."""

    @property
    def paused(self) -> bool:
        """Nothing but trials is started."""
        return bool(self._outages)

    def provider(self, name: str, state: Health, why: str) -> None:
        """The proxy says how a provider does. Unknown ones are ``up``."""
        key = f"provider {name}"
        outage = self._outages.get(key)
        if state == "up":
            if outage is not None:
                del self._in_a_row[Outcome.PROVIDER_ERROR]
                self._close([key, Outcome.PROVIDER_ERROR.value])
        elif outage is not None:
            outage.may_try = state == "trying"
        elif state == "down":
            text = f"{key} is down: {why}"
            outage = _Outage(Outcome.PROVIDER_ERROR, text, certain=True, told_by_proxy=True)
            self._open(key, outage)
            self.on_certain(Outcome.PROVIDER_ERROR)
        self.on_change()

    def admits_in_s(self) -> float | None:
        """Seconds until an attempt may start; 0: now; None: not before something changes."""
        if self.over.is_set() or (self.paused and self._trial is not None):
            return None
        if any(outage.told_by_proxy and not outage.may_try for outage in self._outages.values()):
            return None
        if any(not outage.told_by_proxy for outage in self._outages.values()):
            return max(0.0, self._trial_at - self._clock())
        return 0.0

    def started(self, attempt_id: str) -> None:
        """An attempt starts. While the run is paused, it is the trial."""
        if self.paused:
            self._trial = attempt_id

    def ended(self, result: CaseResult, *, counts: bool = True) -> None:
        """An attempt ended. Where it does not count, it tells nothing of the infrastructure."""
        trial = result.attempt_id == self._trial
        if trial:
            self._trial = None
        if not result.outcome.is_infrastructure:
            self._recover()
        elif counts and result.outcome is not Outcome.CANCELLED:
            self._count(result, trial=trial)
        self.on_change()

    def explains(self, outcome: Outcome, since: float) -> bool:
        """Whether an attempt that began at ``since`` ended so because of a certain outage."""
        if any(each.certain and each.outcome is outcome for each in self._outages.values()):
            return True
        return self._ended_at.get(outcome, float("-inf")) >= since

    def gives_up_in_s(self) -> float | None:
        """Seconds that are left of its patience; None while nothing is wrong."""
        if not self.paused or self.over.is_set():
            return None
        return max(0.0, self._since + self._policy.give_up_after_s - self._clock())

    def check(self) -> None:
        """Give up where patience is at its end."""
        if self.gives_up_in_s() == 0:
            why = "; ".join(outage.why for outage in self._outages.values())
            self.end(f"gave up waiting: {why}")

    def end(self, why: str) -> None:
        """Start nothing more: for what no waiting mends. The first reason holds."""
        if not self.over.is_set():
            self.gave_up = why
            self.over.set()
            self.on_change()

    def _count(self, result: CaseResult, *, trial: bool) -> None:
        outcome = result.outcome
        by_proxy = any(each.told_by_proxy for each in self._outages.values())
        if outcome is Outcome.PROVIDER_ERROR and by_proxy:
            return
        self._in_a_row[outcome] += 1
        count, outage = self._in_a_row[outcome], self._outages.get(outcome.value)
        why = f"{count} attempts in a row ended as {outcome}, the last with: {result.error}"
        if outage is None:
            if count >= self._policy.pile:
                self._trial_at = self._clock() + self._trial_in_s
                self._open(outcome.value, _Outage(outcome, why, certain=False, told_by_proxy=False))
            return
        outage.why = why
        if trial:
            self._trial_in_s = min(2 * self._trial_in_s, self._policy.trial_cap_s)
            self._trial_at = self._clock() + self._trial_in_s
            if not outage.certain:
                outage.certain = True
                self.on_certain(outcome)

    def _recover(self) -> None:
        """An attempt ended as attempts should: nothing is piled up."""
        self._in_a_row.clear()
        self._trial_in_s = self._policy.trial_s
        self._close([key for key, each in self._outages.items() if not each.told_by_proxy])

    def _open(self, key: str, outage: _Outage) -> None:
        if not self.paused:
            self._since = self._clock()
        self._outages[key] = outage
        self._on_pause(outage.why)

    def _close(self, keys: Sequence[str]) -> None:
        was_paused = self.paused
        for key in keys:
            outage = self._outages.pop(key, None)
            if outage is not None and outage.certain:
                self._ended_at[outage.outcome] = self._clock()
        if was_paused and not self.paused:
            self._trial = None
            self._on_resume(self._clock() - self._since)
