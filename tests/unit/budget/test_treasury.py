"""Who may still spend, over sessions and attempts."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from pacabench.budget.limits import budgets_of, record_of, terms_of
from pacabench.budget.treasury import Budgets, Treasury
from pacabench.config.budget import Limits
from pacabench.config.schema import BenchmarkConfig, PriceConfig
from pacabench.events import Event
from pacabench.model import CaseKey, MeteredCall, Usage, new_attempt_id
from pacabench.pricing import Pricer
from pacabench.proxy.control import ProviderSpec
from pacabench.proxy.terms import Ask, Ruling, Terms
from pacabench.testing.records import fake_metered, fake_result

A, B = CaseKey("a", "data", "1"), CaseKey("b", "data", "1")
PRICER = Pricer(
    [ProviderSpec("openai", "openai", "http://x")], {"m": PriceConfig(input=1, output=1)}
)


class Desk:
    """A treasury, and what it said."""

    def __init__(self, **budgets: Any) -> None:
        self.events: list[Event] = []
        self.spent: list[str | None] = []
        self.treasury = Treasury(Budgets(**budgets), PRICER, self.events.append, self.spent.append)
        self.calls = 0

    def attempt(self, key: CaseKey) -> str:
        attempt = new_attempt_id(key)
        self.treasury.open(attempt, key.agent)
        return attempt

    async def ask(self, attempt: str, **changes: Any) -> Ruling:
        self.calls += 1
        fields = {"provider": "openai", "model": "m", "input_tokens": 60, "output_tokens": 40}
        return await self.treasury.ask(Ask(f"c{self.calls}", attempt, **{**fields, **changes}))

    def end(self, attempt: str, ruling: Ruling, key: CaseKey = A, **changes: Any) -> None:
        record = metered(key, attempt_id=attempt, call_id=ruling.call_id, **changes)
        self.treasury.take(record)


def metered(key: CaseKey, **changes: Any) -> MeteredCall:
    usage = Usage(input_tokens=6, output_tokens=4)
    return fake_metered(fake_result(key), 0.5, **{"usage": usage, **changes})


class TestScopes:
    async def test_the_narrowest_budget_without_room_refuses_and_the_first_refusal_stands(
        self,
    ) -> None:
        desk = Desk(
            run=Limits(tokens=100), agents={"a": Limits(tokens=150)}, cases={"a": Limits(calls=1)}
        )
        mine, yours = desk.attempt(A), desk.attempt(B)
        desk.end(mine, await desk.ask(mine))
        refused = await desk.ask(mine)
        assert refused.refusal is not None
        found = desk.treasury.refusal_of(mine)
        assert found is not None
        assert found.scope == "case"
        assert desk.spent == []
        assert (await desk.ask(yours)).refusal is not None
        assert desk.spent == [None]
        assert desk.treasury.is_spent("a")

    async def test_an_agents_budget_is_its_own(self) -> None:
        desk = Desk(agents={"a": Limits(calls=1)})
        mine, yours = desk.attempt(A), desk.attempt(B)
        desk.end(mine, await desk.ask(mine))
        assert desk.spent == ["a"]  # used up to the last call: nothing has to be refused
        assert (await desk.ask(mine)).refusal is not None
        assert (await desk.ask(yours)).refusal is None
        assert (desk.treasury.is_spent("a"), desk.treasury.is_spent("b")) == (True, False)

    async def test_a_cases_budget_is_that_of_one_attempt(self) -> None:
        desk = Desk(cases={"a": Limits(calls=1)})
        for _ in range(3):
            attempt = desk.attempt(A)
            desk.end(attempt, await desk.ask(attempt))
            assert (await desk.ask(attempt)).refusal is not None
            desk.treasury.close(attempt)
            assert desk.treasury.refusal_of(attempt) is None

    async def test_an_attempt_that_is_over_spends_nothing(self) -> None:
        desk = Desk(run=Limits(calls=9))
        attempt = desk.attempt(A)
        desk.treasury.close(attempt)
        assert "over" in ((await desk.ask(attempt)).refusal or "")


class TestEnds:
    async def test_what_a_dead_proxy_never_sent_is_free_again(self) -> None:
        desk = Desk(run=Limits(calls=1))
        lost, next_ = desk.attempt(A), desk.attempt(B)
        assert (await desk.ask(lost)).refusal is None
        waiting = asyncio.create_task(desk.ask(next_))
        await asyncio.sleep(0)
        desk.treasury.close(lost)
        assert (await waiting).refusal is None

    async def test_a_question_that_nobody_waits_for_any_more_takes_no_room(self) -> None:
        desk = Desk(run=Limits(calls=1))
        first, gone = desk.attempt(A), desk.attempt(B)
        ruling = await desk.ask(first)
        waiting = asyncio.create_task(desk.ask(gone))
        await asyncio.sleep(0)
        waiting.cancel()
        left = Ruling("c2")
        desk.end(gone, left, B, end="client_gone", status=None, sent=False)
        desk.end(first, ruling, status=500)
        assert (await desk.ask(first)).refusal is None

    async def test_a_verdict_says_what_was_reserved(self) -> None:
        desk = Desk(run=Limits(usd=1))
        ruling = await desk.ask(desk.attempt(A))
        assert (ruling.reserved_tokens, ruling.reserved_usd) == (100, 0.0001)


class TestRecall:
    def test_every_call_of_earlier_sessions_counts_once_however_often(self) -> None:
        desk = Desk(run=Limits(usd=2), agents={"a": Limits(calls=3), "b": Limits(calls=3)})
        calls = [metered(A), metered(A, status=500), metered(B)]
        for _ in range(2):
            desk.treasury.recall(iter(calls))
        assert desk.treasury.charged.usd == 1.0
        assert desk.treasury._of_agent["a"].spent.calls == 1
        assert desk.spent == []

    def test_a_spent_budget_is_known_before_anything_starts(self) -> None:
        desk = Desk(run=Limits(usd=1))
        desk.treasury.recall([metered(A), metered(B)])
        assert desk.treasury.is_spent("a")
        assert desk.treasury.spent[None] == "the run's budget is spent: $1.00 of $1.00"

    def test_an_interrupted_call_is_charged_its_reserve(self) -> None:
        desk = Desk(run=Limits(tokens=1000))
        lost = {"end": "interrupted", "status": None, "usage": None, "usage_source": "none"}
        desk.treasury.recall([metered(A, **lost, reserved_tokens=700, reserved_usd=0.0)])
        assert desk.treasury._run.spent.tokens == 700

    def test_calls_without_a_price_are_said(self) -> None:
        desk = Desk(run=Limits(usd=1))
        unpriced = replace(metered(A), cost_usd=None)
        desk.treasury.recall([unpriced, unpriced])
        assert "2 earlier LLM calls have no known price" in str(desk.events)


class TestConfiguration:
    @pytest.fixture
    def config(self) -> BenchmarkConfig:
        return BenchmarkConfig.model_validate(
            {
                "name": "x",
                "agents": [
                    {"name": "a", "command": "x", "models": ["m*"]},
                    {"name": "b", "command": "x", "budget": {"usd": 2, "case": {"tokens": 5}}},
                ],
                "datasets": [{"name": "d", "source": "x.jsonl"}],
                "budget": {"case": {"calls": 7}, "default_max_output": 99},
            }
        )

    def test_an_agents_case_budget_is_taken_whole(self, config: BenchmarkConfig) -> None:
        budgets = budgets_of(config, ["a", "b"])
        assert budgets.cases == {"a": Limits(calls=7), "b": Limits(tokens=5)}
        assert budgets.agents == {"b": Limits(usd=2)}
        assert budgets_of(config, ["a"]).cases.keys() == {"a"}

    def test_terms_ask_only_where_something_is_limited(self, config: BenchmarkConfig) -> None:
        terms = terms_of(config, budgets_of(config, ["a", "b"]))
        assert terms["a"] == Terms(["m*"], budgeted=True, default_max_output=99)
        assert not terms_of(config, Budgets())["b"].limit_anything

    def test_what_is_limited_is_kept(self, config: BenchmarkConfig) -> None:
        kept = record_of(budgets_of(config, ["a", "b"]))
        assert kept is not None
        assert kept.cases["a"].calls == 7
        assert kept.agents["b"].usd == 2
        assert record_of(Budgets(cases={"a": Limits()})) is None
