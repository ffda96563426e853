"""Budgets that could not serve a single call, found before a run begins.

What the smallest call reserves is known: ``{}`` as its body, and what providers add to each. Where
an agent may ask for a few models only, and all of them have a price, so are the dollars for that.
"""

from collections.abc import Iterator, Sequence

from pacabench.amounts import pico_of
from pacabench.budget.treasury import Budgets
from pacabench.budget.wording import dollars
from pacabench.config.budget import Limits
from pacabench.config.schema import BenchmarkConfig
from pacabench.errors import ConfigError
from pacabench.pricing import Pricer
from pacabench.proxy.ceilings import TEMPLATE_TOKENS
from pacabench.proxy.output import LEAST_OUTPUT

LEAST_TOKENS = TEMPLATE_TOKENS + len("{}")


def check_least(
    config: BenchmarkConfig, budgets: Budgets, pricer: Pricer, providers: Sequence[str]
) -> list[str]:
    """What to tell of budgets that serve only calls which limit their own output.

    Raises:
        ConfigError: a budget refuses every call.
    """
    notices = []
    least_output = min(config.budget.default_max_output, LEAST_OUTPUT)
    for key, limits, agents in _scopes(budgets):
        least = _least_pico(config, agents, pricer, providers, 0)
        if limits.tokens is not None and limits.tokens < LEAST_TOKENS:
            raise ConfigError(
                f"{key}.tokens: {limits.tokens:,} serve no call: the smallest one reserves "
                f"{LEAST_TOKENS}. Raise it, or take it out."
            )
        if limits.usd is not None and pico_of(limits.usd) < (least or 1):
            needs = f": the smallest call reserves {dollars(least)}" if least else ""
            raise ConfigError(
                f"{key}.usd: {limits.usd:g} dollars serve no call{needs}. Raise it, or take it out."
            )
        usual = _least_pico(config, agents, pricer, providers, least_output)
        small_usd = limits.usd is not None and usual and pico_of(limits.usd) < usual
        small_tokens = limits.tokens is not None and limits.tokens < LEAST_TOKENS + least_output
        if small_usd or small_tokens:
            what = "usd" if small_usd else "tokens"
            notices.append(
                f"{key}.{what} has no room for a call without a limit of its output, which "
                f"reserves at least {least_output:,} tokens for it: such calls will be refused"
            )
    return notices


def _scopes(budgets: Budgets) -> Iterator[tuple[str, Limits, Sequence[str]]]:
    """Each budget by its key, and the agents that spend of it."""
    everybody = list(budgets.cases)
    yield "budget", budgets.run, everybody
    for agent, limits in budgets.agents.items():
        yield f"budget of agent {agent!r}", limits, [agent]
    for agent, limits in budgets.cases.items():
        yield f"budget.case of agent {agent!r}", limits, [agent]


def _least_pico(
    config: BenchmarkConfig,
    agents: Sequence[str],
    pricer: Pricer,
    providers: Sequence[str],
    output_tokens: int,
) -> int | None:
    """What the cheapest call of ``agents`` reserves; None where nobody can know."""
    costs: list[float | None] = []
    for agent in config.agents:
        if agent.name in agents:
            models = agent.models
            if models is None or any("*" in model for model in models):
                return None
            costs += [
                pricer.most(name, model, input_tokens=LEAST_TOKENS, output_tokens=output_tokens)
                for model in models
                for name in providers
            ]
    known = [pico_of(cost) for cost in costs if cost is not None]
    return min(known) if known and len(known) == len(costs) else None
