"""Two agents, case after case, until it is decided which is better: ``run --stop-when-decided``.

Pairs are looked at in the order of the plan, and not as they come in: which case is done first
depends on the agents, and the order has to depend on chance alone. So cases are shuffled, by the
run's id, and a pair is looked at when all before it are settled. It also ends when no outcome of
the pairs that are left could decide it: there, whatever is known of them counts, in any order.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from pacabench.errors import UsageError
from pacabench.model import CaseKey, CaseResult, Outcome, Verdict
from pacabench.stats import Totals
from pacabench.stats.comparison import ALPHA
from pacabench.stats.sequential import (
    always_valid_p,
    always_valid_share,
    can_be_decided,
    fewest_flips,
    is_decided,
)
from pacabench.store import DecisionRecord, utc_now

_TWO = 2


@dataclass(slots=True)
class Contest:
    """Which of two agents is better, as far as it is known."""

    agent_a: str
    agent_b: str
    order: Sequence[tuple[str, str]]
    """Data sets and case ids of all pairs, as they are looked at."""
    pairs: int = 0
    """Looked at, and judged on both sides."""
    only_a: int = 0
    only_b: int = 0
    decided: bool = False
    out_of_reach: bool = False
    """Nothing that the pairs which are left may do decides it."""
    _settled: dict[CaseKey, bool | None] = field(default_factory=dict)
    """Passed or not; None where infrastructure failed it for good."""
    _next: int = 0
    _open_to_a: int = field(init=False)
    """Pairs not looked at yet that A alone may have right, as far as they are known."""
    _open_to_b: int = field(init=False)

    def __post_init__(self) -> None:
        self._open_to_a = self._open_to_b = len(self.order)

    def recall(self, deciding: Iterable[CaseResult | Verdict]) -> None:
        """Take the results of earlier sessions; what infrastructure failed is run again."""
        for result in deciding:
            if not result.outcome.is_infrastructure:
                self._settle(result.key, result.outcome is Outcome.PASSED)
        self._look()

    def take(self, result: CaseResult) -> bool:
        """Take a result that will not be tried again; whether just now the contest ended."""
        if result.outcome is Outcome.CANCELLED or self.ended:
            return False
        lost = result.outcome.is_infrastructure
        self._settle(result.key, None if lost else result.outcome is Outcome.PASSED)
        self._look()
        return self.ended

    @property
    def ended(self) -> bool:
        """No further case is needed."""
        return self.decided or self.out_of_reach

    @property
    def winner(self) -> str | None:
        """The better agent; None while it is not decided."""
        if not self.decided:
            return None
        return self.agent_a if self.only_a > self.only_b else self.agent_b

    def said(self) -> str:
        """How it stands, in a sentence."""
        flips = f"alone right in {self.only_a} and {self.only_b} of {self.pairs} pairs"
        if self.out_of_reach:
            low, high = self._difference()
            return (
                f"no decision can be reached any more between {self.agent_a} and {self.agent_b}, "
                f"even if all that is left went one way ({flips}, {self.agent_a} first): over all "
                f"{len(self.order)} pairs the difference is between {low:+.1%} and {high:+.1%} at "
                "most"
            )
        if self.winner is None:
            return f"{self.agent_a} against {self.agent_b} is undecided: {flips}"
        loser = self.agent_b if self.winner == self.agent_a else self.agent_a
        return f"decided: {self.winner} is better than {loser} ({flips}, {self.agent_a} first)"

    def record(self, summary: Totals) -> DecisionRecord:
        """How it ended, for the manifest."""
        interval = always_valid_share(self.only_a, self.only_b)
        low, high = self._difference() if self.out_of_reach else (None, None)
        left = {
            agent: sum(row.pending for row in summary.agents if row.agent == agent)
            for agent in (self.agent_a, self.agent_b)
        }
        return DecisionRecord(
            at=utc_now(),
            agents=(self.agent_a, self.agent_b),
            winner=self.winner,
            alpha=ALPHA,
            pairs=self.pairs,
            pairs_planned=len(self.order),
            only_a=self.only_a,
            only_b=self.only_b,
            p_value=always_valid_p(self.only_a, self.only_b),
            share_b_low=interval.low,
            share_b_high=interval.high,
            not_run=left if self.ended else dict.fromkeys(left, 0),
            saved_usd=_saved(summary, left) if self.ended else 0.0,
            out_of_reach=self.out_of_reach,
            difference_low=low,
            difference_high=high,
        )

    def _difference(self) -> tuple[float, float]:
        """Bounds of B's accuracy less A's over all pairs, whatever those that are left do."""
        led, planned = self.only_b - self.only_a, len(self.order)
        return (led - self._open_to_a) / planned, (led + self._open_to_b) / planned

    def _settle(self, key: CaseKey, passed: bool | None) -> None:
        """What infrastructure failed may be made again, and is open to both sides until then."""
        dataset, case_id = key.dataset, key.case_id
        before = self._open_to(dataset, case_id)
        self._settled[key] = passed
        after = self._open_to(dataset, case_id)
        self._open_to_a += after[0] - before[0]
        self._open_to_b += after[1] - before[1]

    def _open_to(self, dataset: str, case_id: str) -> tuple[bool, bool]:
        """Whether A alone, or B alone, may have it right, by what is known of it."""
        a, b = (
            self._settled.get(CaseKey(agent, dataset, case_id))
            for agent in (self.agent_a, self.agent_b)
        )
        return a is not False and b is not True, b is not False and a is not True

    def _look(self) -> None:
        """Look at pairs in order, as far as they are settled, until the contest ends."""
        while not self.decided and self._next < len(self.order):
            dataset, case_id = self.order[self._next]
            keys = [CaseKey(agent, dataset, case_id) for agent in (self.agent_a, self.agent_b)]
            if not all(key in self._settled for key in keys):
                break
            self._next += 1
            a, b = (self._settled[key] for key in keys)
            if a is None or b is None:
                continue
            self.pairs += 1
            self.only_a += (only_a := a and not b)
            self.only_b += (only_b := b and not a)
            self._open_to_a -= only_a
            self._open_to_b -= only_b
            self.decided = is_decided(self.only_a, self.only_b)
        self.out_of_reach = (
            not self.decided
            and self._next < len(self.order)
            and not can_be_decided(self.only_a, self.only_b, self._open_to_a, self._open_to_b)
        )


def open_contest(
    agents: Sequence[str],
    keys: Sequence[CaseKey],
    epochs: int,
    deciding: Mapping[CaseKey, CaseResult | Verdict],
) -> Contest:
    """The contest of a run's two agents over ``keys``, with what earlier sessions found.

    Raises:
        UsageError: there are not two agents, too few cases to decide anything, or several epochs.
    """
    if len(agents) != _TWO:
        raise UsageError(
            f"--stop-when-decided compares two agents, and there are {len(agents)}: "
            f"{', '.join(agents)}. Choose two with --agents."
        )
    if epochs > 1:
        raise UsageError(
            "--stop-when-decided looks at each case once, and does not go with "
            f"{epochs} epochs. Run it with --epochs 1."
        )
    order = dict.fromkeys((key.dataset, key.case_id) for key in keys)
    if len(order) < (fewest := fewest_flips()):
        raise UsageError(
            f"--stop-when-decided needs {fewest} cases at least, and there are {len(order)}: with "
            "fewer, no outcome decides anything. Run it without the flag, or with more cases."
        )
    contest = Contest(agents[0], agents[1], list(order))
    contest.recall(deciding[key] for key in keys if key in deciding)
    return contest


def _saved(summary: Totals, left: Mapping[str, int]) -> float | None:
    """What the cases that were not run would have cost, at the mean of those that were."""
    saved = 0.0
    for agent, number in left.items():
        rows = [row for row in summary.agents if row.agent == agent]
        costs = [row.usage.cost_usd for row in rows]
        done = sum(row.cases - row.pending for row in rows)
        known = [cost for cost in costs if cost is not None]
        if number and (not done or len(known) < len(costs)):
            return None
        if number:
            saved += number * sum(known) / done
    return saved
