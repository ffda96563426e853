"""When a call may go to its provider: one pacer per provider and key, shared by the whole run.

It holds three things. How many calls at a time: without a limit until the provider says 429, then
by additive increase and multiplicative decrease, as TCP does it (Chiu and Jain, 1989). How long to
be quiet: what ``Retry-After`` asked for. And whether the provider is down: then calls are held, and
one at a time is let through, with growing pauses, until one is answered.

Those who wait are served in turns: each attempt's calls in order, and the attempts one after the
other, so that an agent with a hundred calls does not keep the others waiting.
"""

import asyncio
import random
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from pacabench.proxy.patience import Patience

State: TypeAlias = Literal["up", "trying", "down"]
"""``trying``: it was down, and the next call shows whether it still is."""
Probe: TypeAlias = Callable[[], Awaitable[str | None]]
"""Asks the provider for something that costs nothing; why it is down, or None."""

_SAY_EVERY_S = 10.0


@dataclass(slots=True, eq=False)
class Turn:
    """The right to have one call under way."""

    epoch: int
    """Of the limit: calls that were sent before it was cut do not cut it again."""
    trial: bool = False
    """This call shows whether the provider is back."""


class Pacer:
    """Hands out turns. ``close`` it at the end.

    Args:
        name: of the provider, for messages.
        patience: the numbers.
        probe: asks the provider when no call is there to be tried with.
        on_state: told of ``down``, ``trying`` and ``up``, with the reason; only once an outage is
            certain, which is after the first failed probe.
        notice: for the harness's log.
    """

    def __init__(
        self,
        name: str,
        patience: Patience,
        *,
        probe: Probe,
        on_state: Callable[[State, str], None],
        notice: Callable[[str], None],
    ) -> None:
        self._name = name
        self._patience = patience
        self._probe = probe
        self._on_state = on_state
        self._notice = notice
        self._waiting: OrderedDict[str, deque[asyncio.Future[Turn]]] = OrderedDict()
        self._in_flight = 0
        self._limit: float | None = None
        self._epoch = 0
        self._ceiling = 0
        self._quiet_until = 0.0
        self._alarm: asyncio.TimerHandle | None = None
        self._said_at = float("-inf")
        self._state: State = "up"
        self._told: State = "up"
        self._why = ""
        self._failures = 0
        self._trials = 0
        self._probe_in_s = patience.probe_s
        self._probing: asyncio.Task[None] | None = None

    @property
    def limit(self) -> int | None:
        """How many calls may be under way now; None: as many as come."""
        return None if self._limit is None else max(1, int(self._limit))

    @property
    def why(self) -> str:
        """What those who wait are waiting for."""
        if self._state != "up":
            return f"provider {self._name} is down: {self._why}"
        return f"provider {self._name} limits how much it is asked (429)"

    def turn_at_once(self) -> Turn | None:
        """A turn where nobody has to wait for one, as nearly always; give it back."""
        return None if self._waiting or not self._open() else self._grant()

    async def turn(self, attempt_id: str, *, again: bool = False) -> Turn:
        """Wait for a turn; give it back. ``again``: before the attempt's calls that are newer.

        Cancellation leaves nothing behind.
        """
        if (turn := self.turn_at_once()) is not None:
            return turn
        waiter: asyncio.Future[Turn] = asyncio.get_running_loop().create_future()
        queue = self._waiting.setdefault(attempt_id, deque())
        if again:
            queue.appendleft(waiter)
        else:
            queue.append(waiter)
        self._serve()
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self.give_back(waiter.result())
            else:
                self._forget(attempt_id, waiter)
            raise

    def give_back(self, turn: Turn) -> None:
        """The call is over, or pauses before its next try."""
        del turn
        self._in_flight -= 1
        if self._waiting:
            self._serve()

    def answered(self, turn: Turn) -> None:
        """The provider answered, with anything but a failure of its own."""
        del turn
        self._failures = 0
        if self._state != "up":
            self._recover()
        if self._limit is not None:
            self._limit += 1 / self._limit
            if self._limit > 2 * self._ceiling:
                self._limit = None
                self._say(f"provider {self._name}: no longer limited", always=True)
            self._serve()

    def limited(self, turn: Turn, wait_s: float | None) -> None:
        """It answered 429, and asks for quiet for ``wait_s``."""
        self._failures = 0
        if self._state != "up":
            self._recover()
        now = asyncio.get_running_loop().time()
        if wait_s is not None:
            capped = min(wait_s, self._patience.retry_after_cap_s)
            self._quiet_until = max(self._quiet_until, now + capped)
        if turn.epoch != self._epoch:
            return
        self._epoch += 1
        if self._limit is None:
            self._ceiling = self._in_flight
        self._limit = max(1.0, min(self._limit or self._in_flight, self._in_flight) / 2)
        most = f"at most {self.limit} calls at a time"
        quiet = f", quiet for {wait_s:.3g} s" if wait_s else ""
        self._say(f"provider {self._name}: rate limited (429); {most}{quiet}")

    def failed(self, turn: Turn, why: str) -> None:
        """It could not be reached, broke off before its answer, or answered with a 5xx."""
        self._failures += 1
        self._why = why
        if self._state == "up":
            if self._failures >= self._patience.trip_after:
                self._state = "down"
                self._probing = asyncio.create_task(self._keep_trying())
        elif turn.trial:
            self._still_down(why)

    async def close(self) -> None:
        """Stop probing."""
        if self._alarm is not None:
            self._alarm.cancel()
        if self._probing is not None:
            self._probing.cancel()
            await asyncio.wait({self._probing})

    def _open(self) -> bool:
        if self._state == "down" or (self._state == "trying" and not self._trials):
            return False
        if self._limit is not None and self._in_flight >= max(1, int(self._limit)):
            return False
        if not self._quiet_until:  # nobody ever asked for quiet
            return True
        return asyncio.get_running_loop().time() >= self._quiet_until

    def _grant(self) -> Turn:
        self._in_flight += 1
        trial = self._state == "trying"
        if trial:
            self._trials -= 1
        return Turn(self._epoch, trial)

    def _serve(self) -> None:
        """Give turns to those who wait, as far as there are any."""
        while self._waiting and self._open():
            attempt_id, queue = next(iter(self._waiting.items()))
            waiter = queue.popleft()
            if queue:
                self._waiting.move_to_end(attempt_id)
            else:
                del self._waiting[attempt_id]
            if not waiter.done():
                waiter.set_result(self._grant())
        loop = asyncio.get_running_loop()
        if self._waiting and self._quiet_until > loop.time():
            if self._alarm is not None:
                self._alarm.cancel()
            self._alarm = loop.call_at(self._quiet_until, self._serve)

    def _forget(self, attempt_id: str, waiter: asyncio.Future[Turn]) -> None:
        queue = self._waiting.get(attempt_id)
        if queue is not None and waiter in queue:
            queue.remove(waiter)
            if not queue:
                del self._waiting[attempt_id]

    async def _keep_trying(self) -> None:
        while True:
            await asyncio.sleep(self._probe_in_s * random.uniform(0.75, 1.0))  # noqa: S311
            if self._waiting:
                self._state = "trying"
                self._trials = 1
                self._serve()
            elif (why := await self._probe()) is not None:
                self._still_down(why)
            else:
                # It can be reached. Whether it answers, the next call will show.
                if self._state == "down":
                    self._state = "trying"
                    self._trials = 1
                # Also after a trial that came to nothing because its agent left.
                self._tell("trying", self._why)

    def _still_down(self, why: str) -> None:
        self._state = "down"
        self._trials = 0
        self._why = why
        self._probe_in_s = min(self._probe_in_s * 2, self._patience.probe_cap_s)
        self._tell("down", why)

    def _recover(self) -> None:
        if self._probing is not None:
            self._probing.cancel()  # it may be in the middle of a long pause
        self._state = "up"
        self._trials = 0
        self._probe_in_s = self._patience.probe_s
        self._tell("up", "")
        self._serve()

    def _tell(self, state: State, why: str) -> None:
        """An outage that nobody was told of needs no end, nor a middle."""
        if state == self._told or (self._told == "up" and state != "down"):
            return
        self._told = state
        self._on_state(state, why)

    def _say(self, text: str, *, always: bool = False) -> None:
        now = asyncio.get_running_loop().time()
        if always or now - self._said_at >= _SAY_EVERY_S:
            self._said_at = now
            self._notice(text)
