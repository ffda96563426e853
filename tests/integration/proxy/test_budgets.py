"""Budgets and models through the real gateway, before a provider that keeps books."""

import asyncio
import warnings
from typing import Any

import anthropic
import botocore.session
import openai
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from google import genai
from google.genai import errors as genai_errors

from pacabench.budget.treasury import Budgets
from pacabench.config.budget import Limits
from pacabench.proxy.control import ProviderSpec
from pacabench.proxy.spool import Spool, read_spool
from pacabench.proxy.terms import Terms
from pacabench.testing import FakeProvider, Reply, Tokens
from tests.integration.proxy.conftest import (
    REAL_KEY,
    VIRTUAL_KEY,
    Bank,
    Bench,
    Open,
    OpenBench,
    spec_for,
)

SAY = [{"role": "user", "content": "hi"}]


def body(**more: Any) -> dict[str, Any]:
    return {"model": "m", "messages": SAY, "max_tokens": 10, **more}


def billing(prompt: int, completion: int) -> Reply:
    return Reply(tokens=Tokens(prompt=prompt, completion=completion), delay_s=0.02)


class TestParallel:
    @pytest.mark.parametrize("stream", [False, True])
    async def test_64_calls_at_once_cannot_overspend_and_use_what_is_there(
        self, open_budgeted: Open, stream: bool
    ) -> None:
        """Each costs $0.00012 (20 in, 10 out), and could cost some $0.00025."""
        bank = Bank(Budgets(run=Limits(usd=0.005)))
        provider = FakeProvider(lambda _: billing(20, 10))
        async with provider, open_budgeted(bank, spec_for(provider)) as it:
            replies = await asyncio.gather(
                *(it.post("/chat/completions", body(stream=stream)) for _ in range(64))
            )
        statuses = [reply.status for reply in replies]
        served = statuses.count(200)
        billed = provider.totals()
        cost = (billed.prompt * 1.0 + billed.completion * 10.0) / 1e6
        assert cost <= 0.005
        assert served == len(provider.books) > 30
        assert statuses.count(402) == 64 - served
        # What was left does not hold another call's worst case.
        worst = bank.journal[0].call.reserved_usd or 0.0
        assert cost + worst > 0.005
        assert bank.treasury._run.spent.usd == pytest.approx(cost, abs=1e-12)
        assert bank.treasury._run.reserved.pico == 0
        assert bank.spent == [None]
        assert bank.refusal is not None
        assert bank.refusal.scope == "run"

    async def test_calls_are_counted_exactly(self, open_budgeted: Open) -> None:
        bank = Bank(Budgets(cases={"agent": Limits(calls=10)}))
        provider = FakeProvider(lambda _: billing(5, 5))
        async with provider, open_budgeted(bank, spec_for(provider)) as it:
            replies = await asyncio.gather(
                *(it.post("/chat/completions", body()) for _ in range(64))
            )
        assert len(provider.books) == 10
        assert sorted({reply.status for reply in replies}) == [200, 402]
        assert bank.refusal is not None
        assert bank.refusal.scope == "case"
        assert bank.spent == []

    async def test_calls_that_failed_give_back_what_they_held(self, open_budgeted: Open) -> None:
        bank = Bank(Budgets(cases={"agent": Limits(calls=3)}))
        answers = iter([Reply(status=400)] * 5 + [Reply()] * 10)
        provider = FakeProvider(lambda _: next(answers))
        async with provider, open_budgeted(bank, spec_for(provider)) as it:
            statuses = [(await it.post("/chat/completions", body())).status for _ in range(10)]
        assert statuses == [400] * 5 + [200] * 3 + [402] * 2

    async def test_a_call_waits_while_only_calls_under_way_are_in_its_way(
        self, open_budgeted: Open
    ) -> None:
        bank = Bank(Budgets(cases={"agent": Limits(tokens=400)}))
        provider = FakeProvider(lambda _: billing(5, 5))
        async with provider, open_budgeted(bank, spec_for(provider)) as it:
            replies = await asyncio.gather(
                *(it.post("/chat/completions", body()) for _ in range(16))
            )
        # One reserves about 140 tokens and uses 10: two at a time, and all get their turn.
        assert [reply.status for reply in replies] == [200] * 16
        assert bank.treasury._run.spent.tokens == 160


