"""What the gateway does not serve. The provider never sees any of it."""

import asyncio
import contextlib
import random

import openai
import orjson
import pytest

from pacabench.proxy import client as proxy_client
from pacabench.proxy import serving
from pacabench.proxy.held_bytes import HeldBytes
from pacabench.proxy.http import connection
from pacabench.testing import FakeProvider, Reply
from tests.integration.proxy.conftest import ATTEMPT, VIRTUAL_KEY, Bench, OpenBench, spec_for


def raw(target: str, *, method: str = "POST", more: str = "", body: bytes = b"{}") -> bytes:
    head = (
        f"{method} {target} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {VIRTUAL_KEY}\r\n"
        f"{more}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body


def status_of(reply: bytes) -> int:
    return int(reply.split(b" ", 2)[1])


def error_of(reply: bytes) -> dict:
    return orjson.loads(reply.partition(b"\r\n\r\n")[2])["error"]


async def refused(it: Bench, provider: FakeProvider, request: bytes, status: int) -> dict:
    """Send it, and check that it is refused in OpenAI's shape and recorded as denied."""
    reply = await it.send_raw(request)
    assert status_of(reply) == status
    [record] = await it.settled()
    assert record.end == "denied"
    assert record.status is None
    assert record.attempt_id == ATTEMPT
    assert not record.is_provider_failure
    assert provider.books == []
    return error_of(reply)


class TestPaths:
    @pytest.mark.parametrize(
        "target",
        [
            "/",
            "/v1",
            "/v1/",
            "//v1/chat/completions",
            "/v1//chat/completions",
            "/v1/chat/completions/",
            "/v1/chat/completions?x=1",
            "/v1/chat/completions#x",
            "/v1/chat%2fcompletions",
            "/v1/%63hat/completions",
            "/v1/%2e%2e/admin",
            "/v1/../v1/chat/completions",
            "/v1/%2E%2E%2Fadmin",
            "/v1/%c0%ae%c0%ae/admin",
            "/v1/chat%5ccompletions",
            "/v1/chat/completions%00",
            "/v1/models/..",
            "/v1/models/a%2fb",
            "/v1/models/a/../b",
            "/v1/models/%2e%2e",
            "/;/v1/chat/completions",
            "/v1/chat/completions/../../files",
            "/v1/./chat/completions",
            "/v1\\chat\\completions",
            "/V1/chat/completions",
            "/other/v1/chat/completions",
            "/openai/chat/completions",
            "/v1/files",
            "/v1/fine_tuning/jobs",
            "/v1/chat/completions;x",
        ],
    )
    async def test_only_exact_paths_are_served(self, open_bench: OpenBench, target: str) -> None:
        async with FakeProvider() as provider, open_bench(spec_for(provider)) as it:
            error = await refused(it, provider, raw(target), 404)
            assert it.records[0].endpoint == target
        assert "POST /v1/chat/completions" in error["message"]
        assert error["type"] == "invalid_request_error"

    @pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS"])
    async def test_only_exact_methods_are_served(self, open_bench: OpenBench, method: str) -> None:
        async with FakeProvider() as provider, open_bench(spec_for(provider)) as it:
            await refused(it, provider, raw("/v1/chat/completions", method=method), 404)

    @pytest.mark.parametrize(
        "target", ["http://example.test/v1/chat/completions", "https://x/", "*", "v1/models"]
    )
    async def test_absolute_targets_are_refused(self, open_bench: OpenBench, target: str) -> None:
        async with FakeProvider() as provider, open_bench(spec_for(provider)) as it:
            reply = await it.send_raw(raw(target))
        assert status_of(reply) == 400
        assert provider.books == []

    async def test_connect_is_refused(self, open_bench: OpenBench) -> None:
        request = b"CONNECT api.openai.com:443 HTTP/1.1\r\nHost: api.openai.com\r\n\r\n"
        async with FakeProvider() as provider, open_bench(spec_for(provider)) as it:
            await refused(it, provider, request, 405)

    async def test_an_upgrade_is_refused(self, open_bench: OpenBench) -> None:
        more = "Upgrade: websocket\r\n"
        async with FakeProvider() as provider, open_bench(spec_for(provider)) as it:
            await refused(it, provider, raw("/v1/models", method="GET", more=more), 426)

    async def test_each_provider_answers_below_its_name(self, open_bench: OpenBench) -> None:
        async with FakeProvider() as first, FakeProvider() as second:
            specs = (spec_for(first), spec_for(second, "other"))
            async with open_bench(*specs) as it:
                for prefix in ("v1", "openai/v1", "other/v1"):
                    base_url = f"http://127.0.0.1:{it.port}/{prefix}"
                    async with it.client(base_url=base_url) as client:
                        await client.chat.completions.create(model="m", messages=[])
                records = await it.settled(3)
        assert (len(first.books), len(second.books)) == (2, 1)
        assert [record.provider for record in records] == ["openai", "openai", "other"]
        assert {entry.target for entry in first.books + second.books} == {"/v1/chat/completions"}


class TestKeys:
    @pytest.mark.parametrize("key", ["wrong", VIRTUAL_KEY + "x", VIRTUAL_KEY[:-1], "é"])
    async def test_a_wrong_key_is_refused_in_the_providers_shape(
        self, open_bench: OpenBench, key: str
    ) -> None:
        async with FakeProvider() as provider, open_bench(spec_for(provider)) as it:
            got = await it.post("/chat/completions", {}, {"Authorization": f"Bearer {key}"})
            [record] = await it.settled()
        assert got.status == 401
        assert orjson.loads(got.content)["error"]["code"] == "invalid_api_key"
        assert record.end == "denied"
        assert provider.books == []

    async def test_the_sdk_knows_it_as_an_authentication_error(self, open_bench: OpenBench) -> None:
        async with (
            FakeProvider() as provider,
            open_bench(spec_for(provider)) as it,
            it.client(api_key="sk-of-my-own", max_retries=2) as client,
        ):
            with pytest.raises(openai.AuthenticationError):
                await client.models.list()
        assert len(it.records) == 1

    @pytest.mark.parametrize("value", ["", "Basic abc", VIRTUAL_KEY, "Bearer"])
    async def test_no_key_is_refused(self, open_bench: OpenBench, value: str) -> None:
        async with FakeProvider() as provider, open_bench(spec_for(provider)) as it:
            got = await it.post("/chat/completions", {}, {"Authorization": value})
        assert got.status == 401
        assert provider.books == []


class TestBodies:
    async def test_a_body_that_says_it_is_too_long_is_not_read(self, open_bench: OpenBench) -> None:
        head = raw("/v1/chat/completions").replace(
            b"Content-Length: 2", b"Content-Length: 99999999"
        )
        async with FakeProvider() as provider, open_bench(spec_for(provider)) as it:
            reply = await it.send_raw(head.partition(b"{}")[0], until_closed=False)
            [record] = await it.settled()
        assert status_of(reply) == 413
        assert record.end == "denied"
        assert provider.books == []

    async def test_a_chunked_body_is_cut_off_at_the_limit(
        self, open_bench: OpenBench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(proxy_client, "MAX_BODY_BYTES", 100_000)
        head = raw("/v1/chat/completions").replace(
            b"Content-Length: 2", b"Transfer-Encoding: chunked"
        )
        chunk = b"%x\r\n" % 60_000 + b"x" * 60_000 + b"\r\n"
        async with FakeProvider() as provider, open_bench(spec_for(provider)) as it:
            reply = await it.send_raw(head.partition(b"{}")[0] + chunk * 3, until_closed=False)
        assert status_of(reply) == 413
        assert provider.books == []

    async def test_the_bodies_of_a_lane_are_bounded_together(self) -> None:
        budget = HeldBytes(100)
        assert budget.take(60)
        assert not budget.take(60)
        budget.give_back(60)
        assert budget.take(100)

    async def test_a_compressed_request_is_refused(self, open_bench: OpenBench) -> None:
        async with FakeProvider() as provider, open_bench(spec_for(provider)) as it:
            request = raw("/v1/chat/completions", more="Content-Encoding: gzip\r\n")
            await refused(it, provider, request, 415)

    async def test_a_client_that_waits_for_100_continue_gets_it(
        self, open_bench: OpenBench
    ) -> None:
        request = raw("/v1/chat/completions", more="Expect: 100-continue\r\n")
        async with FakeProvider() as provider, open_bench(spec_for(provider)) as it:
            reader, writer = await asyncio.open_connection("127.0.0.1", it.port)
            writer.write(request.removesuffix(b"{}"))
            assert await reader.readline() == b"HTTP/1.1 100 Continue\r\n"
            writer.write(b"{}")
            await reader.readline()
            assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
            writer.close()
        assert len(provider.books) == 1

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"[]",
            b"null",
            b"\xff",
            b"{" * 5000,
            b'{"a":' * 5000 + b"1" + b"}" * 5000,
            b"{'model': 'm'}",
            b'{"model": "m",}',
            b'\xef\xbb\xbf{"model": "m"}',
            '{"model": "m"}'.encode("utf-16"),
            b'{"model": "cheap", "model": "dear"}',
            b'{"model": "cheap", "Model": "dear"}',
            b'{"Model": "dear"}',
            '{"\u017ftream": true}'.encode(),
            b'{"messages": [{"role": "user", "r\\u006fle": "system"}]}',
        ],
    )
    async def test_a_body_that_can_be_read_in_two_ways_goes_no_further(
        self, open_bench: OpenBench, body: bytes
    ) -> None:
        async with FakeProvider() as provider, open_bench(spec_for(provider)) as it:
            await refused(it, provider, raw("/v1/chat/completions", body=body), 400)

    async def test_a_body_that_makes_no_sense_is_the_providers_to_refuse(
        self, open_bench: OpenBench
    ) -> None:
        body = b'{"stream": "yes", "messages": [1e999, "\\ud800"]}'
        async with FakeProvider() as provider, open_bench(spec_for(provider)) as it:
            await it.post("/chat/completions", body)
            [record] = await it.settled()
        assert provider.books[0].body == body
        assert record.model is None

    async def test_a_body_of_very_many_arrays_is_not_taken_apart(
        self, open_bench: OpenBench
    ) -> None:
        body = b'{"a":[' + b"[]," * 250_001 + b"1]}"
        async with FakeProvider() as provider, open_bench(spec_for(provider)) as it:
            await refused(it, provider, raw("/v1/chat/completions", body=body), 413)

    @pytest.mark.parametrize(
        "kind",
        ["text/plain", "application/x-protobuf", "application/json; charset=utf-16", "multipart/x"],
    )
    async def test_a_body_that_is_said_to_be_no_json_is_refused(
        self, open_bench: OpenBench, kind: str
    ) -> None:
        request = raw("/v1/chat/completions", more=f"Content-Type: {kind}\r\n")
        async with FakeProvider() as provider, open_bench(spec_for(provider)) as it:
            await refused(it, provider, request, 415)

    async def test_a_body_of_no_type_is_json(self, open_bench: OpenBench) -> None:
        async with FakeProvider() as provider, open_bench(spec_for(provider)) as it:
            assert status_of(await it.send_raw(raw("/v1/chat/completions"))) == 200
        assert provider.books[0].headers["content-type"] == "application/json"

    @pytest.mark.parametrize("header", ["Content-Type", "Accept"])
    async def test_a_header_that_cannot_go_on_is_the_agents_fault(
        self, open_bench: OpenBench, header: str
    ) -> None:
        request = raw("/v1/chat/completions").replace(
            b"Host: x", b"Host: x\r\n" + header.encode() + b": text/\xff\xc3\xa9"
        )
        async with FakeProvider() as provider, open_bench(spec_for(provider)) as it:
            await refused(it, provider, request, 400)

    async def test_a_long_path_is_recorded_in_part(self, open_bench: OpenBench) -> None:
        async with FakeProvider() as provider, open_bench(spec_for(provider)) as it:
            await refused(it, provider, raw("/v1/" + "a" * 1000), 404)
            [record] = it.records
        assert record.endpoint == "/v1/" + "a" * 196

    async def test_no_bytes_at_all_disturb_it(self, open_bench: OpenBench) -> None:
        noise = random.Random(4)  # the same on every run
        good = raw("/v1/chat/completions", body=b'{"model":"m","messages":[]}')
        async with FakeProvider() as provider, open_bench(spec_for(provider)) as it:
            for _ in range(150):
                request = bytearray(good)
                for _ in range(noise.randint(1, 6)):
                    place = noise.randrange(len(request))
                    request[place : place + noise.randint(0, 2)] = noise.randbytes(
                        noise.randint(0, 3)
                    )
                reader, writer = await asyncio.open_connection("127.0.0.1", it.port)
                with contextlib.closing(writer):
                    writer.write(bytes(request))
                    writer.write_eof()
                    async with asyncio.timeout(10):
                        await reader.read()
            assert (await it.post("/chat/completions", {"model": "m"})).status == 200
            assert not [
                call for call in it.records if call.end in {"interrupted", "upstream_error"}
            ]


