"""Content codings taken off the copy that is metered."""

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacabench.proxy.decode import BodyDecoder


def decoded(encoding: str, chunks: list[bytes]) -> bytes:
    decoder = BodyDecoder(encoding)
    return b"".join(piece for chunk in chunks for piece in decoder.feed(chunk))


@given(st.binary(max_size=500), st.integers(1, 50), st.sampled_from(["gzip", "deflate"]))
def test_what_was_coded_is_read_in_any_pieces(body: bytes, size: int, encoding: str) -> None:
    packed = gzip.compress(body) if encoding == "gzip" else zlib.compress(body)
    chunks = [packed[start : start + size] for start in range(0, len(packed), size)]
    assert decoded(encoding, chunks) == body


@pytest.mark.parametrize("encoding", ["", "identity", " Identity "])
def test_what_is_not_coded_stays_as_it_is(encoding: str) -> None:
    assert decoded(encoding, [b"abc"]) == b"abc"


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, br"])
def test_other_codings_yield_nothing(encoding: str) -> None:
    assert decoded(encoding, [b"abc"]) == b""


def test_what_is_badly_coded_yields_nothing_further() -> None:
    assert decoded("gzip", [b"this is not gzip", gzip.compress(b"abc")]) == b""


def test_a_bomb_goes_off_in_small_pieces() -> None:
    packed = gzip.compress(b"\0" * 20_000_000)
    pieces = list(BodyDecoder("gzip").feed(packed))
    assert sum(map(len, pieces)) == 20_000_000
    assert max(map(len, pieces)) <= 1024**2


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_coding_that_ends_at_each_flush_is_read_on(size: int) -> None:
    packed = gzip.compress(b"data: one\n\n") + gzip.compress(b"data: two\n\n")
    chunks = [packed[start : start + size] for start in range(0, len(packed), size)]
    assert decoded("gzip", chunks) == b"data: one\n\ndata: two\n\n"
