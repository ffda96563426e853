"""Ways out through a provider's own tools, asked for with the real SDKs."""

import asyncio
import contextlib
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import anthropic
import botocore.session
import openai
import pytest
from botocore.exceptions import ClientError
from google import genai
from google.genai import errors as genai_errors
from google.genai import types

from pacabench.proxy.control import ProviderSpec
from pacabench.proxy.terms import Terms
from pacabench.sandbox.environment import agent_variables
from pacabench.testing import FakeProvider
from tests.integration.proxy.conftest import (
    ATTEMPT,
    REAL_KEY,
    VIRTUAL_KEY,
    Bench,
    OpenBench,
    spec_for,
)

HTTP = "https://example.test/x.png"
DATA = "data:image/png;base64,aGk="
SAY = [{"role": "user", "content": "hello"}]


def pictured(url: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]


def shown(source: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [{"type": "image", "source": source}]}]


CHAT: list[tuple[str, dict[str, Any]]] = [
    ("web_search", {"web_search_options": {}}),
    ("web_search", {"model": "gpt-4o-search-preview"}),
    ("remote_urls", {"messages": pictured(HTTP)}),
    ("stored_state", {"store": True}),
    ("mcp", {"extra_body": {"tools": [{"type": "mcp", "server_url": HTTP}]}}),
    ("web_search", {"extra_body": {"plugins": [{"id": "web"}]}}),
    ("data_sources", {"extra_body": {"data_sources": [{"type": "azure_search"}]}}),
]
RESPONSES: list[tuple[str, dict[str, Any]]] = [
    ("web_search", {"tools": [{"type": "web_search"}]}),
    ("web_search", {"tools": [{"type": "web_search_preview"}]}),
    ("file_search", {"tools": [{"type": "file_search", "vector_store_ids": ["vs_1"]}]}),
    ("mcp", {"tools": [{"type": "mcp", "server_label": "x", "server_url": HTTP}]}),
    (
        "code_execution",
        {"tools": [{"type": "code_interpreter", "container": {"type": "auto"}}]},
    ),
    ("image_generation", {"tools": [{"type": "image_generation"}]}),
    ("stored_state", {"previous_response_id": "resp_1"}),
    ("stored_state", {"conversation": "conv_1"}),
    ("stored_state", {"prompt": {"id": "pmpt_1"}}),
    ("background", {"background": True}),
    (
        "remote_urls",
        {"input": [{"role": "user", "content": [{"type": "input_file", "file_url": HTTP}]}]},
    ),
    (
        "files",
        {"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "file-1"}]}]},
    ),
]
MESSAGES: list[tuple[str, dict[str, Any]]] = [
    ("web_search", {"tools": [{"type": "web_search_20250305", "name": "web_search"}]}),
    ("web_fetch", {"tools": [{"type": "web_fetch_20250910", "name": "web_fetch"}]}),
    (
        "code_execution",
        {"tools": [{"type": "code_execution_20250825", "name": "code_execution"}]},
    ),
    ("mcp", {"mcp_servers": [{"type": "url", "url": HTTP, "name": "x"}]}),
    ("containers", {"container": {"skills": [{"type": "anthropic", "skill_id": "pdf"}]}}),
    ("remote_urls", {"messages": shown({"type": "url", "url": HTTP})}),
    ("files", {"messages": shown({"type": "file", "file_id": "file_1"})}),
]
CONTENT: list[tuple[str, dict[str, Any]]] = [
    ("web_search", {"tools": [types.Tool(google_search=types.GoogleSearch())]}),
    ("web_fetch", {"tools": [types.Tool(url_context=types.UrlContext())]}),
    ("code_execution", {"tools": [types.Tool(code_execution=types.ToolCodeExecution())]}),
    ("maps", {"tools": [types.Tool(google_maps=types.GoogleMaps())]}),
    ("cached_content", {"cached_content": "cachedContents/1"}),
]
S3 = {"image": {"format": "png", "source": {"s3Location": {"uri": "s3://bucket/x.png"}}}}
CONVERSE: list[tuple[str, dict[str, Any]]] = [
    ("web_search", {"toolConfig": {"tools": [{"systemTool": {"name": "nova_grounding"}}]}}),
    ("remote_urls", {"messages": [{"role": "user", "content": [S3]}]}),
]

AsAgent = Callable[[Bench, ProviderSpec], None]


@pytest.fixture
def as_agent(monkeypatch: pytest.MonkeyPatch) -> AsAgent:
    def set_(it: Bench, spec: ProviderSpec) -> None:
        origin = f"http://127.0.0.1:{it.port}"
        found = agent_variables({}, origin=origin, key=VIRTUAL_KEY, providers=[spec])
        for name, value in found.items():
            monkeypatch.setenv(name, value)

    return set_


async def denied(it: Bench, provider: FakeProvider, tool: str, error: Exception) -> None:
    """The agent is told, a record says so, and the provider knows nothing."""
    assert f"allow_provider_tools: [{tool}]" in str(error)
    [record] = await it.settled()
    assert (record.end, record.status, record.attempt_id) == ("denied", None, ATTEMPT)
    assert record.error.startswith("403: ")
    assert tool in record.error
    assert not record.is_provider_failure
    assert not record.may_be_billed
    assert provider.books == []


@pytest.mark.parametrize(("tool", "more"), CHAT)
@pytest.mark.parametrize("kind", ["openai", "azure_openai", "openrouter"])
async def test_in_chat_completions(
    open_bench: OpenBench, as_agent: AsAgent, kind: str, tool: str, more: dict[str, Any]
) -> None:
    async with FakeProvider() as provider:
        base_url = provider.origin if kind == "azure_openai" else provider.base_url
        spec = ProviderSpec(kind, kind, base_url, REAL_KEY)
        async with open_bench(spec) as it:
            as_agent(it, spec)
            async with (
                openai.AsyncAzureOpenAI(api_version="2024-10-21", max_retries=2)
                if kind == "azure_openai"
                else openai.AsyncOpenAI(max_retries=2)
            ) as client:
                with pytest.raises(openai.PermissionDeniedError) as caught:
                    await client.chat.completions.create(
                        **{"model": "m", "messages": SAY, "stream": True, **more}
                    )
            assert caught.value.code == "provider_tool_denied"
            await denied(it, provider, tool, caught.value)


@pytest.mark.parametrize(("tool", "more"), RESPONSES)
async def test_in_responses(
    open_bench: OpenBench, as_agent: AsAgent, tool: str, more: dict[str, Any]
) -> None:
    async with FakeProvider() as provider:
        spec = ProviderSpec("openai", "openai", provider.base_url, REAL_KEY)
        async with open_bench(spec) as it:
            as_agent(it, spec)
            async with openai.AsyncOpenAI() as client:
                with pytest.raises(openai.PermissionDeniedError) as caught:
                    await client.responses.create(**{"model": "m", "input": "hello", **more})
            await denied(it, provider, tool, caught.value)


@pytest.mark.parametrize(
    ("method", "tool", "more"),
    [
        (method, tool, more)
        for method in ("create", "count_tokens")
        for tool, more in MESSAGES
        if method == "create" or "container" not in more  # which is for answers only
    ],
)
async def test_in_messages(
    open_bench: OpenBench, as_agent: AsAgent, method: str, tool: str, more: dict[str, Any]
) -> None:
    async with FakeProvider() as provider:
        spec = ProviderSpec("anthropic", "anthropic", provider.origin, REAL_KEY)
        async with open_bench(spec) as it:
            as_agent(it, spec)
            limit = {"max_tokens": 9} if method == "create" else {}
            async with anthropic.AsyncAnthropic() as client:
                ask = getattr(client.beta.messages, method)
                with pytest.raises(anthropic.PermissionDeniedError) as caught:
                    await ask(**{"model": "m", "messages": SAY, **limit, **more})
            await denied(it, provider, tool, caught.value)


@contextlib.contextmanager
def gemini() -> Iterator[genai.Client]:
    with warnings.catch_warnings():
        # The SDK builds on parts of the language that the newest Pythons deprecate.
        warnings.simplefilter("ignore", DeprecationWarning)
        yield genai.Client()


@pytest.mark.parametrize(
    ("tool", "contents", "config"),
    [
        *((tool, "hello", config) for tool, config in CONTENT),
        ("remote_urls", types.Part.from_uri(file_uri=HTTP, mime_type="image/png"), {}),
    ],
)
async def test_in_generate_content(
    open_bench: OpenBench, as_agent: AsAgent, tool: str, contents: Any, config: dict[str, Any]
) -> None:
    async with FakeProvider() as provider:
        spec = ProviderSpec("gemini", "gemini", provider.origin, REAL_KEY)
        async with open_bench(spec) as it:
            as_agent(it, spec)
            with gemini() as client, pytest.raises(genai_errors.ClientError) as caught:
                await client.aio.models.generate_content(
                    model="g", contents=contents, config=types.GenerateContentConfig(**config)
                )
            assert (caught.value.code, caught.value.status) == (403, "PERMISSION_DENIED")
            await denied(it, provider, tool, caught.value)


@pytest.mark.parametrize(("tool", "more"), CONVERSE)
async def test_in_converse(
    open_bench: OpenBench, as_agent: AsAgent, tool: str, more: dict[str, Any]
) -> None:
    def converse() -> None:
        client = botocore.session.get_session().create_client("bedrock-runtime")
        with contextlib.closing(client):
            messages = [{"role": "user", "content": [{"text": "hello"}]}]
            client.converse(**{"modelId": "m", "messages": messages, **more})

    async with FakeProvider() as provider:
        spec = ProviderSpec("bedrock", "bedrock", provider.origin, REAL_KEY, region="us-east-1")
        async with open_bench(spec) as it:
            as_agent(it, spec)
            with pytest.raises(ClientError) as caught:
                await asyncio.to_thread(converse)
            assert caught.value.response["Error"]["Code"] == "AccessDeniedException"
            await denied(it, provider, tool, caught.value)


@pytest.mark.parametrize(("tool", "more"), RESPONSES)
async def test_what_is_allowed_by_name_reaches_the_provider_as_it_was_sent(
    open_bench: OpenBench, as_agent: AsAgent, tool: str, more: dict[str, Any]
) -> None:
    async with FakeProvider() as provider:
        spec = ProviderSpec("openai", "openai", provider.base_url, REAL_KEY, allow_tools=[tool])
        async with open_bench(spec) as it:
            as_agent(it, spec)
            async with openai.AsyncOpenAI() as client:
                await client.responses.create(**{"model": "m", "input": "hello", **more})
            [record] = await it.settled()
    assert record.end == "complete"
    [billed] = provider.books
    assert all(name in billed.body.decode() for name in more)


@pytest.mark.parametrize(
    ("of_run", "of_agent", "passes"),
    [
        ([], None, False),
        (["web_search"], None, True),
        ([], ["web_search"], True),
        (["web_search"], [], False),
        (["web_search"], ["mcp"], False),
    ],
)
async def test_an_agents_own_list_stands_in_place_of_the_runs(
    open_bench: OpenBench, of_run: list[str], of_agent: list[str] | None, passes: bool
) -> None:
    request = {"model": "m", "input": "hello", "tools": [{"type": "web_search"}]}
    async with FakeProvider() as provider:
        spec = replace(spec_for(provider), allow_tools=of_run)
        async with open_bench(spec, terms=Terms(allow_tools=of_agent)) as it:
            reply = await it.post("/responses", request)
            # The next attempt in the lane is another agent's, with the run's list.
            await it.gateway.unbind("lane-1")
            it.gateway.bind("lane-1", "other", VIRTUAL_KEY)
            other = await it.post("/responses", request)
    assert reply.status == (200 if passes else 403)
    assert other.status == (200 if of_run else 403)
    assert len(provider.books) == passes + bool(of_run)


async def test_data_urls_and_the_agents_own_tools_pass(
    open_bench: OpenBench, as_agent: AsAgent
) -> None:
    function = {"type": "function", "function": {"name": "f", "parameters": {"url": {}}}}
    async with FakeProvider() as provider:
        spec = ProviderSpec("openai", "openai", provider.base_url, REAL_KEY)
        async with open_bench(spec) as it:
            as_agent(it, spec)
            async with openai.AsyncOpenAI() as client:
                await client.chat.completions.create(
                    model="m", messages=pictured(DATA), tools=[function]
                )
            assert [record.end for record in await it.settled()] == ["complete"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/batches"),
        ("POST", "/v1/files"),
        ("POST", "/v1/vector_stores"),
        ("POST", "/v1/conversations"),
        ("POST", "/v1/assistants"),
        ("POST", "/v1/containers"),
        ("GET", "/v1/responses/resp_1"),
        ("POST", "/v1/responses/resp_1/cancel"),
        ("GET", "/v1/chat/completions/chatcmpl_1"),
        ("POST", "/v1/messages/batches"),
        ("POST", "/v1beta/models/m:batchGenerateContent"),
        ("POST", "/v1beta/cachedContents"),
        ("POST", "/upload/v1beta/files"),
        ("POST", "/v1beta/interactions"),
        ("POST", "/model/m/invoke"),
        ("POST", "/model/m/converse-stream"),
        ("POST", "/openai/v1/files"),
        ("POST", "/api/chat"),
        ("POST", "/v1/agents/completions"),
    ],
)
async def test_what_leads_out_by_another_path_is_not_served_at_all(
    open_bench: OpenBench, method: str, path: str
) -> None:
    every = [
        ProviderSpec(kind, kind, "http://127.0.0.1:9", REAL_KEY)
        for kind in ("openai", "anthropic", "gemini", "azure_openai", "mistral", "ollama")
    ]
    bedrock = ProviderSpec("bedrock", "bedrock", "http://127.0.0.1:9", REAL_KEY)
    async with open_bench(*every, bedrock) as it:
        got = await it.send_raw(
            f"{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {VIRTUAL_KEY}\r\n"
            "Content-Length: 2\r\n\r\n{}".encode()
        )
        [record] = await it.settled()
    assert got.startswith(b"HTTP/1.1 404 ")
    assert b"is not served here. What is: POST /v1/chat/completions" in got
    assert record.end == "denied"
