"""The gateway itself: set-up, stopping, and faults that are its own."""

import asyncio
import contextlib

import orjson
import pytest

from pacabench.proxy import client as proxy_client
from pacabench.proxy import handover as proxy_handover
from pacabench.proxy import upstream as proxy_upstream
from pacabench.proxy.control import ProviderSpec
from pacabench.proxy.gateway import Gateway
from pacabench.proxy.held_bytes import HeldBytes
from pacabench.proxy.spool import Spool
from pacabench.testing import FakeProvider, Reply
from tests.integration.proxy.conftest import VIRTUAL_KEY, OpenBench, loopback_socket, spec_for

ASKED = {"model": "m", "messages": []}
SCRIPTED = ProviderSpec("scripted", "scripted")


def gateway_over(*specs: ProviderSpec, default: str, spool: Spool | None = None) -> Gateway:
    return Gateway(specs, default, lambda _: None, spool)


class TestSetUp:
    async def test_the_default_has_to_be_one_of_the_providers(self) -> None:
        with pytest.raises(ValueError, match="default provider 'openai' is not configured"):
            async with gateway_over(SCRIPTED, default="openai"):
                pass

    @pytest.mark.parametrize(
        "spec", [ProviderSpec("openai", "openai"), ProviderSpec("x", "smoke", "http://x/v1")]
    )
    async def test_a_provider_without_a_way_to_it_is_refused(self, spec: ProviderSpec) -> None:
        with pytest.raises(ValueError, match="no way to reach"):
            async with gateway_over(spec, default=spec.name):
                pass

    async def test_a_lane_is_added_once_and_can_come_back_after_its_end(self) -> None:
        async with gateway_over(SCRIPTED, default="scripted") as gateway:
            await gateway.add_lane("a", loopback_socket())
            with loopback_socket() as spare, pytest.raises(ValueError, match="there already"):
                await gateway.add_lane("a", spare)
            await gateway.remove_lane("a")
            with pytest.raises(ValueError, match="no lane"):
                await gateway.remove_lane("a")
            await gateway.add_lane("a", loopback_socket())


class TestStopping:
    async def test_new_calls_are_refused_and_those_under_way_are_waited_for(
        self, open_bench: OpenBench
    ) -> None:
        reply = Reply(delay_s=0.2)
        async with FakeProvider(lambda _: reply) as provider, open_bench(spec_for(provider)) as it:
            posting = asyncio.create_task(it.post("/chat/completions", ASKED))
            while not provider.books:  # noqa: ASYNC110 - plain state has no event
                await asyncio.sleep(0.005)
            it.gateway.refuse_new()
            late = await it.post("/chat/completions", ASKED)
            await it.gateway.drain(grace_s=10)
            assert sorted(record.end for record in it.records) == ["complete", "denied"]
            assert (await posting).status == 200
        assert late.status == 503
        assert len(provider.books) == 1

    async def test_what_does_not_end_in_time_is_cut(self, open_bench: OpenBench) -> None:
        reply = Reply(silent=True)
        async with FakeProvider(lambda _: reply) as provider, open_bench(spec_for(provider)) as it:
            posting = asyncio.create_task(it.post("/chat/completions", ASKED))
            while not provider.books:  # noqa: ASYNC110 - plain state has no event
                await asyncio.sleep(0.005)
            await it.gateway.drain(grace_s=0.05)
            assert [record.end for record in it.records] == ["client_gone"]
            with pytest.raises(Exception, match="Server disconnected"):
                await posting


class TestOwnFaults:
    async def test_a_fault_inside_a_call_is_recorded_and_told(
        self, open_bench: OpenBench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(*_: object, **__: object) -> None:
            raise KeyError("bug")

        async with FakeProvider() as provider, open_bench(spec_for(provider)) as it:
            monkeypatch.setattr(proxy_handover.Handover, "pass_on", broken)
            got = await it.post("/chat/completions", ASKED)
            [record] = await it.settled()
            assert it.notices == ["a call failed inside the proxy: KeyError: 'bug'"]
            it.notices.clear()
        assert got.status == 500
        assert (record.end, record.usage) == ("interrupted", None)
        assert not record.is_provider_failure

    async def test_a_fault_before_a_call_is_told(
        self, open_bench: OpenBench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(*_: object) -> None:
            raise KeyError("bug")

        async with FakeProvider() as provider, open_bench(spec_for(provider)) as it:
            monkeypatch.setattr("pacabench.proxy.routes.RouteTable.find", broken)
            got = await it.post("/chat/completions", ASKED)
            assert it.notices == ["a request failed inside the proxy: KeyError: 'bug'"]
            it.notices.clear()
        assert got.status == 500

    async def test_a_full_disk_under_the_spool_does_not_stop_calls(
        self, open_bench: OpenBench
    ) -> None:
        async with (
            FakeProvider() as provider,
            open_bench(spec_for(provider), spool=Spool("/dev/full")) as it,
        ):
            assert (await it.post("/chat/completions", ASKED)).status == 200
            [record] = await it.settled()
            assert len(it.notices) == 2
            assert "No space left" in it.notices[0]
            it.notices.clear()
        assert record.end == "complete"


class TestBodies:
    @pytest.mark.parametrize(
        ("body", "status"),
        [(b"5\r\nab", b"408 Request Timeout"), (b"not a size\r\n", b"400 Bad Request")],
        ids=["has no end", "is none"],
    )
    async def test_a_body_that_does_not_become_whole_is_given_up(
        self, open_bench: OpenBench, monkeypatch: pytest.MonkeyPatch, body: bytes, status: bytes
    ) -> None:
        monkeypatch.setattr(proxy_client, "BODY_WITHIN_S", 0.3)
        head = (
            f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
            f"Authorization: Bearer {VIRTUAL_KEY}\r\n\r\n"
        )
        async with FakeProvider() as provider, open_bench(spec_for(provider)) as it:
            reader, writer = await asyncio.open_connection("127.0.0.1", it.port)
            with contextlib.closing(writer):
                writer.write(head.encode())
                # In a packet of its own, so that the request is on its way already.
                while not it.gateway._lanes["lane-1"].binding.calls:  # noqa: ASYNC110 - no event
                    await asyncio.sleep(0.005)
                writer.write(body)
                assert await reader.readline() == b"HTTP/1.1 " + status + b"\r\n"
            [record] = await it.settled()
        assert record.end == "denied"
        assert provider.books == []

    async def test_a_lane_that_holds_too_much_has_to_wait(
        self, open_bench: OpenBench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(HeldBytes, "take", lambda self, size: size < 100)
        async with FakeProvider() as provider, open_bench(spec_for(provider)) as it:
            got = await it.post("/chat/completions", b"x" * 200)
        assert got.status == 429
        assert provider.books == []

    async def test_what_a_call_held_is_given_back(self, open_bench: OpenBench) -> None:
        async with FakeProvider() as provider, open_bench(spec_for(provider)) as it:
            budget = it.gateway._lanes["lane-1"].budget
            before = budget._left
            await it.post("/chat/completions", ASKED)
            await it.settled()
        assert budget._left == before

    async def test_a_long_error_goes_through_whole(
        self, open_bench: OpenBench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(proxy_upstream, "ERROR_BODY_BYTES", 1000)
        body = orjson.dumps({"error": {"message": "x" * 300_000}})
        reply = Reply(status=500, body=body)
        async with FakeProvider(lambda _: reply) as provider, open_bench(spec_for(provider)) as it:
            got = await it.post("/chat/completions", ASKED)
            [record] = await it.settled()
        assert got.content == body
        assert record.error == "x" * 500
