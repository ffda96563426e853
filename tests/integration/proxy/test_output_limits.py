"""Calls without a limit of their output, where a budget has to hold: the proxy gives them one."""

import asyncio
import warnings
from dataclasses import replace
from typing import Any

import botocore.session
import openai
import orjson
import pytest
from google import genai
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pacabench.budget.treasury import Budgets
from pacabench.config.budget import Limits
from pacabench.proxy.control import ProviderSpec
from pacabench.proxy.exchange import Exchange, Keeping
from pacabench.proxy.output import LEAST_OUTPUT
from pacabench.proxy.replay import Found, Replay
from pacabench.proxy.tapes import Tapes
from pacabench.testing import FakeProvider, Reply, Tokens
from tests.integration.proxy.conftest import REAL_KEY, VIRTUAL_KEY, Bank, Open, spec_for

SAY = [{"role": "user", "content": "hi"}]
CHAT = {"model": "m", "messages": SAY}
RAMBLING = Reply(text="word " * 40, heeds_limit=True, tokens=Tokens(prompt=9, completion=5000))
"""It would say 5,000 tokens."""


def rambling(_: Any) -> Reply:
    return RAMBLING


def roomy() -> Bank:
    return Bank(Budgets(run=Limits(tokens=10**6)))


class TestFormats:
    """Through each SDK: the limit reaches the provider, and a reply that it ended is told."""

    def check(self, provider: FakeProvider, bank: Bank, sent: dict[str, Any]) -> None:
        [entry] = provider.books
        said = orjson.loads(entry.body)
        assert {name: said.get(name) for name in sent} == sent
        assert entry.tokens is not None
        assert entry.tokens.completion == 100
        [metered] = bank.journal
        call = metered.call
        assert (call.output_limit, call.is_cut, call.end) == (100, True, "complete")
        assert call.error == "cut off at 100 tokens, the limit that its budget gave it"
        assert bank.treasury._run.spent.tokens == 109 <= (call.reserved_tokens or 0)
        assert bank.refusal is not None
        assert "ended after 100 tokens" in bank.refusal.why
        assert bank.notices == []

    @pytest.mark.parametrize("stream", [False, True])
    async def test_openai_chat(self, open_budgeted: Open, stream: bool) -> None:
        bank, provider = roomy(), FakeProvider(rambling)
        async with provider, open_budgeted(bank, spec_for(provider)) as it:
            async with it.client() as client:
                reply = await client.chat.completions.create(
                    model="m", messages=SAY, **({"stream": True} if stream else {})
                )
                ends = [reply] if not stream else [chunk async for chunk in reply]
            await it.settled()
        assert ends[-1].choices[0].finish_reason == "length"  # the chunk with usage was ours
        self.check(provider, bank, {"max_completion_tokens": 100})

    @pytest.mark.parametrize("stream", [False, True])
    async def test_openai_responses(self, open_budgeted: Open, stream: bool) -> None:
        bank, provider = roomy(), FakeProvider(rambling)
        async with provider, open_budgeted(bank, spec_for(provider)) as it:
            async with it.client() as client:
                reply = await client.responses.create(model="m", input="hi", stream=stream)
                if stream:
                    reply = [event async for event in reply][-1].response
            await it.settled()
        assert reply.incomplete_details.reason == "max_output_tokens"
        self.check(provider, bank, {"max_output_tokens": 100})

    async def test_azure(self, open_budgeted: Open) -> None:
        bank = roomy()
        async with FakeProvider(rambling) as provider:
            spec = ProviderSpec("azure_openai", "azure_openai", provider.origin, REAL_KEY)
            async with open_budgeted(bank, spec) as it:
                client = openai.AsyncAzureOpenAI(
                    azure_endpoint=f"http://127.0.0.1:{it.port}",
                    api_key=VIRTUAL_KEY,
                    api_version="2024-10-21",
                )
                async with client:
                    await client.chat.completions.create(model="m", messages=SAY)
        self.check(provider, bank, {"max_completion_tokens": 100})

    @pytest.mark.parametrize("kind", ["mistral", "vllm"])
    async def test_others_that_speak_its_api(self, open_budgeted: Open, kind: str) -> None:
        bank = roomy()
        async with FakeProvider(rambling) as provider:
            spec = ProviderSpec(kind, kind, provider.base_url, REAL_KEY)
            async with open_budgeted(bank, spec) as it, it.client() as client:
                await client.chat.completions.create(model="m", messages=SAY)
        self.check(provider, bank, {"max_tokens": 100, "max_completion_tokens": None})

    @pytest.mark.parametrize("stream", [False, True])
    async def test_gemini(self, open_budgeted: Open, stream: bool) -> None:
        bank = roomy()
        async with FakeProvider(rambling) as provider:
            spec = ProviderSpec("gemini", "gemini", provider.origin, REAL_KEY)
            async with open_budgeted(bank, spec) as it:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", DeprecationWarning)
                    client = genai.Client(
                        api_key=VIRTUAL_KEY,
                        http_options={"base_url": f"http://127.0.0.1:{it.port}"},
                    )
                    asking: dict[str, Any] = {"model": "m", "contents": "hi"}
                    asking["config"] = {"temperature": 0}
                    if stream:
                        chunks = await client.aio.models.generate_content_stream(**asking)
                        [_ async for _ in chunks]
                    else:
                        await client.aio.models.generate_content(**asking)
                    await client.aio.aclose()
        config = {"maxOutputTokens": 100, "temperature": 0}
        self.check(provider, bank, {"generationConfig": config})

    async def test_bedrock(self, open_budgeted: Open) -> None:
        bank = roomy()
        async with FakeProvider(rambling) as provider:
            spec = ProviderSpec("bedrock", "bedrock", provider.origin, REAL_KEY)
            async with open_budgeted(bank, spec) as it:
                client = botocore.session.Session().create_client(
                    "bedrock-runtime",
                    region_name="us-east-1",
                    endpoint_url=f"http://127.0.0.1:{it.port}",
                    aws_access_key_id=VIRTUAL_KEY,
                    aws_secret_access_key="x",
                )
                asked = [{"role": "user", "content": [{"text": "hi"}]}]
                reply = await asyncio.to_thread(client.converse, modelId="m", messages=asked)
        assert reply["stopReason"] == "max_tokens"
        self.check(provider, bank, {"inferenceConfig": {"maxTokens": 100}})

    async def test_each_of_several_answers_gets_its_share(self, open_budgeted: Open) -> None:
        bank, provider = roomy(), FakeProvider(rambling)
        async with provider, open_budgeted(bank, spec_for(provider)) as it:
            await it.post("/chat/completions", {**CHAT, "n": 3})
        [entry] = provider.books
        assert orjson.loads(entry.body)["max_completion_tokens"] == 100
        assert bank.treasury._run.spent.tokens == 309 <= (it.records[0].reserved_tokens or 0)
        assert bank.notices == []


