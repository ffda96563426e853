"""Faults on either side: the agent sees what it would see without a proxy, and each call counts."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import openai
import pytest

from pacabench.model import Usage
from pacabench.proxy import serving
from pacabench.proxy.control import ProviderSpec
from pacabench.proxy.spool import Spool, read_spool
from pacabench.testing import FakeProvider, Reply, Tokens
from tests.integration.proxy.conftest import (
    ATTEMPT,
    ONE_TRY,
    REAL_KEY,
    VIRTUAL_KEY,
    Bench,
    OpenBench,
    spec_for,
)

SAY = [{"role": "user", "content": "count to a hundred"}]
LONG = Reply(text="word " * 40, tokens=Tokens(prompt=11, completion=40, cached=4), pause_s=0.01)
ASKED = {"model": "m", "messages": SAY}

FAILED_RESPONSE = b'{"object":"response","status":"failed","error":{"code":"%s","message":"%s"}}'


async def wait_for(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - plain state has no event
            await asyncio.sleep(0.005)


async def read_chunks(client: openai.AsyncOpenAI, count: int) -> None:
    """Read the first chunks of a stream, then hang up."""
    stream = await client.chat.completions.create(model="m", messages=SAY, stream=True)
    async for _ in stream:
        count -= 1
        if not count:
            break
    await stream.close()


async def collect(stream: openai.AsyncStream, into: list[str]) -> None:
    async for chunk in stream:
        text = chunk.choices[0].delta.content
        into.append(text)


class TestClientGone:
    async def test_a_stream_left_in_the_middle_is_read_on_for_its_usage(
        self, open_bench: OpenBench
    ) -> None:
        async with FakeProvider(lambda _: LONG) as provider, open_bench(spec_for(provider)) as it:
            async with it.client() as client:
                await read_chunks(client, 3)
            [record] = await it.settled()
        [billed] = provider.books
        assert record.end == "client_gone"
        assert record.usage == Usage(7, 4, None, 40, 0)
        assert record.usage_source == "provider"
        assert not billed.client_gone
        assert record.response_bytes == billed.sent_bytes

    async def test_a_call_left_before_the_first_byte_is_counted_too(
        self, open_bench: OpenBench
    ) -> None:
        reply = Reply(delay_s=0.5, tokens=Tokens(prompt=5, completion=6))
        async with (
            FakeProvider(lambda _: reply) as provider,
            open_bench(spec_for(provider)) as it,
            it.client() as client,
        ):
            asking = asyncio.create_task(client.chat.completions.create(model="m", messages=SAY))
            await wait_for(lambda: bool(provider.books))
            asking.cancel()
            [record] = await it.settled()
        assert record.end == "client_gone"
        assert record.usage == Usage(5, 0, None, 6, 0)

    async def test_a_client_that_hangs_up_after_the_last_byte_had_it_all(
        self, open_bench: OpenBench
    ) -> None:
        async with FakeProvider() as provider, open_bench(spec_for(provider)) as it:
            _, writer = await asyncio.open_connection("127.0.0.1", it.port)
            writer.write(raw_request(b'{"model":"m","messages":[]}'))
            await wait_for(lambda: len(it.records) == 1)
            writer.transport.abort()
            [record] = await it.settled()
        assert record.end == "complete"

    async def test_a_client_that_leaves_inside_its_own_request_reaches_nobody(
        self, open_bench: OpenBench
    ) -> None:
        async with FakeProvider() as provider, open_bench(spec_for(provider)) as it:
            _, writer = await asyncio.open_connection("127.0.0.1", it.port)
            writer.write(raw_request(b'{"model":', length=5000))
            await writer.drain()
            await asyncio.sleep(0.05)
            writer.transport.abort()
            [record] = await it.settled()
        assert record.end == "client_gone"
        assert record.status is None
        assert provider.books == []

    async def test_draining_has_an_end(self, open_bench: OpenBench) -> None:
        reply = Reply(text="word " * 1000, pause_s=0.02)
        patience = replace(ONE_TRY, drain_s=0.1)
        async with (
            FakeProvider(lambda _: reply) as provider,
            open_bench(spec_for(provider), patience=patience) as it,
        ):
            async with it.client() as client:
                await read_chunks(client, 2)
            [record] = await it.settled()
            await wait_for(lambda: provider.books[0].client_gone)
        assert record.end == "client_gone"
        assert record.usage is None
        assert record.duration_ms < 5000

    async def test_draining_reads_a_bounded_number_of_bytes(self, open_bench: OpenBench) -> None:
        reply = Reply(text="word " * 1000, pause_s=0.002)
        patience = replace(ONE_TRY, drain_bytes=2000)
        async with (
            FakeProvider(lambda _: reply) as provider,
            open_bench(spec_for(provider), patience=patience) as it,
        ):
            async with it.client() as client:
                await read_chunks(client, 2)
            [record] = await it.settled()
        assert record.end == "client_gone"
        assert record.usage is None


class TestUpstream:
    async def test_a_reset_before_the_head_is_a_502_in_the_providers_shape(
        self, open_bench: OpenBench
    ) -> None:
        reply = Reply(reset_after=0)
        async with FakeProvider(lambda _: reply) as provider, open_bench(spec_for(provider)) as it:
            async with it.client() as client:
                with pytest.raises(openai.InternalServerError) as caught:
                    await client.chat.completions.create(model="m", messages=SAY)
            [record] = await it.settled()
        assert caught.value.status_code == 502
        assert caught.value.body["type"] == "server_error"
        assert (record.end, record.status) == ("upstream_error", None)
        assert record.is_provider_failure
        assert record.usage_source == "none"

    async def test_a_reset_inside_a_stream_breaks_the_agents_stream_too(
        self, open_bench: OpenBench
    ) -> None:
        reply = Reply(text="one two three four", reset_after=3)
        got = []
        async with FakeProvider(lambda _: reply) as provider, open_bench(spec_for(provider)) as it:
            async with it.client() as client:
                stream = await client.chat.completions.create(model="m", messages=SAY, stream=True)
                with pytest.raises(openai.APIConnectionError):
                    await collect(stream, got)
            [record] = await it.settled()
        assert got == ["", "one", " two"]
        assert (record.end, record.status) == ("upstream_error", 200)

    async def test_a_document_cut_short_is_not_passed_off_as_whole(
        self, open_bench: OpenBench
    ) -> None:
        reply = Reply(text="x" * 500, split_bytes=100, reset_after=2)
        async with FakeProvider(lambda _: reply) as provider, open_bench(spec_for(provider)) as it:
            async with it.client() as client:
                with pytest.raises(openai.APIConnectionError):
                    await client.chat.completions.create(model="m", messages=SAY)
            [record] = await it.settled()
        assert record.end == "upstream_error"

    async def test_nobody_listening_is_a_502(self, open_bench: OpenBench) -> None:
        spec = ProviderSpec("openai", "openai", "http://127.0.0.1:1/v1", REAL_KEY)
        async with open_bench(spec) as it:
            got = await it.post("/chat/completions", ASKED)
            [record] = await it.settled()
        assert got.status == 502
        assert record.end == "upstream_error"
        assert "cannot be reached" in record.error

    async def test_silence_has_an_end(self, open_bench: OpenBench) -> None:
        reply = Reply(silent=True)
        patience = replace(ONE_TRY, silence_s=0.2)
        async with (
            FakeProvider(lambda _: reply) as provider,
            open_bench(spec_for(provider), patience=patience) as it,
        ):
            got = await it.post("/chat/completions", ASKED)
            [record] = await it.settled()
        assert got.status == 502
        assert "silent" in record.error

    async def test_429_and_retry_after_reach_the_sdk_and_its_retry_is_a_call_of_its_own(
        self, open_bench: OpenBench
    ) -> None:
        replies = [Reply(status=429, headers={"Retry-After": "0"}), Reply(text="at last")]
        async with (
            FakeProvider(lambda _: replies.pop(0)) as provider,
            open_bench(spec_for(provider), quiet=False) as it,
            it.client(max_retries=1) as client,
        ):
            reply = await client.chat.completions.create(model="m", messages=SAY)
            first, second = await it.settled(2)
        assert second.repeat_of == first.call_id
        assert reply.choices[0].message.content == "at last"
        assert (first.status, second.status) == (429, 200)
        assert first.is_provider_failure
        assert first.request_digest == second.request_digest
        assert first.usage is None

    @pytest.mark.parametrize("status", [400, 401, 404, 500, 503])
    async def test_an_error_is_passed_on_as_it_is(self, open_bench: OpenBench, status: int) -> None:
        body = b'{"error": {"message":  "no such luck", "type": "t"}}'
        reply = Reply(status=status, body=body)
        async with FakeProvider(lambda _: reply) as provider, open_bench(spec_for(provider)) as it:
            got = await it.post("/chat/completions", ASKED)
            [record] = await it.settled()
        assert (got.status, got.content) == (status, body)
        assert (record.status, record.end) == (status, "complete")
        assert record.error == "no such luck"

    async def test_an_error_that_repeats_the_key_loses_it(self, open_bench: OpenBench) -> None:
        message = f"Incorrect API key provided: {REAL_KEY}"
        reply = Reply(status=401, message=message, headers={"x-request-id": REAL_KEY})
        async with FakeProvider(lambda _: reply) as provider, open_bench(spec_for(provider)) as it:
            got = await it.post("/chat/completions", ASKED)
            [record] = await it.settled()
        assert got.status == 401
        assert b"Incorrect API key provided: " + b"*" * len(REAL_KEY) in got.content
        assert REAL_KEY not in str(got.headers)
        assert record.error == "Incorrect API key provided: " + "*" * len(REAL_KEY)

    async def test_a_key_that_is_a_common_word_is_not_looked_for(
        self, open_bench: OpenBench
    ) -> None:
        reply = Reply(status=404, message="no model llama in ollama")
        async with FakeProvider(lambda _: reply) as provider:
            spec = ProviderSpec("openai", "openai", provider.base_url, "ollama")
            async with open_bench(spec) as it:
                got = await it.post("/chat/completions", ASKED)
        assert b"no model llama in ollama" in got.content
        assert provider.books[0].key == "ollama"

    async def test_an_error_inside_a_stream_is_the_providers_failure(
        self, open_bench: OpenBench
    ) -> None:
        body = b'data: {"choices":[]}\n\ndata: {"error":{"message":"overloaded"}}\n\n'
        reply = Reply(body=body)
        async with FakeProvider(lambda _: reply) as provider, open_bench(spec_for(provider)) as it:
            got = await it.post("/chat/completions", ASKED | {"stream": True})
            [record] = await it.settled()
        assert got.content == body
        assert (record.end, record.status, record.error) == ("upstream_error", 200, "overloaded")

    @pytest.mark.parametrize(
        "body",
        [
            b'{"error":{"code":502,"message":"no luck"}}',
            b'{"error":{"code":"429","message":"no luck"}}',
            b'{"error":{"code":402,"message":"no luck"}}',
            b'{"error":{"message":"no luck"}}',
            b'{"error":"no luck"}',
            b'{"error":{"code":"invalid_api_key","message":"no luck"}}',
            b'{"type":"error","error":{"type":"overloaded_error","message":"no luck"}}',
            b'{"error":{"code":503,"status":"UNAVAILABLE","message":"no luck"}}',
            b'{"choices":[{"index":0,"message":{},"error":{"code":502,"message":"no luck"}}]}',
            FAILED_RESPONSE % (b"server_error", b"no luck"),
            FAILED_RESPONSE % (b"rate_limit_exceeded", b"no luck"),
        ],
    )
    async def test_an_error_in_a_document_with_200_is_the_providers_failure(
        self, open_bench: OpenBench, body: bytes
    ) -> None:
        reply = Reply(body=body)
        async with FakeProvider(lambda _: reply) as provider, open_bench(spec_for(provider)) as it:
            got = await it.post("/chat/completions", ASKED)
            [record] = await it.settled()
        assert (got.status, got.content) == (200, body)
        assert (record.end, record.status, record.error) == ("upstream_error", 200, "no luck")
        assert record.is_provider_failure

    async def test_a_choice_that_ended_in_an_error_is_the_providers_failure(
        self, open_bench: OpenBench
    ) -> None:
        reply = Reply(body=b'{"choices":[{"index":0,"finish_reason":"error","message":{}}]}')
        async with FakeProvider(lambda _: reply) as provider, open_bench(spec_for(provider)) as it:
            await it.post("/chat/completions", ASKED)
            [record] = await it.settled()
        assert record.is_provider_failure

    @pytest.mark.parametrize(
        "body",
        [
            b'{"error":{"code":400,"message":"you"}}',
            b'{"error":{"code":403,"message":"you"}}',
            b'{"error":{"code":"context_length_exceeded","message":"you"}}',
            b'{"error":{"code":"content_filter","message":"you"}}',
            b'{"error":{"code":null,"type":"invalid_request_error","message":"you"}}',
            b'{"error":{"code":400,"status":"INVALID_ARGUMENT","message":"you"}}',
            b'{"choices":[{"error":{"code":400,"message":"you"},"finish_reason":"error"}]}',
            FAILED_RESPONSE % (b"invalid_prompt", b"you"),
        ],
    )
    async def test_what_a_request_was_refused_for_stays_the_agents_with_200_too(
        self, open_bench: OpenBench, body: bytes
    ) -> None:
        reply = Reply(body=body)
        async with FakeProvider(lambda _: reply) as provider, open_bench(spec_for(provider)) as it:
            await it.post("/chat/completions", ASKED)
            [record] = await it.settled()
        assert (record.end, record.error) == ("complete", "you")
        assert not record.is_provider_failure


class TestBinding:
    async def test_calls_before_a_case_and_after_it_are_refused(
        self, open_bench: OpenBench
    ) -> None:
        async with FakeProvider() as provider, open_bench(spec_for(provider)) as it:
            await it.gateway.unbind("lane-1")
            got = await it.post("/chat/completions", ASKED)
            assert got.status == 403
            it.gateway.bind("lane-1", "attempt-2", VIRTUAL_KEY)
            assert (await it.post("/chat/completions", ASKED)).status == 200
            [record] = await it.settled()
        assert record.attempt_id == "attempt-2"
        assert len(provider.books) == 1

    async def test_unbind_returns_when_calls_under_way_are_recorded(
        self, open_bench: OpenBench
    ) -> None:
        async with (
            FakeProvider(lambda _: LONG) as provider,
            open_bench(spec_for(provider)) as it,
            it.client() as client,
        ):
            reading = asyncio.create_task(read_chunks(client, 10_000))
            await wait_for(lambda: bool(provider.books))
            await it.gateway.unbind("lane-1")
            [record] = it.records
            await reading
        assert record.end == "complete"
        assert record.usage.output_tokens == 40

    async def test_unbind_tells_of_a_lane_that_went_down_meanwhile(
        self, open_bench: OpenBench
    ) -> None:
        """Its connections were cut, and a client may take half a stream for a whole one."""
        async with (
            FakeProvider(lambda _: LONG) as provider,
            open_bench(spec_for(provider)) as it,
            it.client() as client,
        ):
            reading = asyncio.create_task(read_chunks(client, 10_000))
            await wait_for(lambda: bool(provider.books))
            going = asyncio.create_task(it.gateway.remove_lane("lane-1"))
            await asyncio.sleep(0)
            with pytest.raises(ValueError, match="went down"):
                await it.gateway.unbind("lane-1")
            [record] = it.records
            await asyncio.gather(going, reading, return_exceptions=True)
        assert record.usage.output_tokens == 40

    async def test_no_call_comes_in_while_unbind_waits(self, open_bench: OpenBench) -> None:
        reply = Reply(delay_s=0.5)
        async with FakeProvider(lambda _: reply) as provider, open_bench(spec_for(provider)) as it:
            posting = asyncio.create_task(it.post("/chat/completions", ASKED))
            await wait_for(lambda: bool(provider.books))
            unbinding = asyncio.create_task(it.gateway.unbind("lane-1"))
            await asyncio.sleep(0)
            assert (await it.post("/chat/completions", ASKED)).status == 403
            assert not unbinding.done()
            await unbinding
            assert (await posting).status == 200
        assert len(it.records) == 1

    async def test_unbind_cuts_what_takes_too_long(self, open_bench: OpenBench) -> None:
        reply = Reply(silent=True)
        async with FakeProvider(lambda _: reply) as provider, open_bench(spec_for(provider)) as it:
            posting = asyncio.create_task(it.post("/chat/completions", ASKED))
            await wait_for(lambda: bool(provider.books))
            await it.gateway.unbind("lane-1", grace_s=0.1)
            [record] = it.records
            with pytest.raises(Exception, match="Server disconnected"):
                await posting
        assert record.end == "client_gone"
        assert record.attempt_id == ATTEMPT

    async def test_a_lane_is_bound_to_one_attempt_at_a_time(self, open_bench: OpenBench) -> None:
        async with FakeProvider() as provider, open_bench(spec_for(provider)) as it:
            with pytest.raises(ValueError, match="bound to attempt-1"):
                it.gateway.bind("lane-1", "attempt-2", "k")
            with pytest.raises(ValueError, match="no lane"):
                it.gateway.bind("lane-9", "attempt-2", "k")
            with pytest.raises(ValueError, match="no lane"):
                await it.gateway.unbind("lane-9")

    async def test_removing_a_lane_records_its_calls_first(self, open_bench: OpenBench) -> None:
        async with FakeProvider(lambda _: LONG) as provider, open_bench(spec_for(provider)) as it:
            posting = asyncio.create_task(it.post("/chat/completions", ASKED | {"stream": True}))
            await wait_for(lambda: bool(provider.books))
            await it.gateway.remove_lane("lane-1")
            [record] = it.records
            with pytest.raises(Exception, match=r"Response payload is not completed"):
                await posting
            with pytest.raises(ConnectionRefusedError):
                await it.send_raw(b"GET / HTTP/1.1\r\n\r\n")
        assert record.end == "client_gone"
        assert record.usage.output_tokens == 40

    async def test_leaving_the_gateway_records_what_is_under_way(
        self, open_bench: OpenBench
    ) -> None:
        bench: Bench
        async with FakeProvider(lambda _: Reply(silent=True)) as provider:
            async with open_bench(spec_for(provider)) as bench:
                posting = asyncio.create_task(bench.post("/chat/completions", ASKED))
                await wait_for(lambda: bool(provider.books))
            assert [record.end for record in bench.records] == ["client_gone"]
            with pytest.raises(Exception, match="Server disconnected"):
                await posting

    async def test_connections_beyond_the_limit_are_closed(
        self, open_bench: OpenBench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(serving, "MAX_CONNECTIONS", 2)
        async with FakeProvider() as provider, open_bench(spec_for(provider)) as it:
            held = [await asyncio.open_connection("127.0.0.1", it.port) for _ in range(2)]
            await asyncio.sleep(0.05)
            assert await it.send_raw(b"GET /v1/models HTTP/1.1\r\n\r\n") == b""
            for _, writer in held:
                writer.close()
            await asyncio.sleep(0.05)
            assert (await it.post("/embeddings", {"input": "a"})).status == 200


class TestSpool:
    async def test_every_call_is_in_the_spool_as_it_was_recorded(
        self, open_bench: OpenBench, tmp_path: object
    ) -> None:
        path = f"{tmp_path}/calls.spool"
        async with (
            FakeProvider() as provider,
            open_bench(spec_for(provider), spool=Spool(path)) as it,
        ):
            await it.post("/chat/completions", ASKED)
            await it.post("/nope", ASKED)
            records = await it.settled(2)
        assert read_spool(path) == records


def raw_request(body: bytes, length: int | None = None) -> bytes:
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\n"
        f"Authorization: Bearer {VIRTUAL_KEY}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body) if length is None else length}\r\n\r\n"
    )
    return head.encode() + body
