"""Every row of the conformance matrix: what is recorded is what was billed, and no byte is lost."""

import hashlib
from dataclasses import replace
from pathlib import Path

import aiohttp
import conformance
import orjson
import pytest
from conformance import ROWS, TEXT, TOKENS, Row, spec_of
from yarl import URL

from pacabench.config.provider_names import KNOWN_PROVIDERS, PROVIDER_KEYS
from pacabench.testing import Billed, FakeProvider, Reply, Tokens
from tests.integration.proxy.conftest import REAL_KEY, VIRTUAL_KEY, Bench, OpenBench

REPLY = Reply(text=TEXT, tokens=TOKENS)
LINE_ENDS = [b"\n", b"\r\n", b"\r"]
IDS = [row.id for row in ROWS]
STREAMS = [row for row in ROWS if row.stream and row.events]


async def ask(it: Bench, row: Row) -> bytes:
    headers = {"Authorization": f"Bearer {VIRTUAL_KEY}", "Content-Type": "application/json"}
    async with (
        aiohttp.ClientSession() as session,
        session.post(
            URL(f"http://127.0.0.1:{it.port}{row.path}", encoded=True),
            data=orjson.dumps(row.body),
            headers=headers | row.headers,
        ) as reply,
    ):
        assert reply.status == 200, await reply.text()
        return await reply.read()


async def run(open_bench: OpenBench, row: Row, reply: Reply) -> tuple[bytes, Billed, Bench]:
    reply = replace(reply, usage=row.variant)
    async with (
        FakeProvider(lambda _: reply) as provider,
        open_bench(spec_of(row.kind, provider.origin, REAL_KEY)) as it,
    ):
        got = await ask(it, row)
        await it.settled()
    [billed] = provider.books
    return got, billed, it


@pytest.mark.parametrize("row", ROWS, ids=IDS)
async def test_what_is_recorded_is_what_was_billed(open_bench: OpenBench, row: Row) -> None:
    got, billed, it = await run(open_bench, row, REPLY)
    [record] = it.records
    assert record.usage == row.usage
    assert record.usage_source == ("none" if row.usage is None else "provider")
    assert (record.endpoint, record.stream, record.end) == (row.endpoint, row.stream, "complete")
    if row.usage is not None:
        assert record.usage.total_input_tokens == billed.tokens.prompt
        assert record.usage.output_tokens in (0, billed.tokens.completion)
    assert record.model in {"m-1", "anthropic.m-1:0"}
    assert billed.target == (row.upstream or row.path)
    if row.kind in {"mistral", "openrouter"} or not row.stream:
        assert billed.body == orjson.dumps(row.body)  # they tell usage unasked
    assert billed.key == REAL_KEY
    assert VIRTUAL_KEY not in str(billed.headers) + billed.target
    assert hashlib.sha256(got).hexdigest() == billed.sent_digest
    counted = {text.call_id for text in it.texts}
    assert counted == ({record.call_id} if row.usage is None and record.may_be_billed else set())


@pytest.mark.parametrize("line_end", LINE_ENDS, ids=["lf", "crlf", "cr"])
@pytest.mark.parametrize("row", STREAMS, ids=[row.id for row in STREAMS])
async def test_a_stream_may_be_cut_at_every_byte(
    open_bench: OpenBench, row: Row, line_end: bytes
) -> None:
    reply = replace(REPLY, line_end=line_end, split_bytes=1)
    got, billed, it = await run(open_bench, row, reply)
    assert hashlib.sha256(got).hexdigest() == billed.sent_digest
    assert it.records[0].usage == row.usage


@pytest.mark.parametrize("tokens", [Tokens(7, 3), Tokens(1), Tokens(2**40, 2**41, 2**39)])
@pytest.mark.parametrize("row", [row for row in ROWS if row.usage is not None][:12:3])
async def test_other_counts_are_exact_too(open_bench: OpenBench, row: Row, tokens: Tokens) -> None:
    _, _, it = await run(open_bench, row, Reply(text="x", tokens=tokens))
    usage = it.records[0].usage
    assert usage.total_input_tokens == tokens.prompt
    assert usage.output_tokens == (0 if row.endpoint == "embeddings" else tokens.completion)


def test_the_table_in_the_documents_is_this_matrix() -> None:
    page = Path(conformance.__file__).parents[2] / "docs" / "conformance.md"
    assert page.read_text() == conformance.rendered()


def test_every_provider_is_in_the_matrix() -> None:
    assert {row.kind for row in ROWS} == KNOWN_PROVIDERS.keys() - {"scripted"}


def test_every_providers_key_is_known_as_a_secret() -> None:
    for known in KNOWN_PROVIDERS.values():
        assert PROVIDER_KEYS.issuperset(known.key_names)
