"""The real SDK through the gateway: what is recorded equals what the provider billed."""

import asyncio
import gzip
import hashlib
import re
import time
import zlib
from collections.abc import Awaitable, Callable

import openai
import pytest

from pacabench.model import CallRecord, Usage
from pacabench.proxy.control import ProviderSpec
from pacabench.testing import Billed, FakeProvider, Reply, Tokens
from tests.integration.proxy.conftest import (
    ATTEMPT,
    REAL_KEY,
    VIRTUAL_KEY,
    OpenBench,
    spec_for,
)

TOKENS = Tokens(prompt=1200, completion=345, cached=1024, reasoning=128)
REPLY = Reply(text="The answer is forty two.", tokens=TOKENS)
SAY = [{"role": "user", "content": "What is six times seven?"}]

Ask = Callable[[openai.AsyncOpenAI], Awaitable[str]]


async def chat(client: openai.AsyncOpenAI) -> str:
    reply = await client.chat.completions.create(model="gpt-x", messages=SAY)
    assert reply.usage.prompt_tokens == TOKENS.prompt
    return reply.choices[0].message.content


async def chat_stream(client: openai.AsyncOpenAI) -> str:
    stream = await client.chat.completions.create(model="gpt-x", messages=SAY, stream=True)
    chunks = [chunk async for chunk in stream]
    # The chunk that the proxy asked for is not the agent's to see.
    assert all(len(chunk.choices) == 1 for chunk in chunks)
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks)


async def chat_stream_with_usage(client: openai.AsyncOpenAI) -> str:
    stream = await client.chat.completions.create(
        model="gpt-x", messages=SAY, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    assert chunks[-1].choices == []
    assert chunks[-1].usage.completion_tokens == TOKENS.completion
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks[:-1])


async def chat_stream_refusing_usage(client: openai.AsyncOpenAI) -> str:
    stream = await client.chat.completions.create(
        model="gpt-x", messages=SAY, stream=True, stream_options={"include_usage": False}
    )
    chunks = [chunk async for chunk in stream]
    assert all(chunk.choices for chunk in chunks)
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks)


async def responses(client: openai.AsyncOpenAI) -> str:
    reply = await client.responses.create(model="gpt-x", input="What is six times seven?")
    assert reply.usage.input_tokens_details.cached_tokens == TOKENS.cached
    return reply.output_text


async def responses_stream(client: openai.AsyncOpenAI) -> str:
    stream = await client.responses.create(model="gpt-x", input="What is six?", stream=True)
    events = [event async for event in stream]
    assert events[-1].type == "response.completed"
    return events[-1].response.output_text


GENERATIONS = [
    (chat, "chat.completions", False),
    (chat_stream, "chat.completions", True),
    (chat_stream_with_usage, "chat.completions", True),
    (chat_stream_refusing_usage, "chat.completions", True),
    (responses, "responses", False),
    (responses_stream, "responses", True),
]
NAMES = [ask.__name__ for ask, *_ in GENERATIONS]


def check_record(record: CallRecord, billed: Billed, endpoint: str) -> None:
    assert record.attempt_id == ATTEMPT
    assert record.endpoint == endpoint
    assert record.model == record.answered_model == "gpt-x"
    assert record.status == 200
    assert record.end == "complete"
    assert record.error is None
    assert record.usage_source == "provider"
    assert record.usage.total_input_tokens == billed.tokens.prompt
    assert record.usage.output_tokens == billed.tokens.completion
    assert record.response_bytes == billed.sent_bytes
    assert 0 < record.ttft_ms <= record.duration_ms


