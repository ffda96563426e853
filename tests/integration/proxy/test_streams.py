"""Streams as providers really send them: each byte reaches the agent, each token is counted."""

import asyncio
import gzip
import sys
import zlib

import brotli
import orjson
import pytest

from pacabench.model import Usage
from pacabench.proxy.control import ProviderSpec
from pacabench.proxy.patience import Patience
from pacabench.testing import FakeProvider, Reply
from tests.integration.proxy.conftest import ONE_TRY, REAL_KEY, OpenBench, spec_for

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

ASKED = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "stream": True}
WITH_USAGE = ASKED | {"stream_options": {"include_usage": True}}
USAGE = {
    "prompt_tokens": 100,
    "completion_tokens": 50,
    "total_tokens": 150,
    "prompt_tokens_details": {"cached_tokens": 40},
    "completion_tokens_details": {"reasoning_tokens": 8},
}
COUNTED = Usage(60, 40, None, 50, 8)


def chunk(*choices: dict, **more: object) -> bytes:
    body = {"id": "c", "object": "chat.completion.chunk", "model": "m", "choices": choices, **more}
    return b"data: " + orjson.dumps(body) + b"\n\n"


def delta(index: int, **fields: object) -> dict:
    return {"index": index, "delta": fields, "finish_reason": None}


def tool(position: int, arguments: str) -> dict:
    call = {"index": position, "id": f"t{position}", "function": {"arguments": arguments}}
    return delta(0, tool_calls=[call])


USAGE_CHUNK = chunk(usage=USAGE)
DONE = b"data: [DONE]\n\n"
PLAIN = [chunk(delta(0, content="one")), chunk(delta(0, content=" two \xe9\u2028"))]
SHAPES: dict[str, list[bytes]] = {
    "plain": PLAIN,
    "comments and pings": [b": keep-alive\n\n", PLAIN[0], b": ping\n\nevent: ping\ndata: {}\n\n"],
    "other fields": [b"id: 7\nretry: 10\nevent: message\n" + PLAIN[0], b"\n\n\n", PLAIN[1]],
    "parallel tool calls": [
        chunk(tool(0, '{"a"')),
        chunk(tool(1, '{"usage":')),
        chunk(tool(0, ":1}")),
        chunk(tool(1, ' {"completion_tokens": 9}}')),
    ],
    "several choices": [
        chunk(delta(1, content="b")),
        chunk(delta(0, content="a"), delta(2, content="c")),
        chunk(delta(1, content="b")),
    ],
    "usage so far on every chunk": [
        chunk(delta(0, content="a"), usage={"prompt_tokens": 100, "completion_tokens": 1}),
        chunk(delta(0, content="b"), usage=None),
    ],
    "not json": [b"data: oops\n\n", b"data: [1]\n\ndata:\n\n", *PLAIN],
}
LINE_ENDS = [b"\n", b"\r\n", b"\r"]


@pytest.mark.parametrize("split", [1, 7, None], ids=["bytes", "sevens", "events"])
@pytest.mark.parametrize("line_end", LINE_ENDS, ids=["LF", "CRLF", "CR"])
@pytest.mark.parametrize("shape", SHAPES)
async def test_the_stream_arrives_as_it_came_and_is_counted(
    open_bench: OpenBench, shape: str, line_end: bytes, split: int | None
) -> None:
    parts = [part.replace(b"\n", line_end) for part in (*SHAPES[shape], USAGE_CHUNK, DONE)]
    reply = Reply(body=b"".join(parts), split_bytes=split)
    async with FakeProvider(lambda _: reply) as provider, open_bench(spec_for(provider)) as it:
        asked = await it.post("/chat/completions", WITH_USAGE)
        unasked = await it.post("/chat/completions", ASKED)
        records = await it.settled(2)
    assert asked.content == b"".join(parts)
    assert unasked.content == b"".join(part for part in parts if part != parts[-2])
    for record, billed in zip(records, provider.books, strict=True):
        assert (record.end, record.status, record.error) == ("complete", 200, None)
        assert (record.usage, record.usage_source) == (COUNTED, "provider")
        assert record.response_bytes == billed.sent_bytes == len(reply.body)


@pytest.mark.parametrize(
    ("coding", "pack"),
    [
        ("gzip", gzip.compress),
        ("deflate", zlib.compress),
        ("gzip", lambda body: b"".join(map(gzip.compress, pieces(body, 50)))),
        ("br", brotli.compress),
        ("zstd", zstd.compress),
        ("zstd", lambda body: b"".join(map(zstd.compress, pieces(body, 50)))),
        ("gzip, br", lambda body: brotli.compress(gzip.compress(body))),
    ],
    ids=["gzip", "deflate", "gzip in members", "br", "zstd", "zstd in frames", "gzip in br"],
)
@pytest.mark.parametrize("split", [1, None], ids=["bytes", "whole"])
async def test_a_coding_that_nobody_asked_for_is_taken_off_and_counted(
    open_bench: OpenBench, coding: str, pack: object, split: int | None
) -> None:
    plain = b"".join([*PLAIN, USAGE_CHUNK, DONE])
    body = pack(plain)
    reply = Reply(body=body, content_encoding=coding, split_bytes=split)
    async with FakeProvider(lambda _: reply) as provider, open_bench(spec_for(provider)) as it:
        got = await it.post("/chat/completions", WITH_USAGE)
        [record] = await it.settled()
    assert provider.books[0].headers["accept-encoding"] == "identity"
    assert "content-encoding" not in got.headers
    assert got.content == plain
    assert record.usage == COUNTED
    assert record.response_bytes == len(body)


