"""Every row of the conformance matrix under every fault: what is recorded is what was billed."""

import asyncio
import gzip
import hashlib
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import aiohttp
import brotli
import orjson
import pytest
from conformance import ROWS, TEXT, TOKENS, Row, spec_of
from yarl import URL

from pacabench.proxy.patience import Patience
from pacabench.testing import FakeProvider, Reply
from tests.integration.proxy.conftest import REAL_KEY, VIRTUAL_KEY, Bench, OpenBench

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

PATIENT = Patience(retry_for_s=20, backoff_s=0.01)
REPLY = Reply(text=TEXT, tokens=TOKENS)
STREAMS = [row for row in ROWS if row.stream]
EVENTS = [row for row in STREAMS if row.events]
CODINGS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "br": brotli.compress,
    "zstd": zstd.compress,
}


def every(rows: Sequence[Row]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("row", rows, ids=[row.id for row in rows])


def asking(it: Bench, session: aiohttp.ClientSession, row: Row) -> Any:
    headers = {"Authorization": f"Bearer {VIRTUAL_KEY}", "Content-Type": "application/json"}
    return session.post(
        URL(f"http://127.0.0.1:{it.port}{row.path}", encoded=True),
        data=orjson.dumps(row.body),
        headers=headers | row.headers,
    )


async def ask(it: Bench, row: Row) -> bytes:
    async with aiohttp.ClientSession() as session, asking(it, session, row) as reply:
        assert reply.status == 200
        return await reply.read()


async def run(
    open_bench: OpenBench, row: Row, replies: Sequence[Reply]
) -> tuple[bytes, FakeProvider, Bench]:
    given = [replace(reply, usage=row.variant) for reply in replies]
    async with (
        FakeProvider(lambda _: given.pop(0)) as provider,
        open_bench(
            spec_of(row.kind, provider.origin, REAL_KEY), patience=PATIENT, quiet=False
        ) as it,
    ):
        got = await ask(it, row)
        await it.settled()
    return got, provider, it


@every(ROWS)
@pytest.mark.parametrize("status", [429, 500, 503, 529])
async def test_a_failure_that_passes(open_bench: OpenBench, row: Row, status: int) -> None:
    failed = Reply(status=status, headers={"Retry-After": "0"})
    got, provider, it = await run(open_bench, row, [failed, REPLY])
    [record] = it.records
    assert (record.end, record.status, record.retries) == ("complete", 200, 1)
    assert [entry.status for entry in record.failed_tries] == [status]
    assert record.usage == row.usage
    assert [entry.tokens is None for entry in provider.books] == [True, row.endpoint in FREE]
    assert hashlib.sha256(got).hexdigest() == provider.books[1].sent_digest


FREE = {"messages.count_tokens"}


@every(ROWS)
@pytest.mark.parametrize("coding", sorted(CODINGS))
async def test_a_coding_that_nobody_asked_for(open_bench: OpenBench, row: Row, coding: str) -> None:
    plain, _, _ = await run(open_bench, row, [REPLY])
    packed = replace(REPLY, body=CODINGS[coding](plain), content_encoding=coding, split_bytes=11)
    got, _, it = await run(open_bench, row, [packed])
    [record] = it.records
    assert got == plain
    assert (record.end, record.usage) == ("complete", row.usage)


@every(EVENTS)
async def test_comments_and_pings_between_the_events(open_bench: OpenBench, row: Row) -> None:
    plain, _, _ = await run(open_bench, row, [REPLY])
    pings = b': ping\n\nevent: ping\ndata: {"type": "ping"}\n\n:\n\n'
    body = pings + plain.replace(b"\n\n", b"\n\n" + pings)
    got, _, it = await run(open_bench, row, [replace(REPLY, body=body, split_bytes=13)])
    [record] = it.records
    assert got == body
    assert (record.end, record.usage) == ("complete", row.usage)


@every(ROWS)
async def test_an_agent_that_hangs_up_after_the_first_byte(open_bench: OpenBench, row: Row) -> None:
    reply = replace(REPLY, usage=row.variant, split_bytes=40, pause_s=0.005)
    async with (
        FakeProvider(lambda _: reply) as provider,
        open_bench(spec_of(row.kind, provider.origin, REAL_KEY)) as it,
    ):
        async with aiohttp.ClientSession() as session, asking(it, session, row) as got:
            await got.content.readany()
            got.close()
        [record] = await it.settled()
    assert record.end in {"client_gone", "complete"}
    assert record.usage == row.usage
    assert len(provider.books) == 1


@every(STREAMS)
async def test_a_provider_that_breaks_off_in_the_middle(open_bench: OpenBench, row: Row) -> None:
    reply = replace(REPLY, usage=row.variant, reset_after=2)
    async with (
        FakeProvider(lambda _: reply) as provider,
        open_bench(spec_of(row.kind, provider.origin, REAL_KEY), patience=PATIENT) as it,
    ):
        with pytest.raises(aiohttp.ClientPayloadError):
            await ask(it, row)
        [record] = await it.settled()
    assert (record.end, record.is_provider_failure) == ("upstream_error", True)
    assert record.usage_source in {"partial_provider", "none"}
    assert record.usage is None or record.usage.output_tokens != 0
    assert record.may_be_billed
    assert len(provider.books) == 1
    assert [text.call_id for text in it.texts] == [record.call_id]  # the harness will count


@every(ROWS)
async def test_a_provider_that_breaks_off_before_its_answer(
    open_bench: OpenBench, row: Row
) -> None:
    got, provider, it = await run(open_bench, row, [replace(REPLY, reset_after=0), REPLY])
    [record] = it.records
    assert (record.end, record.retries, record.usage) == ("complete", 1, row.usage)
    assert hashlib.sha256(got).hexdigest() == provider.books[-1].sent_digest


@every(ROWS)
async def test_a_provider_that_is_silent(open_bench: OpenBench, row: Row) -> None:
    reply = Reply(silent=True)
    async with (
        FakeProvider(lambda _: reply) as provider,
        open_bench(
            spec_of(row.kind, provider.origin, REAL_KEY), patience=replace(PATIENT, silence_s=0.2)
        ) as it,
    ):
        async with (
            asyncio.timeout(20),
            aiohttp.ClientSession() as session,
            asking(it, session, row) as got,
        ):
            assert got.status == 502
        [record] = await it.settled()
    assert (record.end, record.usage, record.usage_source) == ("upstream_error", None, "none")
    assert len(provider.books) == 1  # it may be at work on it: it is not asked again
