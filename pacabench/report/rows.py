"""A run as flat rows, for tables that other programs read. Text stays as it is."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import orjson

from pacabench.figures import CallFigures
from pacabench.model import JSON, CaseResult
from pacabench.report.view import RunView
from pacabench.report.wording import broken_promises
from pacabench.stats import AgentSummary

Kind: TypeAlias = Literal["text", "integer", "number", "boolean"]
Row: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Flat:
    """Rows of one shape. A value is None where it is not known."""

    columns: Mapping[str, Kind]
    rows: Iterator[Row]


_USAGE: dict[str, Kind] = {
    "calls": "integer",
    "input_tokens": "integer",
    "output_tokens": "integer",
    "cached_tokens": "integer",
    "reasoning_tokens": "integer",
    "cost_usd": "number",
    "cost_incomplete": "boolean",
    "uncounted_calls": "integer",
    "unpriced_calls": "integer",
    "estimated_calls": "integer",
    "replayed_calls": "integer",
}
_SPREADS = ("input_tokens", "output_tokens", "cost_usd")
"""Of ``PerCase``: a column for the median, the tail and the mean of each."""
_UNITS: dict[str, Kind] = {"usd": "number", "tokens": "integer", "calls": "integer"}
_BUDGETS: dict[str, Kind] = {
    f"{scope}_{what}_{unit}": kind
    for scope in ("run", "agent", "case")
    for what in ("budget", "spent")
    for unit, kind in _UNITS.items()
    if (scope, what) != ("case", "spent")  # each attempt has one of its own
}
"""Limits, and what was spent of them."""
_NAMES: dict[str, Kind] = {"run_id": "text", "agent": "text", "dataset": "text"}
_KEPT: dict[str, Kind] = {
    "sandbox": "text",
    "sandbox_profile": "text",
    "sandbox_weaknesses": "text",
}
"""How tightly the agent was held: whoever has the table alone should know."""
AGENT_COLUMNS: dict[str, Kind] = {
    **_NAMES,
    "cases": "integer",
    "passed": "integer",
    "failed": "integer",
    "infrastructure": "integer",
    "pending": "integer",
    "accuracy": "number",
    "accuracy_low": "number",
    "accuracy_high": "number",
    "latency_p50_ms": "number",
    "latency_p95_ms": "number",
    "latency_mean_ms": "number",
    "ttft_p50_ms": "number",
    "ttft_p95_ms": "number",
    "ttft_mean_ms": "number",
    "attempts": "integer",
    **_USAGE,
    "cost_per_pass_usd": "number",
    **{f"{name}_per_case_{of}": "number" for name in _SPREADS for of in ("p50", "p95", "mean")},
    **_BUDGETS,
    **_KEPT,
}
CASE_COLUMNS: dict[str, Kind] = {
    **_NAMES,
    "case_id": "text",
    "epoch": "integer",
    "outcome": "text",
    "passed": "boolean",
    "score": "number",
    "output": "text",
    "expected": "text",
    "error": "text",
    "attempts": "integer",
    "duration_ms": "number",
    "provider_wait_ms": "number",
    "ttft_ms": "number",
    **_USAGE,
    "left": "text",
    "left_out": "text",
    **_KEPT,
}


def flat_agents(view: RunView) -> Flat:
    """A row per agent and data set."""
    return Flat(AGENT_COLUMNS, (_agent(view, agent) for agent in view.summary.agents))


def flat_cases(view: RunView) -> Flat:
    """A row per case with a result, in the order of the JSON export; read one at a time."""
    results = view.deciding(view.case_keys())
    return Flat(CASE_COLUMNS, (_case(view, result) for result in results))


def as_text(value: JSON) -> str | None:
    """A string as it is, null as None, anything else as compact JSON."""
    if value is None or isinstance(value, str):
        return value
    return orjson.dumps(value).decode()


def _agent(view: RunView, agent: AgentSummary) -> Row:
    interval, per = agent.accuracy_interval, agent.per_case
    return {
        "run_id": view.record.run_id,
        "agent": agent.agent,
        "dataset": agent.dataset,
        "cases": agent.cases,
        "passed": agent.passed,
        "failed": agent.failed,
        "infrastructure": agent.infrastructure,
        "pending": agent.pending,
        "accuracy": agent.accuracy,
        "accuracy_low": interval.low if interval else None,
        "accuracy_high": interval.high if interval else None,
        "latency_p50_ms": per.latency_ms.p50,
        "latency_p95_ms": per.latency_ms.p95,
        "latency_mean_ms": per.latency_ms.mean,
        "ttft_p50_ms": per.ttft_ms.p50,
        "ttft_p95_ms": per.ttft_ms.p95,
        "ttft_mean_ms": per.ttft_ms.mean,
        "attempts": agent.attempts,
        **_usage(agent.usage),
        "cost_per_pass_usd": agent.cost_per_pass_usd,
        **{
            f"{name}_per_case_{of}": getattr(getattr(per, name), of)
            for name in _SPREADS
            for of in ("p50", "p95", "mean")
        },
        **_budget(view, agent.agent),
        **_kept(view, agent.agent),
    }


def _kept(view: RunView, agent: str) -> Row:
    sandbox = view.record.manifest.sandbox
    kept = sandbox.profiles.get(agent)
    return {
        "sandbox": sandbox.kind,
        "sandbox_profile": kept.profile if kept is not None else None,
        "sandbox_weaknesses": "\n".join(broken_promises(view, agent)) or None,
    }


def _budget(view: RunView, agent: str) -> Row:
    """What the run, the agent and each attempt may spend, and what the first two have."""
    row: Row = dict.fromkeys(_BUDGETS)
    budget, spending = view.record.manifest.budget, view.spending
    if budget is None:
        return row
    scopes = {
        "run": (budget.run, spending.total),
        "agent": (budget.agents.get(agent), spending.agents[agent]),
        "case": (budget.cases.get(agent), None),
    }
    for scope, (limits, spent) in scopes.items():
        for unit in _UNITS:
            row[f"{scope}_budget_{unit}"] = getattr(limits, unit, None)
            if spent is not None:
                row[f"{scope}_spent_{unit}"] = getattr(spent, unit)
    return row


def _case(view: RunView, result: CaseResult) -> Row:
    key, figures = result.key, view.summary.cases[result.key]
    return {
        "run_id": view.record.run_id,
        "agent": key.agent,
        "dataset": key.dataset,
        "case_id": key.case_id,
        "epoch": key.epoch,
        "outcome": result.outcome.value,
        "passed": figures.passed,
        "score": figures.score,
        "output": as_text(result.output),
        "expected": as_text(result.expected),
        "error": result.error,
        "attempts": figures.attempts,
        "duration_ms": result.duration_ms,
        "provider_wait_ms": result.provider_wait_ms,
        "ttft_ms": figures.ttft_ms,
        **_usage(figures.usage),
        "left": left_path(result),
        "left_out": "\n".join(result.left_out) or None,
        **_kept(view, key.agent),
    }


def left_path(result: CaseResult) -> str | None:
    """The tar of what an attempt's agent left, from the run's directory."""
    return f"left/{result.left}" if result.left is not None else None


def _usage(figures: CallFigures) -> Row:
    return {name: getattr(figures, name) for name in _USAGE}