class TestParallel:
    @given(
        limits=st.sampled_from([Limits(tokens=3000), Limits(usd=0.03), Limits(tokens=9, calls=9)]),
        scope=st.sampled_from(["run", "agents", "cases"]),
        default=st.sampled_from([60, 400, 5000]),
        answers=st.lists(st.integers(1, 5000), min_size=1, max_size=8),
        several=st.integers(1, 3),
        stream=st.booleans(),
    )
    @settings(
        max_examples=12,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    async def test_64_calls_at_once_cannot_overspend(
        self,
        open_budgeted: Open,
        limits: Limits,
        scope: str,
        default: int,
        answers: list[int],
        several: int,
        stream: bool,
    ) -> None:
        bank = Bank(Budgets(**{scope: limits if scope == "run" else {"agent": limits}}))
        said = iter(range(10**9))

        def answer(_: Any) -> Reply:
            completion = answers[next(said) % len(answers)]
            return replace(RAMBLING, tokens=Tokens(prompt=9, completion=completion), delay_s=0.01)

        provider, terms = FakeProvider(answer), {"default_max_output": default}
        asked = {**CHAT, "n": several, "stream": stream}
        async with provider, open_budgeted(bank, spec_for(provider), terms=terms) as it:
            replies = await asyncio.gather(
                *(it.post("/chat/completions", asked) for _ in range(64))
            )
            await it.settled(64)
        assert {reply.status for reply in replies} <= {200, 402}
        billed = provider.totals()
        assert billed.prompt + billed.completion <= (limits.tokens or 10**9)
        assert billed.prompt * 1e-6 + billed.completion * 1e-5 <= (limits.usd or 10**9)
        # Three answers of the least that is worth a call have no room in either budget.
        if limits.calls is None and several * min(default, LEAST_OUTPUT) <= 2 * LEAST_OUTPUT:
            assert billed.completion > 0
        assert bank.notices == []  # nothing used more than was reserved for it

    async def test_without_the_limit_they_would(self, open_budgeted: Open) -> None:
        """The control: a provider that heeds no limit passes the budget, and it is said."""
        bank = Bank(Budgets(run=Limits(tokens=3000)))
        heedless = replace(RAMBLING, heeds_limit=False)
        provider = FakeProvider(lambda _: heedless)
        async with provider, open_budgeted(bank, spec_for(provider)) as it:
            await it.post("/chat/completions", CHAT)
        assert bank.treasury._run.spent.tokens == 5009
        assert "did not heed a limit of the output" in bank.notices[0]


class TestLeftAlone:
    @pytest.mark.parametrize(
        ("budgets", "more"),
        [
            (Budgets(run=Limits(calls=9)), {}),
            (Budgets(run=Limits(tokens=10**6)), {"max_tokens": 50}),
            (Budgets(run=Limits(tokens=10**6)), {"max_completion_tokens": 50}),
        ],
    )
    async def test_where_only_calls_are_limited_and_where_the_request_has_one(
        self, open_budgeted: Open, budgets: Budgets, more: dict[str, Any]
    ) -> None:
        bank, provider = Bank(budgets), FakeProvider(rambling)
        body = orjson.dumps({**CHAT, **more})
        async with provider, open_budgeted(bank, spec_for(provider)) as it:
            await it.post("/chat/completions", body)
        assert provider.books[0].body == body
        assert (it.records[0].output_limit, it.records[0].is_cut) == (None, False)
        assert bank.refusal is None

    async def test_a_reply_that_ended_by_itself_is_none_that_was_cut(
        self, open_budgeted: Open
    ) -> None:
        bank, provider = roomy(), FakeProvider(lambda _: Reply(heeds_limit=True))
        async with provider, open_budgeted(bank, spec_for(provider)) as it:
            await it.post("/chat/completions", CHAT)
        assert (it.records[0].output_limit, it.records[0].is_cut) == (100, False)
        assert bank.refusal is None

    async def test_nor_is_one_that_the_models_own_limit_ended(self, open_budgeted: Open) -> None:
        bank = roomy()
        ended = {"choices": [{"index": 0, "message": {}, "finish_reason": "length"}]}
        usage = {"usage": {"prompt_tokens": 9, "completion_tokens": 30}}
        provider = FakeProvider(lambda _: Reply(body=orjson.dumps(ended | usage)))
        async with provider, open_budgeted(bank, spec_for(provider)) as it:
            await it.post("/chat/completions", CHAT)
        assert (it.records[0].output_limit, it.records[0].is_cut) == (100, False)
        assert bank.refusal is None

    async def test_an_agent_that_left_was_not_cut(self, open_budgeted: Open) -> None:
        bank = roomy()
        provider = FakeProvider(lambda _: replace(RAMBLING, delay_s=0.3))
        async with provider, open_budgeted(bank, spec_for(provider)) as it:
            asking = asyncio.create_task(it.post("/chat/completions", CHAT))
            await asyncio.sleep(0.1)
            asking.cancel()
            [call] = await it.settled()
        assert (call.end, call.output_limit, call.is_cut) == ("client_gone", 100, False)
        assert bank.refusal is None


class TestRefused:
    @pytest.mark.parametrize("stream", [False, True])
    async def test_a_provider_that_takes_none_so_large_is_asked_again_without(
        self, open_budgeted: Open, stream: bool
    ) -> None:
        bank = roomy()
        provider = FakeProvider(lambda _: replace(RAMBLING, largest_limit=60))
        async with provider, open_budgeted(bank, spec_for(provider)) as it:
            reply = await it.post("/chat/completions", {**CHAT, "stream": stream})
        assert reply.status == 200
        first, second = (orjson.loads(entry.body) for entry in provider.books)
        assert first.pop("max_completion_tokens") == 100
        assert first == second
        [call] = it.records
        assert (call.retries, call.output_limit, call.is_cut) == (1, None, False)
        assert call.usage_source == "provider"
        # What the model says beyond its reserve is charged, and said.
        assert bank.treasury._run.spent.tokens == 5009
        assert "refused the one that the proxy gave it" in bank.notices[0]

    async def test_both_that_is_added_can_be_refused(self, open_budgeted: Open) -> None:
        strict = replace(RAMBLING, largest_limit=60, refuses_usage_option=True)
        bank, provider = roomy(), FakeProvider(lambda _: strict)
        body = orjson.dumps({**CHAT, "stream": True})
        async with provider, open_budgeted(bank, spec_for(provider)) as it:
            reply = await it.post("/chat/completions", body)
        assert reply.status == 200
        assert len(provider.books) == 3
        assert provider.books[-1].body == body

    async def test_a_request_that_is_bad_for_another_reason_stays_so(
        self, open_budgeted: Open
    ) -> None:
        """No agent gets rid of the limit by an error that names it."""
        bank = roomy()
        provider = FakeProvider(lambda _: Reply(status=400, message="max_tokens, said the agent"))
        async with provider, open_budgeted(bank, spec_for(provider)) as it:
            reply = await it.post("/chat/completions", CHAT)
        assert (reply.status, len(provider.books)) == (400, 2)
        assert bank.treasury._run.spent.tokens == 0

    async def test_what_is_left_is_never_passed_for_it(self, open_budgeted: Open) -> None:
        """The budget has room for less than is usual, and the provider takes no limit."""
        bank = Bank(Budgets(cases={"agent": Limits(tokens=3000)}))
        provider = FakeProvider(lambda _: replace(RAMBLING, largest_limit=60))
        terms = {"default_max_output": 5000}
        async with provider, open_budgeted(bank, spec_for(provider), terms=terms) as it:
            reply = await it.post("/chat/completions", CHAT)
        assert reply.status == 402
        assert b"less than its provider takes" in reply.content
        assert len(provider.books) == 1
        [call] = it.records
        assert (call.end, call.is_cut) == ("denied", True)
        assert bank.refusal is not None
        assert bank.refusal.scope == "case"
        assert bank.treasury._run.spent.tokens == 0


class TestReplay:
    async def test_a_cut_reply_is_found_by_the_agents_own_request_and_is_cut_again(
        self, open_budgeted: Open
    ) -> None:
        kept: list[Exchange] = []
        bank, provider = roomy(), FakeProvider(rambling)
        recording = Tapes(keeping=Keeping(), keep=kept.append)
        async with provider, open_budgeted(bank, spec_for(provider), tapes=recording) as it:
            first = await it.post("/chat/completions", CHAT)
        [exchange] = kept
        assert exchange.request == orjson.dumps(CHAT)
        assert exchange.output_limit == 100

        async def find(_: Any) -> Found:
            return Found(exchange)

        again = roomy()
        tapes = Tapes(replay=Replay(find))
        async with open_budgeted(again, spec_for(provider), tapes=tapes) as it:
            second = await it.post("/chat/completions", CHAT)
        assert second.content == first.content
        assert it.records[0].is_cut
        assert again.refusal == bank.refusal
