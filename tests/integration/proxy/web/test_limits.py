"""Only while bound, only so much, only so long; and every way out has its record."""

import asyncio
import contextlib
from collections import Counter
from pathlib import Path

import pytest

from pacabench.proxy.spool import Spool, parse_egress, read_egress
from pacabench.proxy.web.http_head import MAX_HEAD_BYTES
from pacabench.proxy.web.stream import Limits
from tests.integration.proxy.web.conftest import (
    ATTEMPT,
    NAME,
    OpenWeb,
    Web,
    client_context,
    echo,
    open_site,
    server_context,
)
from tests.integration.proxy.web.test_requests import OK, get, replying

DENIED = b"CONNECT evil.example:443 HTTP/1.1\r\n\r\n"


class TestBinding:
    async def test_before_it_all_is_refused_and_nothing_recorded(self, open_web: OpenWeb) -> None:
        async with open_site(replying(OK)) as site, open_web(bound=False) as web:
            reply = await web.say(get(site.port))
            assert reply.startswith(b"HTTP/1.1 403 ")
            assert b"no case is being run" in reply
            web.gateway.bind("lane-1", ATTEMPT, [f"{NAME}:{site.port}"])
            assert b"pong" in await web.say(get(site.port))
            assert len(await web.settled()) == 1

    async def test_its_end_cuts_tunnels_and_records_them_first(self, open_web: OpenWeb) -> None:
        async with (
            open_site(echo, server_context()) as site,
            open_web(f"{NAME}:{site.port}") as web,
        ):
            reader, writer = await web.connect(NAME, site.port)
            await writer.start_tls(client_context(), server_hostname=NAME)
            writer.write(b"ping")
            assert await reader.readexactly(4) == b"ping"
            await web.gateway.unbind("lane-1")
            (record,) = web.records
            assert (record.verdict, record.reason) == ("allowed", "unbound")
            assert record.bytes_up > 4
            async with asyncio.timeout(5):
                with contextlib.suppress(ConnectionError):
                    assert await reader.read() == b""
            assert b" 403 " in await web.say(get(site.port))
            assert len(web.records) == 1

    async def test_a_head_that_was_begun_before_counts_for_who_is_bound_at_its_end(
        self, open_web: OpenWeb
    ) -> None:
        async with open_site(replying(OK)) as site, open_web(bound=False) as web:
            head = get(site.port)
            reader, writer = await web.dial()
            writer.write(head[:30])
            await asyncio.sleep(0.05)
            web.gateway.bind("lane-1", "second", [f"{NAME}:{site.port}"])
            writer.write(head[30:])
            async with asyncio.timeout(5):
                assert b"pong" in await reader.read()
            assert (await web.record()).attempt_id == "second"

    async def test_a_lane_is_bound_once(self, open_web: OpenWeb) -> None:
        async with open_web("a.example:443") as web:
            with pytest.raises(ValueError, match="is bound to attempt-1"):
                web.gateway.bind("lane-1", "other", [])
            await web.gateway.unbind("lane-1")
            with pytest.raises(ValueError, match="URL"):
                web.gateway.bind("lane-1", "other", ["https://a.example"])

    async def test_each_attempt_has_its_own_list(self, open_web: OpenWeb) -> None:
        async with open_site(replying(OK)) as site, open_web(f"{NAME}:{site.port}") as web:
            assert b"pong" in await web.say(get(site.port))
            await web.gateway.unbind("lane-1")
            web.gateway.bind("lane-1", "second", ["other.example:443"])
            assert b"not in sandbox.egress.allow" in await web.say(get(site.port))
            first, second = await web.settled(2)
        assert (first.attempt_id, first.verdict) == (ATTEMPT, "allowed")
        assert (second.attempt_id, second.verdict) == ("second", "denied")

    async def test_without_a_second_port_a_lane_can_be_bound_all_the_same(
        self, open_web: OpenWeb
    ) -> None:
        async with open_web() as web:
            web.gateway.bind("elsewhere", "a", ["a.example:443"])
            await web.gateway.unbind("elsewhere")


