"""From a configuration to a run's limits, its agents' terms, and what is kept of both."""

from collections.abc import Iterable

from pacabench.budget.treasury import Budgets
from pacabench.config.budget import Limits
from pacabench.config.schema import AgentConfig, BenchmarkConfig
from pacabench.proxy.terms import Terms
from pacabench.store import BudgetRecord, LimitsRecord


def budgets_of(config: BenchmarkConfig, agents: Iterable[str]) -> Budgets:
    """What ``agents`` of the configuration may spend, together and each."""
    chosen = {agent.name: agent for agent in config.agents if agent.name in {*agents}}
    own = {name: _plain(agent.budget) for name, agent in chosen.items()}
    return Budgets(
        run=_plain(config.budget),
        agents={name: limits for name, limits in own.items() if limits.any},
        cases={name: _plain(config.case_limits_of(agent)) for name, agent in chosen.items()},
    )


def terms_of(config: BenchmarkConfig, budgets: Budgets) -> dict[str, Terms]:
    """What the calls of each agent are held to, by name."""
    return {
        agent.name: Terms(
            models=None if agent.models is None else list(agent.models),
            budgeted=budgets.limit(agent.name),
            default_max_output=config.budget.default_max_output,
            default_max_input=config.budget.default_max_input,
            allow_tools=_tools(agent),
        )
        for agent in config.agents
    }


def _tools(agent: AgentConfig) -> list[str] | None:
    return None if agent.allow_provider_tools is None else list(agent.allow_provider_tools)


def judge_terms_of(config: BenchmarkConfig, budgets: Budgets) -> Terms:
    """What judges' calls are held to: the run's limits, and nobody else's."""
    return Terms(
        budgeted=budgets.run.any,
        default_max_output=config.budget.default_max_output,
        default_max_input=config.budget.default_max_input,
    )


def record_of(budgets: Budgets) -> BudgetRecord | None:
    """For the manifest; None where nothing is limited."""
    if not any(budgets.limit(agent) for agent in budgets.cases):
        return None
    return BudgetRecord(
        run=_kept(budgets.run),
        agents={name: _kept(limits) for name, limits in budgets.agents.items()},
        cases={name: _kept(limits) for name, limits in budgets.cases.items() if limits.any},
    )


def _plain(limits: Limits) -> Limits:
    return Limits(usd=limits.usd, tokens=limits.tokens, calls=limits.calls)


def _kept(limits: Limits) -> LimitsRecord:
    return LimitsRecord(usd=limits.usd, tokens=limits.tokens, calls=limits.calls)
