"""The real SDKs, told nothing but the variables that an agent gets."""

import asyncio
import contextlib
import warnings
from collections.abc import Callable, Iterator

import anthropic
import botocore.session
import openai
import pytest
from google import genai

from pacabench.model import Usage
from pacabench.proxy.control import ProviderSpec
from pacabench.sandbox.environment import agent_variables
from tests.integration.proxy.conftest import VIRTUAL_KEY, Bench, OpenBench

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


async def test_bedrock_is_called_as_boto_calls_it(open_bench: OpenBench, as_agent: AsAgent) -> None:
    async with open_bench(SCRIPTED) as it:
        as_agent(it)

        def converse() -> dict:
            client = botocore.session.get_session().create_client("bedrock-runtime")
            try:
                return client.converse(
                    modelId="anthropic.claude-x-v1:0",
                    messages=[{"role": "user", "content": [{"text": ASKED}]}],
                )
            finally:
                client.close()

        reply = await asyncio.to_thread(converse)
        [record] = await it.settled()
    assert reply["output"]["message"]["content"] == [{"text": "forty two"}]
    assert record.model == "anthropic.claude-x-v1:0"
    assert record.usage == Usage(PROMPT_TOKENS, 0, 0, REPLY_TOKENS, None)