class TestSlowness:
    @pytest.fixture(autouse=True)
    def _hurry(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(connection, "HEAD_WITHIN_S", 0.5)

    @pytest.mark.parametrize("head", [b"", b"P", b"POST /v1/chat/completions HTTP/1.1\r\nA: b"])
    async def test_a_head_that_does_not_come_is_not_waited_for(
        self, open_bench: OpenBench, head: bytes
    ) -> None:
        async with FakeProvider() as provider, open_bench(spec_for(provider)) as it:
            assert await it.send_raw(head) == b""

    @pytest.mark.parametrize("rest_s", [0.7, 0.2], ids=["longer than the limit", "shorter"])
    async def test_nor_is_one_that_comes_byte_by_byte_after_a_good_one(
        self, open_bench: OpenBench, rest_s: float
    ) -> None:
        good = raw("/v1/models", method="GET").replace(b"Connection: close\r\n", b"")
        async with FakeProvider() as provider, open_bench(spec_for(provider)) as it:
            reader, writer = await asyncio.open_connection("127.0.0.1", it.port)
            for _ in range(2):
                writer.write(good)
                assert b"200 OK" in await reader.readuntil(b"]}")
                await asyncio.sleep(rest_s)
            async with asyncio.timeout(10):
                with contextlib.suppress(ConnectionError):
                    for place in range(len(good)):
                        writer.write(good[place : place + 1])
                        await writer.drain()
                        await asyncio.sleep(0.05)
                assert place < len(good) - 1
            writer.close()
        assert len(provider.books) == 2

    async def test_a_slow_answer_is_not_cut(self, open_bench: OpenBench) -> None:
        async with (
            FakeProvider(lambda _: Reply(delay_s=1.0)) as provider,
            open_bench(spec_for(provider)) as it,
        ):
            assert (await it.post("/chat/completions", {"model": "m"})).status == 200


class TestFlood:
    async def test_refusals_are_recorded_up_to_a_limit(
        self, open_bench: OpenBench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(serving, "MAX_DENIED_RECORDS", 3)
        async with FakeProvider() as provider, open_bench(spec_for(provider)) as it:
            for _ in range(5):
                assert status_of(await it.send_raw(raw("/nope"))) == 404
                bad = raw("/v1/chat/completions", body=b"[]")
                assert status_of(await it.send_raw(bad)) == 400
        assert [call.count for call in it.records] == [1, 1, 1, 7]
        assert it.records[-1].error == "7 more calls were denied"

    async def test_what_is_no_http_ends_the_connection(
        self, open_bench: OpenBench, caplog: pytest.LogCaptureFixture
    ) -> None:
        async with FakeProvider() as provider, open_bench(spec_for(provider)) as it:
            assert status_of(await it.send_raw(b"\x16\x03\x01 hello\r\n\r\n")) == 400
            long = b"GET / HTTP/1.1\r\nA: " + b"b" * 50_000 + b"\r\n\r\n"
            assert status_of(await it.send_raw(long)) == 400
        assert caplog.records == []
