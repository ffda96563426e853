"""The real SDKs, told nothing but the variables that an agent gets."""

import asyncio
import contextlib
import warnings
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import anthropic
import botocore.session
import openai
import pytest
from botocore.exceptions import ClientError
from google import genai
from yarl import URL

from pacabench.estimate import with_estimate
from pacabench.model import Usage
from pacabench.proxy.control import ProviderSpec
from pacabench.proxy.sigv4 import Credentials, signed_headers
from pacabench.sandbox.environment import agent_variables
from pacabench.testing import FakeProvider, Reply, Tokens
from tests.integration.proxy.conftest import REAL_KEY, VIRTUAL_KEY, Bench, OpenBench

SCRIPTED = ProviderSpec("scripted", "scripted", rules=[{"contains": "six", "reply": "forty two"}])
ASKED = "What is six times seven?"
SAY = [{"role": "user", "content": ASKED}]
PROMPT_TOKENS, REPLY_TOKENS = 6, 3


AsAgent = Callable[..., None]


@pytest.fixture
def as_agent(monkeypatch: pytest.MonkeyPatch) -> AsAgent:
    """Gives this process the variables that an agent in the bench's lane has."""

    def set_(it: Bench, *specs: ProviderSpec) -> None:
        origin = f"http://127.0.0.1:{it.port}"
        for name, value in agent_variables(
            {}, origin=origin, key=VIRTUAL_KEY, providers=specs or [SCRIPTED]
        ).items():
            monkeypatch.setenv(name, value)

    return set_


@contextlib.contextmanager
def gemini() -> Iterator[genai.Client]:
    with warnings.catch_warnings():
        # The SDK builds on parts of the language that the newest Pythons deprecate.
        warnings.simplefilter("ignore", DeprecationWarning)
        client = genai.Client()
        yield client


async def test_openai_anthropic_gemini_azure_and_bedrock_find_the_proxy_by_themselves(
    open_bench: OpenBench, as_agent: AsAgent
) -> None:
    async with open_bench(SCRIPTED) as it:
        as_agent(it)
        async with openai.AsyncOpenAI(max_retries=0) as client:
            chat = await client.chat.completions.create(model="m", messages=SAY)
            assert chat.choices[0].message.content == "forty two"
            assert (await client.models.retrieve("scripted")).id == "scripted"
        async with openai.AsyncAzureOpenAI(api_version="2024-10-21", max_retries=0) as client:
            azure = await client.chat.completions.create(model="my-gpt", messages=SAY)
            assert azure.choices[0].message.content == "forty two"
            response = await client.responses.create(model="my-gpt", input=ASKED)
            assert response.output_text == "forty two"
        async with anthropic.AsyncAnthropic(max_retries=0) as client:
            message = await client.messages.create(model="m", max_tokens=9, messages=SAY)
            assert message.content[0].text == "forty two"
            counted = await client.messages.count_tokens(model="m", messages=SAY)
            assert counted.input_tokens == PROMPT_TOKENS
            assert [model.id async for model in client.models.list()] == [
                "scripted",
                "scripted-echo",
            ]
        with gemini() as client:
            content = await client.aio.models.generate_content(model="g", contents=ASKED)
            assert content.text == "forty two"
            tokens = await client.aio.models.count_tokens(model="g", contents=ASKED)
            assert tokens.total_tokens == PROMPT_TOKENS
            found = await client.aio.models.embed_content(model="e", contents=["a", "b"])
            assert len(found.embeddings) == 2
        records = await it.settled(10)
    assert {record.end for record in records} == {"complete"}
    counted = [
        record
        for record in records
        if record.endpoint in {"chat.completions", "responses", "messages", "generateContent"}
    ]
    assert len(counted) == 5
    for record in counted:
        assert record.usage.total_input_tokens == PROMPT_TOKENS
        assert record.usage.output_tokens == REPLY_TOKENS
        assert record.usage_source == "provider"
        assert record.answered_model == "scripted"
    assert {record.model for record in counted} == {"m", "my-gpt", "g"}
    assert not any(record.may_be_billed for record in records if record.is_free)


