"""From results and calls to the figures that are shown and exported. Pure, one pass, small memory.

Two books are kept apart. What an agent is *worth* (accuracy, latency) comes from deciding attempts
only: the last one of each case that says something about it. What it *cost* (calls, tokens,
dollars) comes from every call that may have been billed, those of attempts that were retried, cut
off or never ended included.

Unknown is not zero: a sum of which no part is known is None, and how many calls are missing in a
sum stands beside it.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from pacabench.call_facts import Metered
from pacabench.figures import CallFigures
from pacabench.model import SCRIPTED_PROVIDER, CaseKey, CaseResult, Outcome, Verdict
from pacabench.stats.intervals import Interval, clustered_wilson
from pacabench.stats.repeats import Repeats, repeats_of
from pacabench.stats.spread import Spread, spread_of


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

    def decide(self, result: CaseResult | Verdict) -> None:
        """Take a later attempt: from now on it decides. Calls come after all attempts."""
        self.attempt_id, self.outcome = result.attempt_id, result.outcome
        self.score = result.evaluation.score if result.evaluation else None
        self.duration_ms = result.duration_ms

    def add(self, metered: Metered) -> None:
        """Add a call of any of the case's attempts."""
        self.usage.add(metered)
        call = metered.call
        if (
            call.ttft_ms is not None
            and call.started_at < self._first_call_at
            and call.attempt_id == self.attempt_id
        ):
            self._first_call_at, self.ttft_ms = call.started_at, call.ttft_ms


@dataclass(frozen=True, slots=True)
class Counts:
    """One agent on one data set (or several, in a total): what happened, counted."""

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
    """Cases without a result that decides."""
    attempts: int
    """Results of all attempts, also of those that do not decide."""
    cut_short: int
    """Of ``attempts``, those that the budget of the run or the agent ended: they never decide."""
    outcomes: Mapping[Outcome, int]
    """Deciding outcomes."""
    usage: CallFigures

    @property
    def accuracy(self) -> float | None:
        """``passed / (passed + failed)``; None when there is neither."""
        judged = self.passed + self.failed
        return self.passed / judged if judged else None


@dataclass(frozen=True, slots=True)
class AgentSummary(Counts):
    """The same, with what its cases took and how sure its accuracy is."""

    per_case: "PerCase"
    accuracy_interval: Interval | None
    """Of the accuracy, at 95%; clustered by case where there are epochs."""
    repeats: Repeats | None
    """Where cases were judged in more than one epoch. None in a total."""

    @property
    def cost_per_pass_usd(self) -> float | None:
        """All that was spent, over the cases that passed; None where it is unknown or none did."""
        cost = self.usage.cost_usd
        return cost / self.passed if self.passed and cost is not None else None


@dataclass(frozen=True, slots=True)
class PerCase:
    """What a case takes, over the cases that passed or failed."""

    latency_ms: Spread
    """Of deciding attempts."""
    ttft_ms: Spread
    """Of deciding attempts with a call that has one."""
    input_tokens: Spread
    """Of all attempts at a case, where every call's tokens are known."""
    output_tokens: Spread
    """As ``input_tokens``."""
    cost_usd: Spread
    """Of all attempts at a case, where every call has a price."""


@dataclass(frozen=True, slots=True)
class Totals:
    """A run in a few figures, for which no case has to be kept."""

    agents: Sequence[Counts]
    """As in :class:`Summary`."""
    total: Counts
    """Over all."""


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
    results: Iterable[CaseResult | Verdict],
    calls: Iterable[Metered],
    planned: Mapping[str, Mapping[str, int]] | None = None,
) -> Summary:
    """Add up a run.

    Args:
        results: all attempts, in the order in which they ended. The last one of a case decides,
            but for those that say nothing about it (``CaseResult.decides``).
        calls: all LLM calls, in any order.
        planned: agent to data set to number of cases. Without it, cases with a result are all.
    """
    cases: dict[CaseKey, CaseFigures] = {}
    cut_short: Counter[CaseKey] = Counter()
    for result in results:
        if result.decides:
            case = cases.get(result.key)
            if case is None:
                case = cases[result.key] = CaseFigures("", result.outcome, None, 0.0)
            case.decide(result)
            case.attempts += 1
        else:
            cut_short[result.key] += 1
    groups = _Groups(planned or {})
    providers: set[str] = set()
    for metered in calls:
        case = cases.get(metered.key)
        if case is not None:
            case.add(metered)
        else:
            groups.of(metered.key.agent, metered.key.dataset).usage.add(metered)
        providers.add(metered.call.provider)
    for key, number in cut_short.items():
        group = groups.of(key.agent, key.dataset)
        group.cut_short += number
        if (decided := cases.get(key)) is not None:
            decided.attempts += number
        else:
            group.attempts += number
    groups.take(cases)
    agents = groups.summaries()
    total = groups.total(agents)
    return Summary(agents, total, cases, frozenset(providers))


def add_up(
    results: Iterable[CaseResult | Verdict],
    deciding: Mapping[CaseKey, CaseResult | Verdict],
    usage: Mapping[tuple[str, str], CallFigures],
    planned: Mapping[str, Mapping[str, int]],
) -> Totals:
    """As :func:`summarise`, of calls that were added up before.

    Args:
        results: as there.
        deciding: of each case, the last one of ``results`` that decides.
        usage: agent and data set to the figures of their calls.
        planned: as there.
    """
    groups = _Groups(planned)
    made = Counter((result.key.agent, result.key.dataset, result.decides) for result in results)
    for (agent, dataset, decides), number in made.items():
        group = groups.of(agent, dataset)
        group.attempts += number
        if not decides:
            group.cut_short += number
    ended = Counter((key.agent, key.dataset, last.outcome) for key, last in deciding.items())
    for (agent, dataset, outcome), number in ended.items():
        groups.of(agent, dataset).outcomes[outcome] += number
    for (agent, dataset), figures in usage.items():
        groups.of(agent, dataset).usage.merge(figures)
    return Totals(groups.counts(), Counts(**groups.whole().counts("", "")))


