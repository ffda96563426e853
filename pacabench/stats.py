"""From results and calls to the figures that are shown and exported. Pure, one pass, small memory.

Two books are kept apart. What an agent is *worth* (accuracy, latency) comes from deciding attempts
only: the last one of each case. What it *cost* (calls, tokens, dollars) comes from every call that
may have been billed, those of attempts that were retried, cut off or never ended included.

Unknown is not zero: a sum of which no part is known is None, and how many calls are missing in a
sum stands beside it.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from pacabench.model import (
    SCRIPTED_PROVIDER,
    CallRecord,
    CaseKey,
    CaseResult,
    MeteredCall,
    Outcome,
)

_PICO = 10**12
"""In a dollar. Costs are added up as whole picodollars: exact, and the same in every order."""


@dataclass(slots=True)
class CallFigures:
    """Calls and what they used, added up."""

    calls: int = 0
    """Calls that may have been billed (``CallRecord.may_be_billed``)."""
    uncounted_calls: int = 0
    """Those of them whose tokens are not fully known; they are missing in the sums."""
    estimated_calls: int = 0
    """Those of which a part was counted here, since the provider did not tell it."""
    unpriced_calls: int = 0
    """Those without a known price, but for the scripted provider's, which cost nothing real."""
    scripted_calls: int = 0
    """Those that the built-in scripted provider answered."""
    failed_calls: int = 0
    """Not in ``calls``: the provider refused, failed or could not be reached."""
    denied_calls: int = 0
    """Not in ``calls``: the proxy refused them."""
    sdk_retries: int = 0
    """Of ``calls``, those that an SDK made by itself after one that failed or took too long."""
    _input: int = 0
    _output: int = 0
    _cached: int = 0
    _reasoning: int = 0
    _cost_pico: int = 0
    _input_known: int = 0
    _output_known: int = 0
    _usage_known: int = 0
    _priced: int = 0

    @property
    def input_tokens(self) -> int | None:
        """All that is billed as input, cached parts included."""
        return self._sum(self._input, self._input_known)

    @property
    def output_tokens(self) -> int | None:
        """All output, reasoning included. Embeddings have none, which is known."""
        return self._sum(self._output, self._output_known)

    @property
    def cached_tokens(self) -> int | None:
        """The part of the input that providers said was read from a cache; silence is 0."""
        return self._sum(self._cached, self._usage_known)

    @property
    def reasoning_tokens(self) -> int | None:
        """The part of the output that providers said was reasoning; silence is 0."""
        return self._sum(self._reasoning, self._usage_known)

    @property
    def cost_usd(self) -> float | None:
        """Of the calls with a known price; None when there are calls and none has one."""
        if self.calls and not self._priced:
            return None
        return self._cost_pico / _PICO

    @property
    def cost_incomplete(self) -> bool:
        """The true cost is higher than ``cost_usd``, or unknown altogether."""
        return self.unpriced_calls > 0

    def add(self, metered: MeteredCall) -> None:
        """Add one call."""
        call = metered.call
        if call.end == "denied":
            self.denied_calls += 1
        elif call.may_be_billed:
            self._add_billed(call, metered.cost_usd)
        elif not call.is_free or call.is_provider_failure:
            self.failed_calls += 1

    def merge(self, other: "CallFigures") -> None:
        """Add all of ``other``."""
        for name in CallFigures.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def _add_billed(self, call: CallRecord, cost_usd: float | None) -> None:
        self.calls += 1
        if call.repeat_of is not None:
            self.sdk_retries += 1
        if not call.is_counted:
            self.uncounted_calls += 1
        if call.estimated:
            self.estimated_calls += 1
        if (usage := call.usage) is not None:
            self._usage_known += 1
            if (tokens := usage.total_input_tokens) is not None:
                self._input_known += 1
                self._input += tokens
            if usage.output_tokens is not None or call.is_counted:
                self._output_known += 1
                self._output += usage.output_tokens or 0
            self._cached += usage.cached_tokens or 0
            self._reasoning += usage.reasoning_tokens or 0
        if call.provider == SCRIPTED_PROVIDER:
            self.scripted_calls += 1
        elif cost_usd is None:
            self.unpriced_calls += 1
        else:
            self._priced += 1
            self._cost_pico += round(cost_usd * _PICO)

    def _sum(self, total: int, known: int) -> int | None:
        return None if self.calls and not known else total


@dataclass(slots=True)
class CaseFigures:
    """One case with a result: its deciding attempt, and what all its attempts used."""

    attempt_id: str
    """Of the deciding attempt."""
    outcome: Outcome
    score: float | None
    """The evaluator's, 0.0 to 1.0; None when nothing was evaluated."""
    duration_ms: float
    """Of the deciding attempt."""
    attempts: int = 0
    ttft_ms: float | None = None
    """Time to first byte of the deciding attempt's first call that has one."""
    usage: CallFigures = field(default_factory=CallFigures)
    _first_call_at: float = float("inf")

    @property
    def passed(self) -> bool:
        """The answer was right."""
        return self.outcome is Outcome.PASSED

    def decide(self, result: CaseResult) -> None:
        """Take a later attempt: from now on it decides. Calls come after all attempts."""
        self.attempts += 1
        self.attempt_id, self.outcome = result.attempt_id, result.outcome
        self.score = result.evaluation.score if result.evaluation else None
        self.duration_ms = result.duration_ms

    def add(self, metered: MeteredCall) -> None:
        """Add a call of any of the case's attempts."""
        self.usage.add(metered)
        call = metered.call
        if call.ttft_ms is None or call.attempt_id != self.attempt_id:
            return
        if call.started_at < self._first_call_at:
            self._first_call_at, self.ttft_ms = call.started_at, call.ttft_ms


