"""A provider that repeats the real key wherever it can: nobody but the provider ever sees it."""

import gzip
import itertools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import brotli
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacabench.proxy.control import ProviderSpec
from pacabench.proxy.passage import KeyGuard
from pacabench.proxy.patience import Patience
from pacabench.proxy.spool import Spool
from pacabench.testing import FakeProvider, Reply
from tests.integration.proxy.conftest import Bench, OpenBench

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

KEY = "sk-canary/0123+456789abcdef=="
WRITTEN = [KEY, KEY.replace("/", "\\/"), quote(KEY, safe="")]
ASKED: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
CHUNK = {
    "model": KEY,
    "service_tier": KEY,
    "choices": [{"index": 0, "delta": {"content": f"it is {KEY}."}, "finish_reason": None}],
    "usage": {"prompt_tokens": 9, "completion_tokens": 3, KEY: KEY},
}
STREAM = b"".join(b"data: " + orjson.dumps(CHUNK) + b"\n\n" for _ in range(3))
STREAM += b": " + WRITTEN[1].encode() + b"\n\n" + b"data: [DONE]\n\n"
DOCUMENT = orjson.dumps({**CHUNK, "error": {"message": f"bad {KEY}"}, "id": WRITTEN[2]})
ECHO = {"x-request-id": KEY, "retry-after": KEY, "x-ratelimit-limit-tokens": f"x{KEY}"}
CODINGS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    "gzip": gzip.compress,
    "br": brotli.compress,
    "zstd": zstd.compress,
    "gzip, br": lambda body: brotli.compress(gzip.compress(body)),
}


def everywhere(it: Bench, spool: Path) -> str:
    """All that the gateway ever told anybody."""
    said = [it.records, it.notices, it.texts, it.health, spool.read_bytes()]
    return str(said)


@pytest.mark.parametrize("split", [1, 7, None])
@pytest.mark.parametrize("coding", sorted(CODINGS))
@pytest.mark.parametrize("streamed", [True, False])
async def test_in_replies_streams_headers_and_books(
    open_bench: OpenBench, tmp_path: Path, coding: str, split: int | None, streamed: bool
) -> None:
    body = CODINGS[coding](STREAM if streamed else DOCUMENT)
    reply = Reply(body=body, content_encoding=coding or None, split_bytes=split, headers=ECHO)
    spool = tmp_path / "spool"
    async with (
        FakeProvider(lambda _: reply) as provider,
        open_bench(spec(provider), spool=Spool(spool)) as it,
    ):
        got = await it.post("/chat/completions", ASKED | {"stream": streamed})
        [record] = await it.settled()
        seen = everywhere(it, spool)
    assert provider.books[0].key == KEY
    assert "*" * len(KEY) in got.content.decode()
    assert record.usage.input_tokens == 9
    assert len(got.content) == len(STREAM if streamed else DOCUMENT)
    for form in WRITTEN:
        assert form not in got.content.decode()
        assert form not in str(got.headers)
        assert form not in seen


@pytest.mark.parametrize("status", [400, 401, 429, 500])
@pytest.mark.parametrize("coding", ["", "gzip", "br"])
async def test_in_errors_and_tries(
    open_bench: OpenBench, tmp_path: Path, status: int, coding: str
) -> None:
    body = CODINGS[coding](orjson.dumps({"error": {"message": f"key {KEY} is no good"}}))
    headers = {**ECHO, "Content-Encoding": coding} if coding else ECHO
    reply = Reply(status=status, headers=headers, body=body)
    spool = tmp_path / "spool"
    patience = Patience(retry_for_s=0.3, backoff_s=0.05, trip_after=2)
    async with (
        FakeProvider(lambda _: reply) as provider,
        open_bench(spec(provider), spool=Spool(spool), patience=patience, quiet=False) as it,
    ):
        got = await it.post("/chat/completions", ASKED)
        await it.settled()
        seen = everywhere(it, spool)
    assert got.status == status
    assert b"is no good" in got.content
    assert KEY not in got.content.decode() + str(got.headers) + seen


async def test_in_a_provider_that_is_not_there(open_bench: OpenBench, tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    gone = ProviderSpec("openai", "openai", f"http://127.0.0.1:9/{quote(KEY, safe='')}", KEY)
    async with open_bench(gone, spool=Spool(spool), quiet=False) as it:
        got = await it.post("/chat/completions", ASKED)
        await it.settled()
        seen = everywhere(it, spool)
    assert got.status == 502
    assert KEY not in got.content.decode() + seen


def spec(provider: FakeProvider) -> ProviderSpec:
    return ProviderSpec("openai", "openai", provider.base_url, KEY)


PIECES = st.lists(
    st.sampled_from([*WRITTEN, KEY[:9], KEY[9:], "s", "sk-", "\n\n", "é"]), max_size=9
)


@given(PIECES, st.lists(st.integers(0, 300), max_size=9))
def test_wherever_it_is_cut(pieces: list[str], cuts: list[int]) -> None:
    body = "".join(pieces).encode()
    places = [0, *sorted(min(cut, len(body)) for cut in cuts), len(body)]
    scrubber = KeyGuard(KEY).scrubber()
    got = b"".join(scrubber.feed(body[start:end]) for start, end in itertools.pairwise(places))
    got += scrubber.finish()
    whole = KeyGuard(KEY).scrubber()
    assert got == whole.feed(body) + whole.finish()
    assert len(got) == len(body)
    assert not any(form.encode() in got for form in WRITTEN)


@given(st.binary(max_size=80), st.integers(0, 80))
def test_what_holds_no_key_comes_as_it_was_and_at_once(body: bytes, cut: int) -> None:
    scrubber = KeyGuard(KEY).scrubber()
    first = scrubber.feed(body[:cut])
    assert first + scrubber.feed(body[cut:]) + scrubber.finish() == body
    if not body[:cut].endswith((b"s", b"sk", b"sk-")):
        assert first == body[:cut]
