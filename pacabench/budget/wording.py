"""What budgets say: to agents whose calls are refused, and to whoever reads a run."""

from pacabench.amounts import PICO, Amount, Ceiling
from pacabench.model import BudgetScope, MeteredCall

_KEYS = {"run": "budget", "agent": "agents[].budget", "case": "budget.case"}
_SHOWN = 100


def whose(scope: BudgetScope, agent: str) -> str:
    """``the run's budget``."""
    return f"the budget of agent {agent!r}" if scope == "agent" else f"the {scope}'s budget"


def about(scope: BudgetScope, agent: str, limits: Ceiling, spent: Amount) -> str:
    """``the run's budget is spent: $0.98 of $1.00``."""
    used = ", ".join(f"{part} of {most}" for part, most in spent_of(limits, spent))
    return f"{whose(scope, agent)} is spent: {used}"


def spent_of(limits: Ceiling, spent: Amount) -> list[tuple[str, str]]:
    """What was spent, and of how much, for all that is limited: ``("$0.98", "$1.00")``."""
    pairs: list[tuple[str, str]] = []
    if limits.pico is not None:
        pairs.append((dollars(spent.pico), dollars(limits.pico)))
    if limits.tokens is not None:
        pairs.append((f"{spent.tokens:,}", f"{limits.tokens:,} tokens"))
    if limits.calls is not None:
        pairs.append((f"{spent.calls:,}", f"{limits.calls:,} calls"))
    return pairs


def dollars(pico: int) -> str:
    """``$0.98``, with as many digits as small sums need."""
    return f"${pico / PICO:,.2f}" if not pico % (PICO // 100) else f"${pico / PICO:,.6f}"


def no_room(scope: BudgetScope, agent: str, limits: Ceiling, spent: Amount, amount: Amount) -> str:
    """A call that would not fit any more."""
    name = limits.passed_by(spent + amount)[0]
    needed, used, most = _figures(name, limits, spent, amount)
    return (
        f"Over budget: this call may use up to {needed}, and of {whose(scope, agent)} {used} of "
        f"{most} are spent. The call was not sent."
    )


def too_large(scope: BudgetScope, agent: str, limits: Ceiling, amount: Amount) -> str:
    """A call that would not even fit into a fresh budget."""
    needed, _, most = _figures(limits.passed_by(amount)[0], limits, Amount(), amount)
    return (
        f"Over budget: this call may use up to {needed}, more than {whose(scope, agent)} holds in "
        f"all ({most}). A lower limit of its output makes it smaller. The call was not sent."
    )


def _figures(name: str, limits: Ceiling, spent: Amount, amount: Amount) -> tuple[str, str, str]:
    if name == "usd":
        return dollars(amount.pico), dollars(spent.pico), dollars(limits.pico or 0)
    if name == "tokens":
        return f"{amount.tokens:,} tokens", f"{spent.tokens:,}", f"{limits.tokens:,} tokens"
    return "1 call", f"{spent.calls:,}", f"{limits.calls:,} calls"


def cut_off(scope: BudgetScope, agent: str, limit: int, *, narrowed: bool) -> str:
    """A reply that ended at the limit that the proxy gave it."""
    mends = "Such a limit, or a higher `budget.default_max_output`, gives them more room."
    if narrowed:
        mends = f"There was no room for more in {whose(scope, agent)}."
    return (
        f"Over budget: a reply ended after {limit:,} tokens, which is where the proxy limited it: "
        f"the request set no limit of its output, and `{_KEYS[scope]}` limits what it may use. "
        f"{mends}"
    )


def no_bound(scope: BudgetScope, doubt: str) -> str:
    """A call of which nobody can say how large its input is."""
    return (
        f"Over budget: the request does not tell how many tokens its input has ({doubt[:_SHOWN]}), "
        f"and `{_KEYS[scope]}` limits them. `budget.default_max_input` says how many to reserve. "
        "The call was not sent."
    )


def unpriced(scope: BudgetScope, provider: str, model: str | None) -> str:
    """A call of which nobody can say what it costs."""
    return (
        f"Over budget: model {(model or '')[:_SHOWN]!r} of {provider} has no known price, and "
        f"`{_KEYS[scope]}.usd` limits the cost. Add the model to `prices` in the configuration. "
        "The call was not sent."
    )


def unpriced_before(calls: int) -> str:
    """Earlier calls that no budget in dollars can count."""
    return (
        f"{calls:,} earlier LLM calls have no known price: `budget.usd` does not count them. "
        "Those of models that are in `prices` are counted from now on."
    )


def over_used(metered: MeteredCall, charge: Amount, reserved: Amount) -> str:
    """A call that used more than its request allowed itself."""
    return (
        f"a call of {metered.key.agent!r} to {(metered.call.model or '')[:_SHOWN]!r} used "
        f"{charge.tokens:,} tokens, {dollars(charge.pico)}, where {reserved.tokens:,} tokens, "
        f"{dollars(reserved.pico)}, were reserved. All of it is charged. Its provider did not heed "
        "a limit of the output, or refused the one that the proxy gave it."
    )