def converse(model: str) -> dict[str, Any]:
    client = botocore.session.get_session().create_client("bedrock-runtime")
    try:
        messages = [{"role": "user", "content": [{"text": ASKED}]}]
        return client.converse(modelId=model, messages=messages)
    finally:
        client.close()


async def test_bedrock_is_called_as_boto_calls_it(open_bench: OpenBench, as_agent: AsAgent) -> None:
    async with open_bench(SCRIPTED) as it:
        as_agent(it)

        reply = await asyncio.to_thread(converse, "anthropic.claude-x-v1:0")
        [record] = await it.settled()
    assert reply["output"]["message"]["content"] == [{"text": "forty two"}]
    assert record.model == "anthropic.claude-x-v1:0"
    assert record.usage == Usage(PROMPT_TOKENS, 0, 0, REPLY_TOKENS, None)


class TestSeveralProviders:
    async def test_each_sdk_finds_its_own_with_its_own_key(
        self, open_bench: OpenBench, as_agent: AsAgent
    ) -> None:
        async with FakeProvider() as one, FakeProvider() as two, FakeProvider() as three:
            specs = (
                ProviderSpec("anthropic", "anthropic", one.origin, "real-anthropic-key"),
                ProviderSpec("openai", "openai", two.base_url, "real-openai-key"),
                ProviderSpec("gemini", "gemini", three.origin, "real-gemini-key"),
            )
            async with open_bench(*specs) as it:
                as_agent(it, *specs)
                async with openai.AsyncOpenAI(max_retries=0) as client:
                    await client.chat.completions.create(model="m", messages=SAY)
                    await client.models.list()
                async with anthropic.AsyncAnthropic(max_retries=0) as client:
                    await client.messages.create(model="m", max_tokens=9, messages=SAY)
                    await client.beta.messages.create(model="m", max_tokens=9, messages=SAY)
                with gemini() as client:
                    await client.aio.models.generate_content(model="g", contents=ASKED)
                records = await it.settled(5)
        keys = [{entry.key for entry in each.books} for each in (one, two, three)]
        assert keys == [{"real-anthropic-key"}, {"real-openai-key"}, {"real-gemini-key"}]
        assert [len(each.books) for each in (one, two, three)] == [2, 2, 1]
        assert one.books[0].headers["anthropic-version"]
        assert {record.usage_source for record in records if not record.is_free} == {"provider"}

    async def test_compatible_ones_answer_below_their_names(self, open_bench: OpenBench) -> None:
        async with FakeProvider() as one, FakeProvider() as two:
            specs = (
                ProviderSpec("openrouter", "openrouter", f"{one.origin}/api/v1", REAL_KEY),
                ProviderSpec("groq", "groq", f"{two.origin}/openai/v1", REAL_KEY),
            )
            async with open_bench(*specs) as it:
                for path in ("v1", "openrouter/api/v1", "groq/openai/v1", "groq/v1"):
                    async with it.client(base_url=f"http://127.0.0.1:{it.port}/{path}") as client:
                        await client.chat.completions.create(model="m", messages=SAY)
                await it.settled(4)
        assert [entry.target for entry in one.books] == ["/api/v1/chat/completions"] * 2
        assert [entry.target for entry in two.books] == ["/openai/v1/chat/completions"] * 2


