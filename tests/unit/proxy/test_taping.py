"""What a tape keeps: every byte, no key, and nothing at all rather than a part."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacabench.proxy import taping
from pacabench.proxy.exchange import Exchange, Keeping
from pacabench.proxy.formats.openai import OpenAIFormat
from pacabench.proxy.held_bytes import HeldBytes
from pacabench.proxy.record import CallDraft
from pacabench.proxy.routes import Provider, Route
from pacabench.proxy.taping import MOST_HELD_BYTES, Tape

KEY = "sk-real-canary-0123456789"
MINE = "sk-pacabench-virtual-abcdef"
WIRE = OpenAIFormat()
CHAT = next(it for it in WIRE.endpoints if it.name == "chat.completions")


def route(query: Mapping[str, str] | None = None) -> Route:
    nothing: Any = None
    provider = Provider("openai", WIRE, nothing, KEY, nothing)
    return Route(provider, CHAT, "/chat/completions?b=2&a=1", {}, query or {})


def kept(
    chunks: list[bytes],
    *,
    body: bytes = b"{}",
    keeping: Keeping | None = None,
    headers: Mapping[str, str] | None = None,
    held: HeldBytes | None = None,
    query: Mapping[str, str] | None = None,
) -> tuple[Exchange | None, Tape]:
    tape = Tape(keeping or Keeping(), held or HeldBytes(MOST_HELD_BYTES), [KEY, MINE])
    tape.asked(route(query), {"Content-Type": "application/json"}, body)
    tape.replied(200, headers or {}, asked_usage=False)
    for chunk in chunks:
        tape.took(chunk)
    tape.ended("whole")
    return tape.close(CallDraft("a-1", "openai", "chat.completions")), tape


@st.composite
def cut(draw: st.DrawFn, content: bytes) -> list[bytes]:
    places = sorted(draw(st.sets(st.integers(1, len(content) - 1), max_size=12)))
    return [content[a:b] for a, b in zip([0, *places], [*places, len(content)], strict=True)]


@given(cut(b"data: one\n\ndata: two\r\n\r\n: ping\n\ndata: [DONE]\n\n"))
def test_pieces_are_kept_as_they_came(chunks: list[bytes]) -> None:
    exchange, _ = kept(chunks)
    assert exchange is not None
    assert [frame.data for frame in exchange.frames] == chunks
    times = [frame.at_us for frame in exchange.frames]
    assert times == sorted(times)


@given(cut(f"data: {KEY}{MINE}\n\ndata: {KEY}\n\n".encode()))
def test_a_key_is_blotted_out_wherever_it_was_cut(chunks: list[bytes]) -> None:
    exchange, _ = kept(chunks)
    assert exchange is not None
    assert KEY.encode() not in exchange.reply
    assert MINE.encode() not in exchange.reply
    assert [len(frame.data) for frame in exchange.frames] == [len(chunk) for chunk in chunks]


@given(st.integers(1, 200), st.integers(0, 60))
def test_no_beginning_of_a_key_is_left_where_a_body_is_cut(most: int, before: int) -> None:
    body = b"x" * before + KEY.encode() * 3
    exchange, _ = kept([body], body=body, keeping=Keeping(whole=False, most_bytes=most))
    assert exchange is not None
    assert exchange.request_bytes == exchange.reply_bytes == len(body)
    if most < len(body):
        for content in (exchange.request, exchange.reply):
            assert not any(content.endswith(KEY[:size].encode()) for size in range(1, len(KEY)))


def test_keys_are_in_no_header_and_no_query() -> None:
    exchange, _ = kept([b"x"], headers={"x-request-id": f"req {MINE}"}, query={"key": MINE})
    assert exchange is not None
    assert MINE not in str(exchange)
    assert exchange.query == ()


def test_after_many_pieces_the_bytes_are_kept_and_not_their_times(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(taping, "MAX_FRAMES", 3)
    exchange, _ = kept([b"a", b"b", b"c", b"d", b"e"])
    assert exchange is not None
    assert [frame.data for frame in exchange.frames] == [b"a", b"b", b"cde"]


def test_too_much_is_given_up_as_a_whole_and_holds_no_memory() -> None:
    held = HeldBytes(1000)
    exchange, tape = kept([b"x" * 60, b"y" * 60], keeping=Keeping(most_bytes=100), held=held)
    assert exchange is None
    assert tape.left_out == "it is longer than 0 MiB"
    exchange, tape = kept([b"x" * 2000], held=held)
    assert exchange is None
    assert tape.left_out == "too many long calls were under way at once"
    assert held.take(1000)


def test_what_is_kept_is_given_back_when_it_is_handed_on() -> None:
    held = HeldBytes(100)
    for _ in range(5):
        exchange, _ = kept([b"x" * 90], held=held)
        assert exchange is not None


def test_a_call_that_the_proxy_denied_is_nothing() -> None:
    held = HeldBytes(100)
    tape = Tape(Keeping(), held, [KEY])
    tape.asked(route(), {}, b"x" * 90)
    draft = CallDraft("a-1", "openai", "chat.completions")
    draft.end = "denied"
    assert tape.close(draft) is None
    assert tape.left_out is None
    assert held.take(100)