class TestLimits:
    async def test_a_head_that_comes_slowly_is_cut(self, open_web: OpenWeb) -> None:
        async with open_web(f"{NAME}:80", limits=Limits(head_s=0.3)) as web:
            reader, writer = await web.dial()
            dripping = asyncio.create_task(drip(writer, get(80)))
            async with asyncio.timeout(5):
                assert (await reader.read()).startswith(b"HTTP/1.1 408 ")
            dripping.cancel()
            record = await web.record()
        assert (record.verdict, record.reason) == ("denied", "slow")

    async def test_who_goes_on_talking_gets_the_refusal_all_the_same(
        self, open_web: OpenWeb
    ) -> None:
        async with open_web(f"{NAME}:80") as web:
            reader, writer = await web.dial()
            writer.write(DENIED)
            await asyncio.sleep(0.2)
            with contextlib.suppress(ConnectionError):
                for _ in range(5):  # what comes for a closed connection would reset it
                    writer.write(b"more")
                    await asyncio.sleep(0.05)
            async with asyncio.timeout(5):
                assert (await reader.read()).startswith(b"HTTP/1.1 403 ")

    async def test_who_says_nothing_and_leaves_is_not_recorded(self, open_web: OpenWeb) -> None:
        async with open_web(f"{NAME}:80") as web:
            assert await leave(web) == b""
            await web.say(DENIED)
            assert (await web.record()).host == "evil.example"

    async def test_a_tunnel_in_which_nothing_passes_is_cut(self, open_web: OpenWeb) -> None:
        async with (
            open_site(echo, server_context()) as site,
            open_web(f"{NAME}:{site.port}", limits=Limits(idle_s=0.6)) as web,
        ):
            reader, writer = await web.connect(NAME, site.port)
            await writer.start_tls(client_context(), server_hostname=NAME)
            for _ in range(4):  # longer than the limit in all
                writer.write(b"ping")
                assert await reader.readexactly(4) == b"ping"
                await asyncio.sleep(0.3)
            async with asyncio.timeout(5):
                record = await web.record()
        assert (record.verdict, record.reason) == ("allowed", "idle")
        assert record.duration_ms > 1200

    async def test_an_attempt_has_so_many_bytes_over_all_its_connections(
        self, open_web: OpenWeb
    ) -> None:
        async with (
            open_site(replying(OK)) as site,
            open_web(f"{NAME}:{site.port}", limits=Limits(attempt_bytes=400)) as web,
        ):
            replies = [await web.say(get(site.port)) for _ in range(4)]
            records = await web.settled(4)
        assert b"pong" in replies[0]
        assert b"pong" not in replies[-1]
        assert [record.reason for record in records].count("over_limit") >= 1
        assert records[-1].reason == "over_limit"

    async def test_a_lane_has_so_many_connections_at_a_time(self, open_web: OpenWeb) -> None:
        async with open_web(f"{NAME}:80", limits=Limits(connections=2)) as web:
            held = [await web.dial() for _ in range(2)]
            await asyncio.sleep(0.05)
            assert await web.say(DENIED) == b""
            record = await web.record()
            assert record.reason == "too_many"
            held[0][1].close()
            await asyncio.sleep(0.05)
            assert b" 403 " in await web.say(DENIED)

    async def test_an_attempt_goes_out_so_many_times(self, open_web: OpenWeb) -> None:
        async with (
            open_site(replying(OK)) as site,
            open_web(f"{NAME}:{site.port}", limits=Limits(accesses=2)) as web,
        ):
            replies = [await web.say(get(site.port)) for _ in range(3)]
            records = await web.settled(3)
        assert [b"pong" in reply for reply in replies] == [True, True, False]
        assert (records[-1].verdict, records[-1].reason) == ("denied", "too_many")

    async def test_denied_ones_past_a_limit_are_counted_in_one_record(
        self, open_web: OpenWeb, tmp_path: Path
    ) -> None:
        spool = Spool(tmp_path / "spool")
        async with open_web(limits=Limits(denied_records=3), spool=spool) as web:
            for _ in range(8):
                assert b" 403 " in await web.say(DENIED)
            assert len(web.records) == 3
            await web.gateway.unbind("lane-1")
            assert sum(record.count for record in web.records) == 8
            assert Counter(record.reason for record in web.records) == {
                "not_listed": 3,
                "many_more": 1,
            }
            assert read_egress(tmp_path / "spool") == web.records
        spool.close()

    async def test_lookups_that_hang_hold_up_their_own_lane_only_so_far(
        self, open_web: OpenWeb
    ) -> None:
        async with open_web("*.pedia.example:80", limits=Limits(lookups=2)) as web:
            web.resolver.delay_s = 0.2
            await asyncio.gather(*(web.say(get(80)) for _ in range(4)), return_exceptions=True)
            records = await web.settled(4)
        assert max(record.duration_ms for record in records) > 390


class TestSpool:
    def test_a_torn_line_loses_only_itself(self, tmp_path: Path) -> None:
        assert parse_egress(b'{"egress": {"egress_id": "x"}}\n{"egr\n\nnull\n[]\n') == []
        assert parse_egress(b"") == read_egress(tmp_path / "none") == []


async def drip(writer: asyncio.StreamWriter, data: bytes) -> None:
    for at in range(len(data)):
        writer.write(data[at : at + 1])
        await asyncio.sleep(0.02)


async def leave(web: Web) -> bytes:
    reader, writer = await web.dial()
    writer.write_eof()
    async with asyncio.timeout(5):
        return await reader.read()


@pytest.mark.parametrize(("more", "status"), [(0, 200), (1, 400)])
async def test_the_head_of_a_tunnel_may_be_so_long_and_not_a_byte_longer(
    open_web: OpenWeb, more: int, status: int
) -> None:
    async with open_site(echo, server_context()) as site, open_web(f"{NAME}:{site.port}") as web:
        start = f"CONNECT {NAME}:{site.port} HTTP/1.1\r\nHost: {NAME}:{site.port}\r\nX: ".encode()
        head = start + b"x" * (MAX_HEAD_BYTES + more - len(start) - 4) + b"\r\n\r\n"
        reader, writer = await web.dial()
        writer.write(head)
        async with asyncio.timeout(10):
            assert (await reader.readline()).startswith(b"HTTP/1.1 %d " % status)
        writer.close()
        (record,) = await web.settled()
    # Through the tunnel no TLS comes here, which is another matter.
    assert record.reason == ("not_tls" if status == 200 else "bad_request")
