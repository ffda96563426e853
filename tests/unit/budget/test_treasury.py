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


class TestLimitsOfOutput:
    """``output_tokens`` of a ruling is what the call's output is limited to."""

    @pytest.mark.parametrize("scope", ["run", "agents", "cases"])
    @pytest.mark.parametrize(
        ("limits", "limited"),
        [(Limits(tokens=10**6), 40), (Limits(usd=9), 40), (Limits(calls=9), None)],
    )
    async def test_it_is_limited_where_tokens_or_dollars_are(
        self, scope: str, limits: Limits, limited: int | None
    ) -> None:
        budgets = {"run": Limits(calls=99), scope: limits if scope == "run" else {"a": limits}}
        desk = Desk(**budgets)
        ruling = await desk.ask(desk.attempt(A))
        assert (ruling.output_tokens, ruling.is_narrowed) == (limited, False)

    @pytest.mark.parametrize("limits", [Limits(tokens=1000), Limits(usd=0.001)])
    async def test_what_is_left_is_all_that_a_call_without_a_limit_gets(
        self, limits: Limits
    ) -> None:
        desk = Desk(run=limits)
        attempt = desk.attempt(A)
        asking = {"output_tokens": 2000, "least_output_tokens": 100}
        first = await desk.ask(attempt, **asking)
        assert (first.output_tokens, first.is_narrowed) == (940, True)
        used = Usage(input_tokens=60, output_tokens=440)
        desk.treasury.take(
            replace(metered(A, attempt_id=attempt, call_id="c1", usage=used), cost_usd=0.0005)
        )
        second = await desk.ask(attempt, **asking)
        assert (second.refusal, second.output_tokens) == (None, 440)

    async def test_it_waits_while_calls_under_way_may_give_back_what_it_wants(self) -> None:
        desk = Desk(run=Limits(tokens=1000))
        attempt = desk.attempt(A)
        asking = {"output_tokens": 800, "least_output_tokens": 100}
        first = await desk.ask(attempt, **asking)
        waiting = asyncio.create_task(desk.ask(attempt, **asking))
        await asyncio.sleep(0.01)
        assert not waiting.done()
        desk.end(attempt, first)
        ruling = await waiting
        assert (ruling.output_tokens, ruling.is_narrowed) == (800, False)

    async def test_with_room_for_less_than_is_worth_a_call_it_is_refused(self) -> None:
        desk = Desk(run=Limits(tokens=159))
        attempt = desk.attempt(A)
        refused = await desk.ask(attempt, output_tokens=2000, least_output_tokens=100)
        assert "160 tokens" in (refused.refusal or "")
        assert (await desk.ask(attempt, output_tokens=99)).refusal is None

    async def test_a_limit_of_the_agents_own_is_never_narrowed(self) -> None:
        desk = Desk(run=Limits(tokens=500))
        assert (await desk.ask(desk.attempt(A), output_tokens=2000)).refusal is not None

    @pytest.mark.parametrize(
        ("budgets", "scope", "spent"),
        [
            ({"run": Limits(tokens=9000)}, "run", []),
            ({"run": Limits(tokens=9000), "agents": {"a": Limits(usd=1)}}, "agent", []),
            ({"run": Limits(tokens=9000), "cases": {"a": Limits(usd=1)}}, "case", []),
            ({"run": Limits(tokens=9000), "cases": {"a": Limits(calls=1)}}, "run", []),
            ({"run": Limits(tokens=1000)}, "run", [None]),
            ({"run": Limits(tokens=9000), "agents": {"a": Limits(tokens=1000)}}, "agent", ["a"]),
            ({"run": Limits(tokens=9000), "cases": {"a": Limits(tokens=1000)}}, "case", []),
        ],
    )
    async def test_an_attempt_with_a_reply_that_was_cut_is_over_budget(
        self, budgets: dict[str, Any], scope: str, spent: list[str | None]
    ) -> None:
        desk = Desk(**budgets)
        attempt = desk.attempt(A)
        ruling = await desk.ask(attempt, output_tokens=2000, least_output_tokens=100)
        assert desk.treasury.refusal_of(attempt) is None
        desk.end(attempt, ruling, output_limit=ruling.output_tokens, is_cut=True)
        found = desk.treasury.refusal_of(attempt)
        assert found is not None
        assert found.scope == scope
        assert f"after {ruling.output_tokens:,} tokens" in found.why
        assert desk.spent == spent
        assert not desk.treasury._limits

    async def test_a_reply_that_is_replayed_may_have_been_cut_as_well(self) -> None:
        desk = Desk()
        attempt = desk.attempt(A)
        desk.end(attempt, Ruling("c1"), output_limit=5, is_cut=True)
        found = desk.treasury.refusal_of(attempt)
        assert found is not None
        assert found.scope == "case"


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
                    {
                        "name": "a",
                        "command": "x",
                        "models": ["m*"],
                        "allow_provider_tools": ["mcp"],
                    },
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
        assert terms["a"] == Terms(
            ["m*"], budgeted=True, default_max_output=99, allow_tools=["mcp"]
        )
        assert not terms_of(config, Budgets())["b"].limit_anything
        assert terms["b"].allow_tools is None

    def test_what_is_limited_is_kept(self, config: BenchmarkConfig) -> None:
        kept = record_of(budgets_of(config, ["a", "b"]))
        assert kept is not None
        assert kept.cases["a"].calls == 7
        assert kept.agents["b"].usd == 2
        assert record_of(Budgets(cases={"a": Limits()})) is None