@pytest.mark.parametrize(
    ("lines", "pack", "status"),
    [
        ("gzip|br", lambda body: brotli.compress(gzip.compress(body)), 200),
        ("identity|gzip", gzip.compress, 200),
        ("gzip|unheard-of", gzip.compress, 502),
    ],
)
async def test_codings_in_two_lines_are_all_taken_off_or_none_is_taken_for_known(
    open_bench: OpenBench, lines: str, pack: object, status: int
) -> None:
    plain = b"".join([*PLAIN, USAGE_CHUNK, DONE])
    head = "".join(f"Content-Encoding: {coding}\r\n" for coding in lines.split("|"))
    body = pack(plain)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        about = f"Content-Type: text/event-stream\r\nContent-Length: {len(body)}\r\n{head}"
        writer.write(f"HTTP/1.1 200 OK\r\n{about}\r\n".encode() + body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    async with server, open_bench(ProviderSpec("openai", "openai", url, REAL_KEY)) as it:
        got = await it.post("/chat/completions", WITH_USAGE)
        [record] = await it.settled()
    assert got.status == status
    if status == 200:
        assert got.content == plain
        assert record.usage == COUNTED
    else:
        # It was billed, and nobody can read what: so it is counted, and marked.
        assert (record.end, record.usage, record.usage_source) == ("upstream_error", None, "none")
        assert [text.call_id for text in it.texts] == [record.call_id]


@pytest.mark.parametrize(
    ("coding", "pack"),
    [("br", brotli.compress), ("gzip, zstd", lambda b: zstd.compress(gzip.compress(b)))],
)
async def test_the_chunk_that_only_the_proxy_asked_for_is_taken_out_of_coded_streams_too(
    open_bench: OpenBench, coding: str, pack: object
) -> None:
    body = pack(b"".join([*PLAIN, USAGE_CHUNK, DONE]))
    reply = Reply(body=body, content_encoding=coding, split_bytes=3)
    async with FakeProvider(lambda _: reply) as provider, open_bench(spec_for(provider)) as it:
        got = await it.post("/chat/completions", ASKED)
        [record] = await it.settled()
    assert got.content == b"".join([*PLAIN, DONE])
    assert record.usage == COUNTED


@pytest.mark.parametrize("coding", ["compress", "gzip, dcz"])
@pytest.mark.parametrize("patience", [ONE_TRY, Patience(retry_for_s=20)])
async def test_what_cannot_be_read_is_not_handed_on_and_not_asked_for_again(
    open_bench: OpenBench, coding: str, patience: Patience
) -> None:
    reply = Reply(body=b"whatever", content_encoding=coding, content_type="application/json")
    async with (
        FakeProvider(lambda _: reply) as provider,
        open_bench(spec_for(provider), patience=patience) as it,
    ):
        got = await it.post("/chat/completions", ASKED | {"stream": False})
        [record] = await it.settled()
    assert got.status == 502
    assert len(provider.books) == 1
    assert (record.end, record.usage, record.usage_source) == ("upstream_error", None, "none")
    assert record.may_be_billed
    assert not record.is_counted
    assert repr(coding) in record.error


async def test_what_is_badly_coded_breaks_off(open_bench: OpenBench) -> None:
    packed = brotli.compress(b"".join(PLAIN))
    reply = Reply(body=packed[:-9] + b"\xff" * 90, content_encoding="br")
    async with FakeProvider(lambda _: reply) as provider, open_bench(spec_for(provider)) as it:
        with pytest.raises(Exception, match="payload is not completed"):
            await it.post("/chat/completions", WITH_USAGE)
        [record] = await it.settled()
    assert (record.end, record.is_provider_failure) == ("upstream_error", True)
    assert "not what it says" in record.error


@pytest.mark.parametrize(
    ("coding", "packed"),
    [
        ("gzip", gzip.compress(b"".join(PLAIN))[:-8]),
        ("deflate", zlib.compress(b"".join(PLAIN))[:-9]),
        ("br", brotli.compress(b"".join(PLAIN))[:-1]),
        ("zstd", zstd.compress(b"".join(PLAIN))[:-1]),
        ("zstd", zstd.compress(b"".join(PLAIN)) + zstd.compress(DONE)[:-1]),
    ],
    ids=["gzip", "deflate", "br", "zstd", "zstd in frames"],
)
async def test_a_coding_without_an_end_is_not_passed_off_as_whole(
    open_bench: OpenBench, coding: str, packed: bytes
) -> None:
    reply = Reply(body=packed, content_encoding=coding)
    async with FakeProvider(lambda _: reply) as provider, open_bench(spec_for(provider)) as it:
        with pytest.raises(Exception, match="payload is not completed"):
            await it.post("/chat/completions", WITH_USAGE)
        [record] = await it.settled()
    assert (record.end, record.is_provider_failure) == ("upstream_error", True)
    assert "breaks off inside its coding" in record.error


async def test_a_coding_that_is_flushed_and_never_ended_is_whole(open_bench: OpenBench) -> None:
    packing = zlib.compressobj(wbits=31)
    packed = b"".join(
        packing.compress(event) + packing.flush(zlib.Z_SYNC_FLUSH)
        for event in (*PLAIN, USAGE_CHUNK, DONE)
    )
    reply = Reply(body=packed, content_encoding="gzip")
    async with FakeProvider(lambda _: reply) as provider, open_bench(spec_for(provider)) as it:
        got = await it.post("/chat/completions", WITH_USAGE)
        [record] = await it.settled()
    assert got.content == b"".join([*PLAIN, USAGE_CHUNK, DONE])
    assert (record.end, record.usage) == ("complete", COUNTED)


@pytest.mark.parametrize("kind", ["Text/Event-Stream", "text/plain", "application/octet-stream"])
async def test_a_stream_is_one_whatever_it_is_said_to_be(open_bench: OpenBench, kind: str) -> None:
    """Media types ignore case, and SDKs do not look at them where they asked for a stream."""
    parts = [*PLAIN, USAGE_CHUNK, DONE]
    reply = Reply(body=b"".join(parts), content_type=kind)
    async with FakeProvider(lambda _: reply) as provider, open_bench(spec_for(provider)) as it:
        got = await it.post("/chat/completions", ASKED)
        [record] = await it.settled()
    assert got.content == b"".join([*PLAIN, DONE])
    assert (record.usage, record.usage_source) == (COUNTED, "provider")


async def test_a_document_in_place_of_a_stream_is_counted(open_bench: OpenBench) -> None:
    body = orjson.dumps({"model": "m", "choices": [], "usage": USAGE})
    reply = Reply(body=body, content_type="application/json")
    async with FakeProvider(lambda _: reply) as provider, open_bench(spec_for(provider)) as it:
        got = await it.post("/chat/completions", ASKED)
        [record] = await it.settled()
    assert (got.content, record.usage) == (body, COUNTED)


@pytest.mark.parametrize(
    "odd",
    [b'"\\ud83d"', b'"\xf0\x9f"', b"-Infinity", b"NaN"],
    ids=["half a character", "half its bytes", "-Infinity", "NaN"],
)
@pytest.mark.parametrize("form", ["document", "after a BOM", "events"])
async def test_what_sdks_read_all_the_same_is_counted(
    open_bench: OpenBench, odd: bytes, form: str
) -> None:
    body = b'{"model":"m","choices":[{"logprobs":%b}],"usage":%b}' % (odd, orjson.dumps(USAGE))
    if form == "after a BOM":
        body = b"\xef\xbb\xbf" + body
    kind = "text/event-stream" if form == "events" else "application/json"
    sent = b"data: %b\n\n%b" % (body, DONE) if form == "events" else body
    reply = Reply(body=sent, content_type=kind)
    async with FakeProvider(lambda _: reply) as provider, open_bench(spec_for(provider)) as it:
        got = await it.post("/chat/completions", WITH_USAGE | {"stream": form == "events"})
        [record] = await it.settled()
    assert got.content == sent
    assert (record.usage, record.usage_source) == (COUNTED, "provider")


async def test_an_end_without_usage_is_unknown_and_not_zero(open_bench: OpenBench) -> None:
    """Cut short in good order: nobody can tell it from a whole stream, but for what it lacks."""
    reply = Reply(body=PLAIN[0])
    async with FakeProvider(lambda _: reply) as provider, open_bench(spec_for(provider)) as it:
        got = await it.post("/chat/completions", WITH_USAGE)
        [record] = await it.settled()
    assert got.content == PLAIN[0]
    assert (record.usage, record.usage_source, record.is_counted) == (None, "none", False)
    assert record.may_be_billed


async def test_usage_that_is_half_known_stays_half_known_when_the_stream_breaks(
    open_bench: OpenBench,
) -> None:
    first = chunk(delta(0, content="a"), usage={"prompt_tokens": 100})
    reply = Reply(body=first + PLAIN[1], split_bytes=len(first), reset_after=1)
    async with FakeProvider(lambda _: reply) as provider, open_bench(spec_for(provider)) as it:
        with pytest.raises(Exception, match="payload is not completed"):
            await it.post("/chat/completions", WITH_USAGE)
        [record] = await it.settled()
    assert (record.end, record.usage_source) == ("upstream_error", "partial_provider")
    assert record.usage == Usage(100, None, None, None, None)


def pieces(body: bytes, size: int) -> list[bytes]:
    return [body[start : start + size] for start in range(0, len(body), size)]
