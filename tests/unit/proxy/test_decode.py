"""Content codings taken off the copy that is metered."""

import gzip
import sys
import zlib
from collections.abc import Callable

import brotli
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacabench.proxy import decode
from pacabench.proxy.decode import BodyDecoder

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

CODINGS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": brotli.compress,
    "zstd": zstd.compress,
    "gzip, br": lambda body: brotli.compress(gzip.compress(body)),
    "ZSTD,identity , x-gzip": lambda body: gzip.compress(zstd.compress(body)),
}


def decoded(encoding: str, chunks: list[bytes]) -> bytes:
    decoder = BodyDecoder(encoding)
    return b"".join(piece for chunk in chunks for piece in decoder.feed(chunk))


@given(st.binary(max_size=500), st.integers(1, 50), st.sampled_from(sorted(CODINGS)))
def test_what_was_coded_is_read_in_any_pieces(body: bytes, size: int, encoding: str) -> None:
    packed = CODINGS[encoding](body)
    chunks = [packed[start : start + size] for start in range(0, len(packed), size)]
    assert decoded(encoding, chunks) == body


@pytest.mark.parametrize("encoding", ["", "identity", " Identity "])
def test_what_is_not_coded_stays_as_it_is(encoding: str) -> None:
    assert decoded(encoding, [b"abc"]) == b"abc"


@pytest.mark.parametrize("encoding", ["compress", "dcb", "gzip, dcz", "gzip, gzip, gzip, gzip"])
def test_other_codings_yield_nothing_and_are_told(encoding: str) -> None:
    assert decoded(encoding, [b"abc"]) == b""
    assert not BodyDecoder(encoding).known


@pytest.mark.parametrize("encoding", sorted(CODINGS))
def test_what_is_badly_coded_yields_nothing_further(encoding: str) -> None:
    assert decoded(encoding, [b"\xffthis is not coded", CODINGS[encoding](b"abc")]) == b""


@given(st.sampled_from(sorted(CODINGS)), st.binary(max_size=60), st.integers(1, 60))
def test_no_bytes_at_all_make_it_raise(encoding: str, body: bytes, size: int) -> None:
    packed = CODINGS[encoding](b"some text") + body
    decoded(encoding, [packed[:size], body, packed[size:]])


@pytest.mark.parametrize("encoding", sorted(CODINGS))
def test_a_bomb_goes_off_in_small_pieces(encoding: str) -> None:
    packed = CODINGS[encoding](b"\0" * 20_000_000)
    pieces = list(BodyDecoder(encoding).feed(packed))
    assert sum(map(len, pieces)) == 20_000_000
    assert max(map(len, pieces)) <= 2 * 1024**2


@pytest.mark.parametrize("encoding", sorted(CODINGS))
def test_a_bomb_is_not_read_to_its_end(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode, "MAX_DECODED_BYTES", 5_000_000)
    decoder = BodyDecoder(encoding)
    packed = CODINGS[encoding](b"\0" * 20_000_000)
    assert sum(map(len, decoder.feed(packed))) <= 5_000_000
    assert list(decoder.feed(packed)) == []


def test_a_window_that_http_does_not_allow_is_not_made_room_for() -> None:
    options = {zstd.CompressionParameter.window_log: 27}
    packer = zstd.ZstdCompressor(options=options)
    packed = packer.compress(b"\0" * 1000) + packer.flush()
    assert decoded("zstd", [packed]) == b""


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_coding_that_ends_at_each_flush_is_read_on(size: int) -> None:
    packed = gzip.compress(b"data: one\n\n") + gzip.compress(b"data: two\n\n")
    chunks = [packed[start : start + size] for start in range(0, len(packed), size)]
    assert decoded("gzip", chunks) == b"data: one\n\ndata: two\n\n"