class TestStreams:
    async def test_each_sdk_reads_its_stream_through_the_proxy(
        self, open_bench: OpenBench, as_agent: AsAgent
    ) -> None:
        tokens = Tokens(900, 41, cached=512, reasoning=9)
        reply = Reply(text="Hé, forty two", tokens=tokens, split_bytes=3)
        async with FakeProvider(lambda _: reply) as provider:
            specs = (
                ProviderSpec("anthropic", "anthropic", provider.origin, REAL_KEY),
                ProviderSpec("gemini", "gemini", provider.origin, REAL_KEY),
                ProviderSpec("azure_openai", "azure_openai", provider.origin, REAL_KEY),
            )
            async with open_bench(*specs) as it:
                as_agent(it, *specs)
                async with (
                    anthropic.AsyncAnthropic(max_retries=0) as client,
                    client.messages.stream(model="m", max_tokens=9, messages=SAY) as stream,
                ):
                    message = await stream.get_final_message()
                with gemini() as client:
                    chunks = await client.aio.models.generate_content_stream(
                        model="g", contents=ASKED
                    )
                    said = [chunk.text async for chunk in chunks]
                async with openai.AsyncAzureOpenAI(api_version="2024-10-21") as client:
                    stream = await client.chat.completions.create(
                        model="d", messages=SAY, stream=True
                    )
                    deltas = [chunk.choices[0].delta.content or "" async for chunk in stream]
                records = await it.settled(3)
        assert message.content[0].text == "".join(said) == "".join(deltas) == "Hé, forty two"
        assert message.usage.output_tokens == 41
        assert [record.usage.total_input_tokens for record in records] == [900] * 3
        assert [record.usage.output_tokens for record in records] == [41] * 3
        assert [record.usage.cached_tokens for record in records] == [512] * 3


class TestWhatIsNotServed:
    async def test_each_sdk_is_told_in_its_own_words(
        self, open_bench: OpenBench, as_agent: AsAgent
    ) -> None:
        async with open_bench(SCRIPTED) as it:
            as_agent(it)
            async with openai.AsyncOpenAI(max_retries=0) as client:
                with pytest.raises(openai.NotFoundError, match="GET /v1/files is not served"):
                    await client.files.list()
            async with anthropic.AsyncAnthropic(max_retries=0) as client:
                with pytest.raises(anthropic.NotFoundError, match="is not served") as caught:
                    await client.messages.batches.list()
                assert caught.value.body["error"]["type"] == "not_found_error"
            with gemini() as client, pytest.raises(genai.errors.ClientError) as refused:
                await client.aio.files.list()
            assert refused.value.status == "NOT_FOUND"
            assert "is not served" in refused.value.message
            records = await it.settled(3)
        assert {record.end for record in records} == {"denied"}

    async def test_a_wrong_key_is_told_in_its_own_words(
        self, open_bench: OpenBench, as_agent: AsAgent
    ) -> None:
        async with open_bench(SCRIPTED) as it:
            as_agent(it)
            async with anthropic.AsyncAnthropic(api_key="wrong", max_retries=0) as client:
                with pytest.raises(anthropic.AuthenticationError):
                    await client.messages.create(model="m", max_tokens=9, messages=SAY)

    @pytest.mark.parametrize(
        "target",
        [
            "/v1beta/models/../files:generateContent",
            "/v1beta/models/%2e%2e:generateContent",
            "/v1beta/models/a%2fb:generateContent",
            "/v1beta/models/a/b:generateContent",
            "/v1beta/models/.:generateContent",
            "/v1beta/models/a:generateContent?alt=sse&alt=json",
            "/v1beta/models/a:generateContent?alt=%2e",
            "/v1beta/models/a:generateContent?upload=1",
            "/v1beta/models/a:deleteEverything",
            "/openai/deployments/../x/chat/completions?api-version=1",
            "/openai/deployments/%2e%2e/chat/completions?api-version=1",
            "/model/a%2Fb/converse",
            "/model/a/converse-stream",
        ],
    )
    async def test_no_path_leads_elsewhere(self, open_bench: OpenBench, target: str) -> None:
        request = (
            f"POST {target} HTTP/1.1\r\nHost: x\r\nx-goog-api-key: {VIRTUAL_KEY}\r\n"
            "Content-Length: 2\r\nConnection: close\r\n\r\n{}"
        )
        async with open_bench(SCRIPTED) as it:
            reply = await it.send_raw(request.encode())
            [record] = await it.settled()
        assert reply.startswith(b"HTTP/1.1 404 ")
        assert record.end == "denied"

    async def test_a_key_in_the_url_opens_and_is_written_nowhere(
        self, open_bench: OpenBench
    ) -> None:
        body = b'{"contents":[{"parts":[{"text":"six"}]}]}'
        async with FakeProvider() as provider:
            spec = ProviderSpec("gemini", "gemini", provider.origin, REAL_KEY)
            async with open_bench(spec) as it:
                for path in ("v1beta/models/g:generateContent", "v1beta/files:list"):
                    await it.send_raw(
                        f"POST /{path}?key={VIRTUAL_KEY} HTTP/1.1\r\nHost: x\r\n"
                        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
                        + body
                    )
                records = await it.settled(2)
        assert [record.end for record in records] == ["complete", "denied"]
        assert provider.books[0].target == "/v1beta/models/g:generateContent"
        assert provider.books[0].key == REAL_KEY
        assert VIRTUAL_KEY not in str(records) + str(provider.books[0].headers)


