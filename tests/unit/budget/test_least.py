"""Budgets that are too small for any call are refused before a run begins."""

from typing import Any

import pytest

from pacabench.budget.least import LEAST_TOKENS, check_least
from pacabench.budget.limits import budgets_of
from pacabench.config.schema import BenchmarkConfig
from pacabench.errors import ConfigError
from pacabench.pricing import Pricer
from pacabench.proxy.control import ProviderSpec


def check(limits: dict[str, Any], /, **agent: Any) -> list[str]:
    config = BenchmarkConfig.model_validate(
        {
            "name": "b",
            "budget": limits,
            "agents": [{"name": "a", "command": "run", **agent}],
            "datasets": [{"name": "d", "source": "d.jsonl"}],
            "prices": {"dear": {"input": 1000.0, "output": 2000.0}},
        }
    )
    specs = [ProviderSpec("openai", "openai", "https://api.openai.com/v1")]
    pricer = Pricer(specs, config.prices)
    return check_least(config, budgets_of(config, ["a"]), pricer, ["openai"])


@pytest.mark.parametrize(
    ("budget", "agent", "said"),
    [
        ({"tokens": LEAST_TOKENS - 1}, {}, r"budget\.tokens: 65 serve no call.* reserves 66"),
        ({"case": {"tokens": 1}}, {}, r"budget\.case of agent 'a'\.tokens: 1 serve"),
        ({}, {"budget": {"tokens": 9}}, r"budget of agent 'a'\.tokens: 9 serve"),
        ({"usd": 1e-13}, {}, r"budget\.usd: 1e-13 dollars serve no call"),
        ({"usd": 0.05}, {"models": ["dear"]}, r"budget\.usd: 0\.05 .*the smallest call reserves"),
    ],
)
def test_what_serves_no_call_is_refused(
    budget: dict[str, Any], agent: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        check(budget, **agent)


@pytest.mark.parametrize(
    ("budget", "agent"),
    [
        ({}, {}),
        ({"calls": 1}, {}),
        ({"usd": 0.05}, {}),  # whatever model is asked for may be free
        ({"usd": 0.05}, {"models": ["dear", "gpt-*"]}),
        ({"usd": 0.05}, {"models": ["dear", "nobody-knows-it"]}),
        ({"usd": 0.07, "default_max_output": 1}, {"models": ["dear"]}),
        ({"tokens": 100_000}, {}),
    ],
)
def test_what_may_serve_one_is_not(budget: dict[str, Any], agent: dict[str, Any]) -> None:
    assert check(budget, **agent) == []


def test_calls_without_a_limit_of_their_output_may_not_fit() -> None:
    (tokens,) = check({"tokens": 1_000})
    assert "budget.tokens has no room for a call without a limit of its output" in tokens
    assert "1,024 tokens" in tokens
    (dollars,) = check({"usd": 1}, models=["dear"])
    assert "budget.usd has no room" in dollars
