"""Books of LLM calls and of ways out while a run goes on: priced, journalled, handed on."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from pacabench.egress import CaseEgress, EgressRecord
from pacabench.estimate import with_estimate
from pacabench.events import CallFinished, Listener
from pacabench.figures import CallFigures, FiguresByGroup
from pacabench.model import CallRecord, CaseKey, MeteredCall
from pacabench.proxy.excerpt import CallText

Cost = Callable[[CallRecord], float | None]
"""US dollars; None where the model has no known price."""
Journal = Callable[[MeteredCall], None]
Charge = Callable[[MeteredCall], None]
EgressJournal = Callable[[CaseEgress], None]
Follower = Callable[[bool], None]
"""Told when an attempt begins to wait for its provider (True), and when it no longer does."""


@dataclass(slots=True)
class _Attempt:
    calls: list[CallRecord] = field(default_factory=list)
    waiting: bool = False
    waited_ms: float | None = None
    follower: Follower | None = None


class Ledger:
    """Takes every call when it ends, from whichever sandbox.

    Args:
        cost: prices a call.
        journal: puts a call on disk.
        egress_journal: puts a way out to the web on disk.
        judge_journal: puts a judge's call on disk.
        listener: is told of it.
        charge: charges it to the budgets that it is of.
        judge_charge: the same for a judge's call.
    """

    def __init__(
        self,
        *,
        cost: Cost,
        journal: Journal,
        listener: Listener,
        egress_journal: EgressJournal = lambda _: None,
        judge_journal: Journal = lambda _: None,
        charge: Charge = lambda _: None,
        judge_charge: Charge = lambda _: None,
    ) -> None:
        self.usage: FiguresByGroup = defaultdict(CallFigures)
        """Agent and data set to the figures of all their calls, earlier sessions' included."""
        self._keys: dict[str, CaseKey] = {}
        self._cost = cost
        self._journal = journal
        self._egress_journal = egress_journal
        self._judge_journal = judge_journal
        self._listener = listener
        self._charge = charge
        self._judge_charge = judge_charge
        self._open: dict[str, _Attempt] = {}
        self._texts: dict[str, CallText] = {}

    def recall(self, usage: Mapping[tuple[str, str], CallFigures]) -> None:
        """Take what earlier sessions used into ``usage``. Once, when all of it was salvaged."""
        for group, figures in usage.items():
            self.usage[group].merge(figures)

    def open(self, attempt_id: str, key: CaseKey) -> None:
        """Collect the calls of this attempt.

        Its case is known for good: a call that is heard of late still finds it.
        """
        self._keys[attempt_id] = key
        self._open[attempt_id] = _Attempt()

    def close(self, attempt_id: str) -> None:
        """Nobody will ask for the calls of this attempt any more."""
        self._open.pop(attempt_id, None)

    def take_text(self, text: CallText) -> None:
        """What is to be counted of a call that is about to end, and that nobody else counted."""
        self._texts[text.call_id] = text

    def take(self, call: CallRecord) -> None:
        """A call ended. It was handed to the journal when this returns.

        One of no attempt (the proxy refused it before anything was bound) is dropped.
        """
        text = self._texts.pop(call.call_id, None)
        key = self._keys.get(call.attempt_id)
        if key is None:
            return
        if text is not None:
            call = with_estimate(call, text)
        if call.attempt_id in self._open:
            self._open[call.attempt_id].calls.append(call)
        metered = MeteredCall(key=key, call=call, cost_usd=self._cost(call))
        self._journal(metered)
        self.usage[key.agent, key.dataset].add(metered)
        self._charge(metered)
        self._listener(CallFinished(metered))

    def take_judge_call(self, call: CallRecord, cost_usd: float | None) -> None:
        """A call that judged an attempt's answer ended. It is in no figure of the agent's."""
        key = self._keys.get(call.attempt_id)
        if key is not None:
            metered = MeteredCall(key=key, call=call, cost_usd=cost_usd)
            self._judge_journal(metered)
            self._judge_charge(metered)

    def take_egress(self, way: EgressRecord) -> None:
        """A way out ended. It was handed to the journal when this returns; else as :meth:`take`."""
        key = self._keys.get(way.attempt_id)
        if key is not None:
            self._egress_journal(CaseEgress(key, way))

    def calls_of(self, attempt_id: str) -> Sequence[CallRecord]:
        """The calls of an open attempt so far, in the order in which they ended."""
        attempt = self._open.get(attempt_id)
        return tuple(attempt.calls) if attempt is not None else ()

    def take_wait(self, attempt_id: str, waiting: bool, total_ms: float) -> None:
        """An attempt begins or ends to wait for its provider, after ``total_ms`` of it so far."""
        attempt = self._open.get(attempt_id)
        if attempt is None:
            return
        attempt.waited_ms = total_ms
        if waiting != attempt.waiting:
            attempt.waiting = waiting
            if attempt.follower is not None:
                attempt.follower(waiting)

    def follow(self, attempt_id: str, follower: Follower) -> None:
        """Tell ``follower`` how it goes on with an open attempt."""
        self._open[attempt_id].follower = follower
        if self._open[attempt_id].waiting:
            follower(True)

    def waited_ms(self, attempt_id: str) -> float | None:
        """How long an open attempt waited for its provider; None where nobody measured it."""
        attempt = self._open.get(attempt_id)
        return None if attempt is None else attempt.waited_ms
