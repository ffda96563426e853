"""What was spent of a run's budgets, for showing and exporting it."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from pacabench.amounts import NOTHING, Amount, Ceiling, charge_of, pico_of
from pacabench.budget.wording import spent_of
from pacabench.call_facts import Metered
from pacabench.store import BudgetRecord, LimitsRecord


@dataclass(slots=True)
class Spending:
    """What calls were charged, by agent, and what judges' were."""

    agents: dict[str, Amount] = field(default_factory=lambda: defaultdict(lambda: NOTHING))
    judges: Amount = NOTHING

    @property
    def total(self) -> Amount:
        """Of the whole run."""
        return sum(self.agents.values(), self.judges)

    def through(self, calls: Iterable[Metered]) -> Iterator[Metered]:
        """``calls``, each added up as it goes by."""
        for metered in calls:
            self.agents[metered.key.agent] += charge_of(metered)
            yield metered

    def through_judges(self, calls: Iterable[Metered]) -> Iterator[Metered]:
        """As :meth:`through`, of judges' calls."""
        for metered in calls:
            self.judges += charge_of(metered)
            yield metered


def budget_lines(budget: BudgetRecord | None, spending: Spending) -> list[str]:
    """A sentence for each budget of the whole run: ``$0.98 of $1.00, 12 of 20 calls``."""
    if budget is None:
        return []
    parts = [("the run", budget.run, spending.total)]
    parts += [
        (f"agent {name}", limits, spending.agents[name]) for name, limits in budget.agents.items()
    ]
    lines = [
        f"{whose}: {', '.join(f'{used} of {most}' for used, most in spent)}"
        for whose, limits, amount in parts
        if (spent := spent_of(_ceiling(limits), amount))
    ]
    kinds = Counter(_case_limits(limits) for limits in budget.cases.values())
    lines += [f"each attempt at a case: at most {limits}" for limits in kinds]
    return lines


def export_budget(budget: BudgetRecord | None, spending: Spending) -> dict[str, Any] | None:
    """Limits, and what was spent of them; None where nothing is limited."""
    if budget is None:
        return None
    return {
        "run": _spent(budget.run, spending.total),
        "agents": {
            name: _spent(limits, spending.agents[name]) for name, limits in budget.agents.items()
        },
        "cases": {name: limits.model_dump() for name, limits in budget.cases.items()},
    }


def _spent(limits: LimitsRecord, amount: Amount) -> dict[str, Any]:
    return {
        **limits.model_dump(),
        "spent_usd": amount.usd,
        "spent_tokens": amount.tokens,
        "spent_calls": amount.calls,
    }


def _case_limits(limits: LimitsRecord) -> str:
    return ", ".join(most for _, most in spent_of(_ceiling(limits), NOTHING))


def _ceiling(limits: LimitsRecord) -> Ceiling:
    pico = None if limits.usd is None else pico_of(limits.usd)
    return Ceiling(limits.calls, limits.tokens, pico)