@dataclass(slots=True)
class _Group:
    planned: int
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    attempts: int = 0
    cut_short: int = 0
    usage: CallFigures = field(default_factory=CallFigures)
    judged: list[tuple[CaseKey, CaseFigures]] = field(default_factory=list)

    def take(self, cases: Sequence[tuple[CaseKey, CaseFigures]]) -> None:
        self.outcomes.update(case.outcome for _, case in cases)
        self.attempts += sum(case.attempts for _, case in cases)
        self.usage.merge(*(case.usage for _, case in cases))
        failures = {outcome for outcome in self.outcomes if outcome.is_infrastructure}
        self.judged.extend(item for item in cases if item[1].outcome not in failures)

    def counts(self, agent: str, dataset: str) -> dict[str, Any]:
        """The fields of ``Counts``."""
        infrastructure = sum(
            count for outcome, count in self.outcomes.items() if outcome.is_infrastructure
        )
        decided = self.outcomes.total()
        passed = self.outcomes[Outcome.PASSED]
        return {
            "agent": agent,
            "dataset": dataset,
            "cases": max(self.planned, decided),
            "passed": passed,
            "failed": decided - passed - infrastructure,
            "infrastructure": infrastructure,
            "pending": max(0, self.planned - decided),
            "attempts": self.attempts,
            "cut_short": self.cut_short,
            "outcomes": {
                outcome: self.outcomes[outcome] for outcome in Outcome if self.outcomes[outcome]
            },
            "usage": self.usage,
        }

    def summary(self, agent: str, dataset: str) -> AgentSummary:
        clusters = _passed_and_judged(
            ((key.dataset, key.case_id), case) for key, case in self.judged
        )
        repeats = None
        if agent and len(clusters) < len(self.judged):
            epochs = _passed_and_judged((key.epoch, case) for key, case in self.judged)
            repeats = repeats_of(epochs, list(clusters.values()))
        return AgentSummary(
            **self.counts(agent, dataset),
            per_case=_per_case([case for _, case in self.judged]),
            accuracy_interval=clustered_wilson(clusters.values()),
            repeats=repeats,
        )


_T = TypeVar("_T")


def _passed_and_judged(cases: Iterable[tuple[_T, CaseFigures]]) -> dict[_T, tuple[int, int]]:
    """How many of the cases that share a name passed, and how many there are."""
    counts: dict[_T, tuple[int, int]] = {}
    for name, case in cases:
        passed, judged = counts.get(name, (0, 0))
        counts[name] = (passed + case.passed, judged + 1)
    return counts


def _per_case(cases: Sequence[CaseFigures]) -> PerCase:
    counted = [case.usage for case in cases if not case.usage.uncounted_calls]
    priced = [
        case.usage for case in cases if not (case.usage.unpriced_calls or case.usage.scripted_calls)
    ]
    return PerCase(
        latency_ms=spread_of(case.duration_ms for case in cases),
        ttft_ms=spread_of(case.ttft_ms for case in cases if case.ttft_ms is not None),
        input_tokens=spread_of(usage.input_tokens or 0 for usage in counted),
        output_tokens=spread_of(usage.output_tokens or 0 for usage in counted),
        cost_usd=spread_of(usage.cost_usd or 0.0 for usage in priced),
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

    def of(self, agent: str, dataset: str) -> _Group:
        name = (agent, dataset)
        group = self._groups.get(name)
        if group is None:
            group = self._groups[name] = _Group(0)
        return group

    def take(self, cases: Mapping[CaseKey, CaseFigures]) -> None:
        """Each of ``cases`` into its group."""
        parts: defaultdict[tuple[str, str], list[tuple[CaseKey, CaseFigures]]] = defaultdict(list)
        for item in cases.items():
            parts[item[0].agent, item[0].dataset].append(item)
        for name, part in parts.items():
            self.of(*name).take(part)

    def _names(self) -> list[tuple[str, str]]:
        others = sorted(self._groups.keys() - self._planned)
        return [name for name in self._groups if name in self._planned] + others

    def counts(self) -> list[Counts]:
        return [Counts(**self._groups[name].counts(*name)) for name in self._names()]

    def summaries(self) -> list[AgentSummary]:
        return [self._groups[name].summary(*name) for name in self._names()]

    def total(self, summaries: Sequence[AgentSummary]) -> AgentSummary:
        if len(summaries) == 1:  # nothing is counted twice in a run of 100,000 cases
            return replace(summaries[0], agent="", dataset="", repeats=None)
        return self.whole().summary("", "")

    def whole(self) -> _Group:
        """Planned cases of one group never stand for those of another, so sums are of summaries."""
        whole = _Group(0)
        for group in self._groups.values():
            whole.planned += max(group.planned, group.outcomes.total())
            whole.outcomes.update(group.outcomes)
            whole.attempts += group.attempts
            whole.cut_short += group.cut_short
            whole.judged.extend(group.judged)
            whole.usage.merge(group.usage)
        return whole
