"""The engine's attach stream, taken apart."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacabench.sandbox.docker.framing import STDERR, STDOUT, FrameReader


def frame(stream: int, payload: bytes) -> bytes:
    return struct.pack(">BxxxI", stream, len(payload)) + payload


frames = st.lists(st.tuples(st.sampled_from([STDOUT, STDERR]), st.binary(max_size=300)))


@given(frames=frames, data=st.data())
def test_any_cut_of_the_stream_gives_the_same_bytes(
    frames: list[tuple[int, bytes]], data: st.DataObject
) -> None:
    stream = b"".join(frame(kind, payload) for kind, payload in frames)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)))))
    reader = FrameReader()
    got = {STDOUT: b"", STDERR: b""}
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        for kind, piece in reader.feed(stream[start:end]):
            got[kind] += bytes(piece)
    for kind in (STDOUT, STDERR):
        assert got[kind] == b"".join(payload for other, payload in frames if other == kind)
    assert not reader.inside_frame


@pytest.mark.parametrize("missing", [1, 5, 8, 12])
def test_an_end_inside_a_header_or_a_payload_is_known(missing: int) -> None:
    reader = FrameReader()
    list(reader.feed(frame(STDOUT, b"whole") + frame(STDOUT, b"hello")[:-missing]))
    assert reader.inside_frame


def test_an_empty_frame_is_no_end() -> None:
    reader = FrameReader()
    assert [bytes(piece) for _, piece in reader.feed(frame(STDOUT, b"") + frame(STDOUT, b"x"))] == [
        b"x"
    ]
    assert not reader.inside_frame


@pytest.mark.parametrize(
    "garbage", [b"\x09\0\0\0\0\0\0\1x", b"HTTP/1.1 400 Bad", b"\1\0\0\1\0\0\0\1x"]
)
def test_what_is_no_such_stream_is_refused(garbage: bytes) -> None:
    with pytest.raises(ValueError, match="header"):
        list(FrameReader().feed(garbage))