@dataclass(frozen=True, slots=True)
class AgentSummary:
    """One agent on one data set (or several, in a total)."""

    agent: str
    dataset: str
    cases: int
    """Planned. ``passed + failed + infrastructure + pending``."""
    passed: int
    failed: int
    """Wrong answers and the agent's own failures."""
    infrastructure: int
    """Deciding outcomes that are not the agent's doing."""
    pending: int
    """Cases without any result."""
    attempts: int
    """Results of all attempts, also of those that do not decide."""
    outcomes: Mapping[Outcome, int]
    """Deciding outcomes."""
    latency_p50_ms: float | None
    """Of deciding attempts that passed or failed. See :func:`percentile`."""
    latency_p95_ms: float | None
    usage: CallFigures

    @property
    def accuracy(self) -> float | None:
        """``passed / (passed + failed)``; None when there is neither."""
        judged = self.passed + self.failed
        return self.passed / judged if judged else None


@dataclass(frozen=True, slots=True)
class Summary:
    """A run in figures."""

    agents: Sequence[AgentSummary]
    """One per agent and data set: planned ones in their order, then any others by name."""
    total: AgentSummary
    """Over all; ``agent`` and ``dataset`` are empty."""
    cases: Mapping[CaseKey, CaseFigures]
    """Every case that has a result, in the order of first results."""
    providers: frozenset[str]
    """Names of the providers that calls went to."""

    @property
    def scripted(self) -> bool:
        """Answers came from the built-in scripted provider: the figures say nothing of a model."""
        return SCRIPTED_PROVIDER in self.providers


def summarise(
    results: Iterable[CaseResult],
    calls: Iterable[MeteredCall],
    planned: Mapping[str, Mapping[str, int]] | None = None,
) -> Summary:
    """Add up a run.

    Args:
        results: all attempts, in the order in which they ended; the last one of a case decides.
        calls: all LLM calls, in any order.
        planned: agent to data set to number of cases. Without it, cases with a result are all.
    """
    cases: dict[CaseKey, CaseFigures] = {}
    for result in results:
        case = cases.get(result.key)
        if case is None:
            case = cases[result.key] = CaseFigures("", result.outcome, None, 0.0)
        case.decide(result)
    groups = _Groups(planned or {})
    providers: set[str] = set()
    for metered in calls:
        case = cases.get(metered.key)
        if case is not None:
            case.add(metered)
        else:
            groups.of(metered.key).usage.add(metered)
        providers.add(metered.call.provider)
    for key, case in cases.items():
        groups.of(key).take(case)
    agents = groups.summaries()
    return Summary(agents, groups.total(), cases, frozenset(providers))


def percentile(ordered: Sequence[float], share: float) -> float | None:
    """The value below which ``share`` (0.0 to 1.0) of ``ordered`` lies, interpolated linearly.

    The method of numpy's default and of R's type 7: rank ``(n - 1) * share``, see Hyndman and Fan,
    "Sample Quantiles in Statistical Packages" (1996). ``ordered`` ascends; None when it is empty.
    """
    if not ordered:
        return None
    rank = (len(ordered) - 1) * share
    below = int(rank)
    above = min(below + 1, len(ordered) - 1)
    low, high = ordered[below], ordered[above]
    return min(max(low + (high - low) * (rank - below), low), high)


@dataclass(slots=True)
class _Group:
    planned: int
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    attempts: int = 0
    latencies: list[float] = field(default_factory=list)
    usage: CallFigures = field(default_factory=CallFigures)

    def take(self, case: CaseFigures) -> None:
        self.outcomes[case.outcome] += 1
        self.attempts += case.attempts
        self.usage.merge(case.usage)
        if not case.outcome.is_infrastructure:
            self.latencies.append(case.duration_ms)

    def summary(self, agent: str, dataset: str) -> AgentSummary:
        latencies = sorted(self.latencies)
        infrastructure = sum(
            count for outcome, count in self.outcomes.items() if outcome.is_infrastructure
        )
        decided = self.outcomes.total()
        passed = self.outcomes[Outcome.PASSED]
        return AgentSummary(
            agent=agent,
            dataset=dataset,
            cases=max(self.planned, decided),
            passed=passed,
            failed=decided - passed - infrastructure,
            infrastructure=infrastructure,
            pending=max(0, self.planned - decided),
            attempts=self.attempts,
            outcomes={
                outcome: self.outcomes[outcome] for outcome in Outcome if self.outcomes[outcome]
            },
            latency_p50_ms=percentile(latencies, 0.5),
            latency_p95_ms=percentile(latencies, 0.95),
            usage=self.usage,
        )


class _Groups:
    """Groups of cases by agent and data set."""

    def __init__(self, planned: Mapping[str, Mapping[str, int]]) -> None:
        self._groups = {
            (agent, dataset): _Group(count)
            for agent, counts in planned.items()
            for dataset, count in counts.items()
        }
        self._planned = frozenset(self._groups)

    def of(self, key: CaseKey) -> _Group:
        name = (key.agent, key.dataset)
        group = self._groups.get(name)
        if group is None:
            group = self._groups[name] = _Group(0)
        return group

    def summaries(self) -> list[AgentSummary]:
        others = sorted(self._groups.keys() - self._planned)
        names = [name for name in self._groups if name in self._planned] + others
        return [self._groups[name].summary(*name) for name in names]

    def total(self) -> AgentSummary:
        """Planned cases of one group never stand for those of another, so sums are of summaries."""
        whole = _Group(0)
        for group in self._groups.values():
            whole.planned += max(group.planned, group.outcomes.total())
            whole.outcomes.update(group.outcomes)
            whole.attempts += group.attempts
            whole.latencies.extend(group.latencies)
            whole.usage.merge(group.usage)
        return whole.summary("", "")