async def test_what_a_provider_does_not_tell_is_handed_over_to_be_counted(
    open_bench: OpenBench,
) -> None:
    reply = Reply(text="forty two", usage="none")
    async with FakeProvider(lambda _: reply) as provider:
        spec = ProviderSpec("vllm", "vllm", provider.base_url, REAL_KEY)
        async with open_bench(spec) as it:
            async with it.client() as client:
                stream = await client.chat.completions.create(model="m", messages=SAY, stream=True)
                assert [chunk async for chunk in stream]
            [record] = await it.settled()
    [text] = it.texts
    assert (text.call_id, text.asked, text.said) == (record.call_id, ASKED, "forty two")
    assert with_estimate(record, text).usage == Usage(input_tokens=12, output_tokens=3)


class TestBedrock:
    CREDENTIALS = Credentials("AKIDEXAMPLE", "aws-secret-0123", "eu-west-1", "aws-session-0123")

    def spec(self, provider: FakeProvider) -> ProviderSpec:
        it = self.CREDENTIALS
        return ProviderSpec(
            "bedrock",
            "bedrock",
            provider.origin,
            it.secret_key,
            access_key_id=it.access_key_id,
            session_token=it.session_token,
            region=it.region,
        )

    async def test_each_request_is_signed_anew(
        self, open_bench: OpenBench, as_agent: AsAgent
    ) -> None:
        async with FakeProvider() as provider, open_bench(self.spec(provider)) as it:
            as_agent(it, self.spec(provider))
            await asyncio.to_thread(converse, "anthropic.claude-x-v1:0")
            await it.settled()
        [billed] = provider.books
        when = datetime.strptime(billed.headers["x-amz-date"], "%Y%m%dT%H%M%S%z")
        url = URL(provider.origin + billed.target, encoded=True)
        again = signed_headers(self.CREDENTIALS, "POST", url, billed.body, now=when)
        assert billed.headers["authorization"] == again["Authorization"]
        assert billed.headers["x-amz-security-token"] == "aws-session-0123"
        assert VIRTUAL_KEY not in str(billed.headers)
        assert billed.target == "/model/anthropic.claude-x-v1%3A0/converse"

    async def test_what_it_repeats_of_the_credentials_does_not_reach_the_agent(
        self, open_bench: OpenBench, as_agent: AsAgent
    ) -> None:
        body = b'{"message":"bad signature, x-amz-security-token:aws-session-0123","code":"X"}'
        reply = Reply(status=403, body=body)
        async with (
            FakeProvider(lambda _: reply) as provider,
            open_bench(self.spec(provider)) as it,
        ):
            as_agent(it, self.spec(provider))
            with pytest.raises(ClientError, match=r"security-token:\*{16}"):
                await asyncio.to_thread(converse, "m")
            [record] = await it.settled()
        assert "aws-session" not in str(record)
