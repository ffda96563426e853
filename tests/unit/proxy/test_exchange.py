"""An exchange written and read is the same; bytes from strangers are refused in words."""

from dataclasses import fields

import orjson
import pytest
from decks import an_exchange
from hypothesis import given
from hypothesis import strategies as st

from pacabench.proxy.exchange import (
    MAGIC,
    MAX_EXCHANGE_BYTES,
    MAX_FRAMES,
    Exchange,
    ExchangeError,
    Frame,
    decode_exchange,
    encode_exchange,
)

WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
COUNTS = st.integers(0, 2**53 - 1)
PAIRS = st.lists(st.tuples(WORDS, WORDS), max_size=4).map(tuple)

TRIES = st.lists(st.tuples(st.none() | st.integers(0, 999), st.none() | WORDS), max_size=3)
TRIES = TRIES.map(tuple)


@st.composite
def exchanges(draw: st.DrawFn) -> Exchange:
    return an_exchange(
        call_id=draw(WORDS),
        model=draw(st.none() | WORDS),
        arrived_us=draw(COUNTS),
        query=draw(PAIRS),
        status=draw(st.none() | st.integers(200, 599)),
        reply_headers=draw(PAIRS),
        asked_usage=draw(st.booleans()),
        ending=draw(st.sampled_from(["whole", "broken", "left"])),
        error=draw(st.none() | WORDS),
        failed_tries=draw(TRIES),
        request=draw(st.binary(max_size=200)),
        frames=tuple(
            Frame(at, data)
            for at, data in draw(st.lists(st.tuples(COUNTS, st.binary(max_size=50)), max_size=20))
        ),
    )


@given(exchanges())
def test_written_and_read_it_is_the_same(exchange: Exchange) -> None:
    content = encode_exchange(exchange)
    assert decode_exchange(content) == exchange
    assert encode_exchange(decode_exchange(content)) == content


@given(exchanges(), st.data())
def test_cut_anywhere_it_is_refused(exchange: Exchange, data: st.DataObject) -> None:
    content = encode_exchange(exchange)
    cut = data.draw(st.integers(0, len(content) - 1))
    with pytest.raises(ExchangeError):
        decode_exchange(content[:cut])


@pytest.mark.parametrize("status", [b"200.0", b"true", b"199", b"600", b'"200"'])
def test_a_status_is_a_whole_number_of_http(status: bytes) -> None:
    exchange = Exchange("c", "a", 1, "p", "e", None, "POST", "/p/e", (), (), 200, (), False,
                        "whole", None, 5, 0, 0)  # fmt: skip
    content = encode_exchange(exchange).replace(b'"status":200', b'"status":' + status)
    with pytest.raises(ExchangeError, match="status"):
        decode_exchange(content)


@given(st.binary(max_size=300))
def test_any_bytes_are_refused_in_words(content: bytes) -> None:
    for start in (b"", MAGIC, MAGIC + b"{}\n"):
        with pytest.raises(ExchangeError):
            decode_exchange(start + content)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=5,
)
NAMES = [it.name for it in fields(Exchange) if it.name != "request"] + ["kept_request", "more"]


@given(st.sampled_from(NAMES), JSON)
def test_a_head_that_somebody_made_up_is_refused_or_harmless(name: str, value: object) -> None:
    content = encode_exchange(an_exchange())
    _, line, bodies = content.split(b"\n", 2)
    head = orjson.loads(line)
    head[name] = value
    forged = MAGIC + orjson.dumps(head) + b"\n" + bodies
    try:
        read = decode_exchange(forged)
    except ExchangeError:
        return
    encode_exchange(read)
    assert sum(len(frame.data) for frame in read.frames) + len(read.request) == len(bodies)


@pytest.mark.parametrize(
    "frames", [[[0, 2**62]], [[0, -1], [0, 5]], [[0, 4]] + [[0, 0]] * MAX_FRAMES, [[True, 4]], 7]
)
def test_lengths_and_numbers_of_frames_are_bounded(frames: object) -> None:
    head = orjson.loads(encode_exchange(an_exchange()).split(b"\n", 2)[1])
    head["frames"] = frames
    with pytest.raises(ExchangeError):
        decode_exchange(MAGIC + orjson.dumps(head) + b"\n" + b"{}true")


def test_a_long_one_is_not_even_looked_at() -> None:
    with pytest.raises(ExchangeError, match="longer than"):
        decode_exchange(MAGIC + bytes(MAX_EXCHANGE_BYTES))