class TestCounts:
    @pytest.mark.parametrize(("ask", "endpoint", "streamed"), GENERATIONS, ids=NAMES)
    async def test_every_token_that_was_billed_is_recorded(
        self, open_bench: OpenBench, ask: Ask, endpoint: str, streamed: bool
    ) -> None:
        async with FakeProvider(lambda _: REPLY) as provider, open_bench(spec_for(provider)) as it:
            async with it.client() as client:
                assert await ask(client) == REPLY.text
            [record] = await it.settled()
        [billed] = provider.books
        check_record(record, billed, endpoint)
        assert record.stream == streamed
        assert record.usage == Usage(
            input_tokens=176, cached_tokens=1024, output_tokens=345, reasoning_tokens=128
        )

    @pytest.mark.parametrize("encoding", ["float", "base64"])
    async def test_embeddings_bill_input_only(self, open_bench: OpenBench, encoding: str) -> None:
        async with FakeProvider() as provider, open_bench(spec_for(provider)) as it:
            async with it.client() as client:
                await client.embeddings.create(
                    model="gpt-x", input=["one", "two and three"], encoding_format=encoding
                )
            [record] = await it.settled()
        [billed] = provider.books
        check_record(record, billed, "embeddings")
        assert record.usage.output_tokens == 0

    async def test_the_list_of_models_is_recorded_and_bills_nothing(
        self, open_bench: OpenBench
    ) -> None:
        async with FakeProvider() as provider, open_bench(spec_for(provider)) as it:
            async with it.client() as client:
                assert [model.id async for model in client.models.list()] == ["fake-model"]
            [record] = await it.settled()
        assert record.endpoint == "models"
        assert record.usage is None
        assert record.usage_source == "none"

    async def test_many_calls_at_once_add_up_to_the_books(self, open_bench: OpenBench) -> None:
        def answer(request: dict) -> Reply:
            return Reply(text="word " * (len(request["messages"][0]["content"]) % 17))

        async with FakeProvider(answer) as provider, open_bench(spec_for(provider)) as it:
            async with it.client() as client:
                await asyncio.gather(
                    *(
                        client.chat.completions.create(
                            model="m",
                            messages=[{"role": "user", "content": "x" * number}],
                            stream=bool(number % 2),
                        )
                        for number in range(30)
                        if number % 2 == 0
                    ),
                    *(_read_all(client, "x" * number) for number in range(30) if number % 2),
                )
            records = await it.settled(30)
        total = provider.totals()
        assert sum(record.usage.total_input_tokens for record in records) == total.prompt
        assert sum(record.usage.output_tokens for record in records) == total.completion

    async def test_a_model_that_answers_as_another_is_told_apart(
        self, open_bench: OpenBench
    ) -> None:
        reply = Reply(model="gpt-x-2026-01-01")
        async with FakeProvider(lambda _: reply) as provider, open_bench(spec_for(provider)) as it:
            async with it.client() as client:
                await client.chat.completions.create(model="gpt-x", messages=SAY)
            [record] = await it.settled()
        assert (record.model, record.answered_model) == ("gpt-x", "gpt-x-2026-01-01")


async def _read_all(client: openai.AsyncOpenAI, text: str) -> None:
    stream = await client.chat.completions.create(
        model="m", messages=[{"role": "user", "content": text}], stream=True
    )
    async for _ in stream:
        pass