class TestEnds:
    async def test_an_agent_that_leaves_while_its_call_is_queued_failed_by_itself(
        self, open_budgeted: Open
    ) -> None:
        bank = Bank(Budgets(cases={"agent": Limits(calls=1)}))
        provider = FakeProvider(lambda _: Reply(delay_s=0.6))
        async with provider, open_budgeted(bank, spec_for(provider)) as it:
            first = asyncio.create_task(it.post("/chat/completions", body()))
            await asyncio.sleep(0.2)
            queued = asyncio.create_task(it.post("/chat/completions", body()))
            await asyncio.sleep(0.2)
            queued.cancel()
            [left] = await it.settled(1)
            assert (left.end, left.sent, left.is_provider_failure) == ("client_gone", False, False)
            assert not left.may_be_billed
            assert (await first).status == 200
            # Nothing of it is left in the queue: the next one is refused at once.
            assert (await it.post("/chat/completions", body())).status == 402
        assert len(provider.books) == 1

    async def test_a_call_whose_usage_nobody_told_is_charged_what_was_reserved(
        self, open_budgeted: Open
    ) -> None:
        bank = Bank(Budgets(run=Limits(tokens=100_000)))
        provider = FakeProvider(lambda _: Reply(usage="none"))
        async with provider, open_budgeted(bank, spec_for(provider)) as it:
            await it.post("/chat/completions", body())
        [metered] = bank.journal
        assert metered.call.usage_source != "provider"
        assert bank.treasury._run.spent.tokens == metered.call.reserved_tokens
        assert (metered.call.reserved_tokens or 0) > 100

    async def test_more_than_was_reserved_is_charged_in_full_and_said_once(
        self, open_budgeted: Open
    ) -> None:
        bank = Bank(Budgets(run=Limits(tokens=5000)))
        provider = FakeProvider(lambda _: billing(20, 2000))
        async with provider, open_budgeted(bank, spec_for(provider)) as it:
            statuses = [(await it.post("/chat/completions", body())).status for _ in range(4)]
        assert statuses == [200, 200, 200, 402]
        assert bank.treasury._run.spent.tokens == 3 * 2020
        assert len(bank.notices) == 1
        assert "used 2,020 tokens" in bank.notices[0]

    async def test_the_spool_says_what_was_reserved_when_a_call_begins(
        self, open_budgeted: Open, tmp_path: Any
    ) -> None:
        bank = Bank(Budgets(run=Limits(usd=1)))
        spool = Spool(tmp_path / "spool")
        provider = FakeProvider(lambda _: Reply(silent=True))
        async with provider, open_budgeted(bank, spec_for(provider), spool=spool) as it:
            task = asyncio.create_task(it.post("/chat/completions", body()))
            while not provider.books:  # noqa: ASYNC110 - its books have no event
                await asyncio.sleep(0.01)
            [begun] = read_spool(tmp_path / "spool")
            task.cancel()
        spool.close()
        assert begun.end == "interrupted"
        assert begun.reserved_tokens is not None
        assert begun.reserved_usd is not None
        assert begun.reserved_usd > 0.0001

    async def test_no_agent_fills_the_disk_with_refusals(
        self, open_budgeted: Open, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("pacabench.proxy.serving.MAX_DENIED_RECORDS", 3)
        bank = Bank(Budgets(cases={"agent": Limits(calls=1)}))
        async with FakeProvider() as provider, open_budgeted(bank, spec_for(provider)) as it:
            for _ in range(8):
                await it.post("/chat/completions", body())
        assert [call.count for call in it.records] == [1, 1, 1, 1, 4]
        assert [call.end for call in it.records] == ["complete", *["denied"] * 4]


class TestUnknown:
    async def test_a_model_without_a_price_is_refused_before_anything_is_spent(
        self, open_budgeted: Open
    ) -> None:
        bank = Bank(Budgets(run=Limits(usd=1)))
        async with FakeProvider() as provider, open_budgeted(bank, spec_for(provider)) as it:
            reply = await it.post("/chat/completions", body(model="no-such-model"))
        assert reply.status == 402
        assert b"`prices`" in reply.content
        assert provider.books == []
        assert bank.spent == []  # others have a price

    async def test_tokens_alone_need_no_price(self, open_budgeted: Open) -> None:
        bank = Bank(Budgets(run=Limits(tokens=1000)))
        async with FakeProvider() as provider, open_budgeted(bank, spec_for(provider)) as it:
            reply = await it.post("/chat/completions", body(model="no-such-model"))
        assert reply.status == 200

    async def test_input_of_unknown_size_is_refused_or_reserved_for(
        self, open_budgeted: Open
    ) -> None:
        document = {"type": "input_file", "file_data": "data:application/pdf;base64,JVBERi0="}
        request = {"model": "m", "input": [{"role": "user", "content": [document]}]}
        for more, status in (({}, 402), ({"default_max_input": 300}, 200)):
            bank = Bank(Budgets(run=Limits(tokens=1000)))
            provider = FakeProvider()
            async with provider, open_budgeted(bank, spec_for(provider), terms=more) as it:
                reply = await it.post("/responses", request)
            assert reply.status == status
            if status == 402:
                assert b"(inputfile)" in reply.content
                assert b"`budget.default_max_input`" in reply.content

    async def test_a_call_larger_than_the_whole_budget_does_not_spend_it(
        self, open_budgeted: Open
    ) -> None:
        bank = Bank(Budgets(run=Limits(tokens=1000)))
        async with FakeProvider() as provider, open_budgeted(bank, spec_for(provider)) as it:
            large = await it.post("/chat/completions", body(max_tokens=10_000))
            assert large.status == 402
            assert b"more than the run's budget holds in all (1,000 tokens)" in large.content
            assert (await it.post("/chat/completions", body())).status == 200
        assert bank.spent == []

    @pytest.mark.parametrize(
        "path",
        ["/chat/completions", "/responses"],
    )
    async def test_a_limit_that_the_endpoint_does_not_heed_is_none(
        self, open_budgeted: Open, path: str
    ) -> None:
        bank = Bank(Budgets(run=Limits(tokens=10**6)))
        other = "max_output_tokens" if path == "/chat/completions" else "max_tokens"
        async with FakeProvider() as provider, open_budgeted(bank, spec_for(provider)) as it:
            await it.post(path, {"model": "m", "input": "x", "messages": SAY, other: 1})
        assert (it.records[0].reserved_tokens or 0) > 100


class TestModels:
    @pytest.mark.parametrize(
        ("request_", "status"),
        [
            (body(), 200),
            (body(model="good-1"), 200),
            (body(model="bad"), 403),
            ({"messages": SAY}, 403),
            (body(models=["good-1", "m"]), 200),
            (body(models=["m", "bad"]), 403),
            (body(fallbacks=[{"model": "bad"}]), 403),
            (b'{"model":"bad","model":"m","messages":[]}', 400),
            (b'{"model":"m","Model":"bad","messages":[]}', 400),
            (b'{"Model":"bad","messages":[]}', 400),
            (b"not json", 400),
        ],
    )
    async def test_only_those_of_the_list_are_asked(
        self, open_bench: OpenBench, request_: Any, status: int
    ) -> None:
        terms = Terms(models=["m", "good-*"])
        async with FakeProvider() as provider, open_bench(spec_for(provider), terms=terms) as it:
            reply = await it.post("/chat/completions", request_)
        assert reply.status == status
        assert len(provider.books) == (status == 200)
        assert [call.end for call in it.records] == ["complete" if status == 200 else "denied"]
        if status == 403:
            assert b"Allowed: m, good-*" in reply.content

    @pytest.mark.parametrize(
        ("kind", "path", "status"),
        [
            ("gemini", "/v1beta/models/good:generateContent", 200),
            ("gemini", "/v1beta/models/bad:generateContent", 403),
            ("azure_openai", "/openai/deployments/good/chat/completions?api-version=1", 200),
            ("azure_openai", "/openai/deployments/bad/chat/completions?api-version=1", 403),
            ("bedrock", "/model/good/converse", 200),
            ("bedrock", "/model/bad/converse", 403),
        ],
    )
    async def test_a_model_in_the_path(
        self, open_bench: OpenBench, kind: str, path: str, status: int
    ) -> None:
        provider = FakeProvider()
        async with provider:
            spec = ProviderSpec(kind, kind, base_url=provider.origin, api_key=REAL_KEY)
            async with open_bench(spec, terms=Terms(models=["good"])) as it:
                it.path = ""
                reply = await it.post(path, {"model": "good", "messages": [], "contents": []})
        if kind == "gemini" or status == 403:
            assert reply.status == status
        assert len(provider.books) == (status == 200)

    async def test_lists_of_models_are_open_to_all(self, open_bench: OpenBench) -> None:
        terms = Terms(models=["m"], budgeted=True)
        provider = FakeProvider()
        async with provider, open_bench(spec_for(provider), terms=terms) as it, it.client() as sdk:
            assert [model.id async for model in sdk.models.list()] == ["fake-model"]

    @pytest.mark.parametrize(("answers", "flagged"), [("m-2024-01-01", False), ("other", True)])
    async def test_another_model_that_answers_is_flagged(
        self, open_bench: OpenBench, answers: str, flagged: bool
    ) -> None:
        provider = FakeProvider(lambda _: Reply(model=answers))
        async with provider, open_bench(spec_for(provider)) as it:
            await it.post("/chat/completions", body())
        assert it.records[0].other_model is flagged


class TestSdks:
    """A refusal is an error of the SDK's own kind, and no SDK sends the call again."""

    @pytest.fixture(params=["budget", "model"])
    def kind(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)

    @pytest.fixture
    def bank(self, kind: str) -> Bank:
        limits = Limits(calls=1, tokens=1) if kind == "budget" else Limits()
        return Bank(Budgets(cases={"agent": limits}))

    @pytest.fixture
    def terms(self, kind: str) -> dict[str, Any]:
        return {"models": ["other"], "budgeted": False} if kind == "model" else {}

    @pytest.fixture
    def status(self, kind: str) -> int:
        return 402 if kind == "budget" else 403

    @pytest.fixture
    def said(self, kind: str) -> str:
        return "The call was not sent." if kind == "budget" else "is not allowed in this benchmark"

    async def check(self, it: Bench, provider: FakeProvider) -> None:
        """It came once, and never went on."""
        await asyncio.sleep(0.3)  # longer than SDKs wait before their first repetition
        assert [call.end for call in it.records] == ["denied"]
        assert provider.books == []

    async def test_openai(
        self, open_budgeted: Open, bank: Bank, terms: Any, status: int, said: str
    ) -> None:
        provider = FakeProvider()
        async with provider, open_budgeted(bank, spec_for(provider), terms=terms) as it:
            async with it.client(max_retries=2) as client:
                with pytest.raises(openai.APIStatusError, match=said) as caught:
                    await client.chat.completions.create(model="m", messages=SAY, max_tokens=5)
            await self.check(it, provider)
        assert caught.value.status_code == status
        assert caught.value.code == ("budget_exceeded" if status == 402 else "model_not_allowed")

    async def test_openai_responses_as_a_stream(
        self, open_budgeted: Open, bank: Bank, terms: Any, status: int, said: str
    ) -> None:
        provider = FakeProvider()
        async with provider, open_budgeted(bank, spec_for(provider), terms=terms) as it:
            async with it.client(max_retries=2) as client:
                with pytest.raises(openai.APIStatusError, match=said) as caught:
                    await client.responses.create(model="m", input="hi", stream=True)
            await self.check(it, provider)
        assert caught.value.status_code == status

    async def test_anthropic(
        self, open_budgeted: Open, bank: Bank, terms: Any, status: int, said: str
    ) -> None:
        async with FakeProvider() as provider:
            spec = ProviderSpec("anthropic", "anthropic", provider.origin, REAL_KEY)
            async with open_budgeted(bank, spec, terms=terms) as it:
                client = anthropic.AsyncAnthropic(
                    base_url=f"http://127.0.0.1:{it.port}", api_key=VIRTUAL_KEY, max_retries=2
                )
                with pytest.raises(anthropic.APIStatusError, match=said) as caught:
                    await client.messages.create(model="m", messages=SAY, max_tokens=5)
                await client.close()
                await self.check(it, provider)
        assert caught.value.status_code == status
        kind = "billing_error" if status == 402 else "permission_error"
        assert caught.value.body["error"]["type"] == kind

    async def test_gemini(
        self, open_budgeted: Open, bank: Bank, terms: Any, status: int, said: str
    ) -> None:
        async with FakeProvider() as provider:
            spec = ProviderSpec("gemini", "gemini", provider.origin, REAL_KEY)
            async with open_budgeted(bank, spec, terms=terms) as it:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", DeprecationWarning)
                    client = genai.Client(
                        api_key=VIRTUAL_KEY,
                        http_options={
                            "base_url": f"http://127.0.0.1:{it.port}",
                            "retry_options": {"attempts": 3, "initial_delay": 0.01},
                        },
                    )
                    with pytest.raises(genai_errors.ClientError, match=said) as caught:
                        await client.aio.models.generate_content(model="m", contents="hi")
                    await client.aio.aclose()
                await self.check(it, provider)
        assert caught.value.code == status
        wanted = "FAILED_PRECONDITION" if status == 402 else "PERMISSION_DENIED"
        assert caught.value.status == wanted

    async def test_bedrock(
        self, open_budgeted: Open, bank: Bank, terms: Any, status: int, said: str
    ) -> None:
        async with FakeProvider() as provider:
            spec = ProviderSpec("bedrock", "bedrock", provider.origin, REAL_KEY)
            async with open_budgeted(bank, spec, terms=terms) as it:
                client = botocore.session.Session().create_client(
                    "bedrock-runtime",
                    region_name="us-east-1",
                    endpoint_url=f"http://127.0.0.1:{it.port}",
                    aws_access_key_id=VIRTUAL_KEY,
                    aws_secret_access_key="x",
                    config=Config(retries={"total_max_attempts": 3, "mode": "standard"}),
                )
                asked = [{"role": "user", "content": [{"text": "hi"}]}]
                with pytest.raises(ClientError, match=said) as caught:
                    await asyncio.to_thread(client.converse, modelId="m", messages=asked)
                await self.check(it, provider)
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == status
