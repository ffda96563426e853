"""LLM calls and what they used, added up. Unknown is not zero."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from operator import attrgetter
from typing import TypeAlias

from pacabench.call_facts import CallFacts, Metered
from pacabench.model import SCRIPTED_PROVIDER, CallRecord

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
    other_model_calls: int = 0
    """Of ``calls``, those that another model answered than was asked for."""
    denied_calls: int = 0
    """Not in ``calls``: the proxy refused them."""
    sdk_retries: int = 0
    """Of ``calls``, those that an SDK made by itself after one that failed or took too long."""
    replayed_calls: int = 0
    """Answered out of a cassette: nobody billed them now."""
    unmatched_calls: int = 0
    """Not in ``calls``: a cassette should have answered them, and held no answer."""
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

    def add(self, metered: Metered) -> None:
        """Add one call."""
        call = metered.call
        if call.replay == "served":
            self.replayed_calls += 1
        if call.end == "denied":
            self.denied_calls += call.count
        elif call.replay == "unmatched":
            self.unmatched_calls += 1
        elif call.may_be_billed:
            self._add_billed(call, metered.cost_usd)
        elif not call.is_free or call.is_provider_failure:
            self.failed_calls += 1

    def merge(self, *others: "CallFigures") -> None:
        """Add all of ``others``; field by field, which is fast for 100,000 of them."""
        for name in CallFigures.__slots__:
            if more := sum(map(attrgetter(name), others)):
                setattr(self, name, getattr(self, name) + more)

    def _add_billed(self, call: CallRecord | CallFacts, cost_usd: float | None) -> None:
        self.calls += 1
        if call.repeat_of is not None:
            self.sdk_retries += 1
        if not (counted := call.is_counted):
            self.uncounted_calls += 1
        if call.estimated:
            self.estimated_calls += 1
        if call.other_model:
            self.other_model_calls += 1
        if (usage := call.usage) is not None:
            self._usage_known += 1
            if (tokens := usage.total_input_tokens) is not None:
                self._input_known += 1
                self._input += tokens
            if counted or usage.output_tokens is not None:
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


FiguresByGroup: TypeAlias = defaultdict[tuple[str, str], CallFigures]
"""Of agents' calls, by agent and data set."""


def figures_of(calls: Iterable[Metered]) -> FiguresByGroup:
    """``calls`` added up."""
    figures: FiguresByGroup = defaultdict(CallFigures)
    for metered in calls:
        figures[metered.key.agent, metered.key.dataset].add(metered)
    return figures