class TestPassThrough:
    @pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"], ids=["lf", "crlf", "cr"])
    @pytest.mark.parametrize("split_bytes", [None, 1, 7])
    async def test_a_stream_with_usage_arrives_byte_for_byte(
        self, open_bench: OpenBench, line_end: bytes, split_bytes: int | None
    ) -> None:
        reply = Reply(text="Hé, bytes!", tokens=TOKENS, line_end=line_end, split_bytes=split_bytes)
        request = {
            "model": "m",
            "messages": SAY,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        async with FakeProvider(lambda _: reply) as provider, open_bench(spec_for(provider)) as it:
            got = await it.post("/chat/completions", request)
            [record] = await it.settled()
        [billed] = provider.books
        assert hashlib.sha256(got.content).hexdigest() == billed.sent_digest
        assert record.usage.output_tokens == TOKENS.completion

    @pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"], ids=["lf", "crlf", "cr"])
    @pytest.mark.parametrize("split_bytes", [None, 1, 7])
    async def test_only_the_usage_chunk_that_the_proxy_caused_is_taken_out(
        self, open_bench: OpenBench, line_end: bytes, split_bytes: int | None
    ) -> None:
        reply = Reply(text="one two", tokens=TOKENS, line_end=line_end, split_bytes=split_bytes)
        request = {"model": "m", "messages": SAY, "stream": True}
        async with FakeProvider(lambda _: reply) as provider, open_bench(spec_for(provider)) as it:
            got = await it.post("/chat/completions", request)
            whole = await it.post(
                "/chat/completions",
                request | {"stream_options": {"include_usage": True}},
            )
            records = await it.settled(2)
        events = whole.content.split(line_end * 2)
        [usage] = [event for event in events if b'"choices":[]' in event]
        expected = whole.content.replace(usage + line_end * 2, b"")
        assert _without_ids(got.content) == _without_ids(expected)
        assert [record.usage.output_tokens for record in records] == [TOKENS.completion] * 2

    async def test_the_agents_own_bytes_reach_the_provider(self, open_bench: OpenBench) -> None:
        body = b'{ "model":"m", "seed": 1e2, "messages":[], "x":12345678901234567890123 }'
        async with FakeProvider() as provider, open_bench(spec_for(provider)) as it:
            await it.post("/chat/completions", body)
        assert provider.books[0].body == body

    async def test_asking_for_usage_leaves_the_rest_of_the_request_alone(
        self, open_bench: OpenBench
    ) -> None:
        body = b' {"model":"m","stream":true,"messages":[],"x":12345678901234567890123}'
        async with FakeProvider() as provider, open_bench(spec_for(provider)) as it:
            await it.post("/chat/completions", body)
        asked = b'"stream_options":{"include_usage":true},'
        assert provider.books[0].body.replace(asked, b"") == body

    async def test_a_provider_that_refuses_the_usage_option_is_asked_without_it(
        self, open_bench: OpenBench
    ) -> None:
        reply = Reply(text="fine", refuses_usage_option=True)
        async with FakeProvider(lambda _: reply) as provider, open_bench(spec_for(provider)) as it:
            async with it.client() as client:
                assert await chat_stream(client) == "fine"
            [record] = await it.settled()
        assert [entry.status for entry in provider.books] == [400, 200]
        assert record.retries == 1
        assert record.status == 200
        assert record.usage is None

    async def test_a_refusal_of_the_usage_option_may_be_coded(self, open_bench: OpenBench) -> None:
        refusal = gzip.compress(b'{"error":{"message":"Unknown parameter: stream_options"}}')

        def answer(request: dict) -> Reply:
            if "stream_options" in request:
                return Reply(status=400, body=refusal, headers={"Content-Encoding": "gzip"})
            return Reply(text="fine")

        async with (
            FakeProvider(answer) as provider,
            open_bench(spec_for(provider)) as it,
            it.client() as client,
        ):
            assert await chat_stream(client) == "fine"
        assert [entry.status for entry in provider.books] == [400, 200]

    async def test_a_stream_is_not_held_back(self, open_bench: OpenBench) -> None:
        reply = Reply(text="a b c d e", pause_s=0.1)
        async with (
            FakeProvider(lambda _: reply) as provider,
            open_bench(spec_for(provider)) as it,
            it.client() as client,
        ):
            stream = await client.chat.completions.create(model="m", messages=SAY, stream=True)
            times = [time.monotonic() async for _ in stream]
            [record] = await it.settled()
        assert times[-1] - times[0] > 0.4
        assert record.duration_ms - record.ttft_ms > 400

    @pytest.mark.parametrize("encoding", ["gzip", "deflate"])
    async def test_a_reply_that_is_coded_unasked_is_metered_too(
        self, open_bench: OpenBench, encoding: str
    ) -> None:
        body = b'{"model":"m","usage":{"prompt_tokens":7,"completion_tokens":3}}'
        packer = zlib.compressobj(wbits=31 if encoding == "gzip" else 15)
        packed = packer.compress(body) + packer.flush()
        reply = Reply(body=packed, content_encoding=encoding, split_bytes=5)
        async with FakeProvider(lambda _: reply) as provider, open_bench(spec_for(provider)) as it:
            got = await it.post("/chat/completions", {"model": "m", "messages": SAY})
            [record] = await it.settled()
        assert got.content == body
        assert provider.books[0].headers["accept-encoding"] == "identity"
        assert record.usage == Usage(input_tokens=7, output_tokens=3)

    async def test_a_large_prompt_goes_through_whole(self, open_bench: OpenBench) -> None:
        request = {"model": "m", "messages": [{"role": "user", "content": "x" * 3_000_000}]}
        async with FakeProvider() as provider, open_bench(spec_for(provider)) as it:
            got = await it.post("/chat/completions", request)
            [record] = await it.settled()
        assert got.status == 200
        assert record.request_bytes == len(provider.books[0].body) > 3_000_000


class TestHeaders:
    async def test_only_what_is_needed_goes_either_way(self, open_bench: OpenBench) -> None:
        async with FakeProvider() as provider, open_bench(spec_for(provider)) as it:
            got = await it.post(
                "/chat/completions",
                {"model": "m", "messages": SAY},
                headers={"x-stainless-os": "Linux", "OpenAI-Organization": "o", "Cookie": "c=1"},
            )
        sent = provider.books[0].headers
        assert set(sent) <= {
            "host",
            "content-type",
            "content-length",
            "accept",
            "accept-encoding",
            "user-agent",
            "authorization",
        }
        assert got.headers["x-request-id"] == "req_fake"
        assert got.headers["x-ratelimit-remaining-tokens"] == "1000"
        assert "set-cookie" not in got.headers
        assert "openai-organization" not in got.headers

    @pytest.mark.parametrize("name", ["anthropic-beta", "OpenAI-Beta", "Accept"])
    async def test_a_list_in_several_lines_goes_on_as_one(
        self, open_bench: OpenBench, name: str
    ) -> None:
        wire = "anthropic" if name == "anthropic-beta" else "openai"
        path = "messages" if wire == "anthropic" else "chat/completions"
        body = b'{"model":"m","messages":[]}'
        head = (
            f"POST /v1/{path} HTTP/1.1\r\nHost: x\r\nx-api-key: {VIRTUAL_KEY}\r\n"
            f"{name}: one\r\n{name}: two, three\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        async with FakeProvider() as provider:
            spec = ProviderSpec(wire, wire, base_url=provider.origin + "/v1" * (wire == "openai"),
                                api_key=REAL_KEY)  # fmt: skip
            async with open_bench(spec) as it:
                await it.send_raw(head.encode() + body, until_closed=False)
        assert provider.books[0].headers[name.lower()] == "one, two, three"

    async def test_the_virtual_key_is_replaced_by_the_real_one(self, open_bench: OpenBench) -> None:
        async with FakeProvider() as provider, open_bench(spec_for(provider)) as it:
            got = await it.post("/chat/completions", {"model": "m", "messages": SAY})
        assert provider.books[0].key == REAL_KEY
        assert REAL_KEY not in str(got.headers) + got.content.decode()

    async def test_a_redirect_is_not_followed(self, open_bench: OpenBench) -> None:
        async with FakeProvider() as other:
            reply = Reply(status=307, headers={"Location": other.base_url + "/chat/completions"})
            async with (
                FakeProvider(lambda _: reply) as provider,
                open_bench(spec_for(provider)) as it,
            ):
                got = await it.post("/chat/completions", {"model": "m"})
                [record] = await it.settled()
        assert (got.status, "location" in got.headers) == (502, False)
        assert b"redirects with 307 to '127.0.0.1'" in got.content
        assert (record.end, record.status, record.failed_tries) == ("upstream_error", 307, ())
        assert record.is_provider_failure
        assert (len(provider.books), other.books) == (1, [])

    @pytest.mark.parametrize(
        ("location", "told"),
        [
            ({}, "the same host"),
            ({"Location": "/v2/chat"}, "the same host"),
            ({"Location": "http://[::1"}, "no address"),
            ({"Location": f"https://u:{REAL_KEY}@b.example/?k={REAL_KEY}"}, "b.example"),
        ],
    )
    async def test_where_it_redirects_to_is_told_and_no_more(
        self, open_bench: OpenBench, location: dict[str, str], told: str
    ) -> None:
        reply = Reply(status=301, headers=location)
        async with FakeProvider(lambda _: reply) as provider, open_bench(spec_for(provider)) as it:
            got = await it.post("/chat/completions", {"model": "m"})
            [record] = await it.settled()
        assert f"to {told!r}," in (record.error or "")
        assert REAL_KEY not in got.content.decode() + (record.error or "")


def _without_ids(stream: bytes) -> bytes:
    # The other request had other bytes, so its id differs; nothing else may.
    return re.sub(rb'"chatcmpl-\w+"|"created":\d+', b"", stream)
