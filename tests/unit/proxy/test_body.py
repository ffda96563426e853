"""How a request's JSON is read, and what of it is too much."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacabench.proxy.body import MAX_OBJECTS, read_body
from pacabench.proxy.client import Refused
from pacabench.proxy.tools import search
from pacabench.proxy.tools.search import ways_out
from pacabench.proxy.tools.tables import OPENAI

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4)
    ),
    max_leaves=12,
)
SPACE = st.text(alphabet=" \t\r\n", max_size=3)


@given(st.dictionaries(st.text(max_size=3), JSON), SPACE, SPACE, st.booleans())
def test_what_json_says_is_read(
    said: dict[str, Any], before: str, after: str, is_ascii: bool
) -> None:
    raw = f"{before}{json.dumps(said, ensure_ascii=is_ascii)}{after}"
    try:
        written = raw.encode()
    except UnicodeEncodeError:  # half a character
        return
    assert read_body(written).said == said


@pytest.mark.parametrize(
    "raw",
    [b"", b" ", b"[]", b"1", b"{", b"{}{}", b"{} x", b'{"a":1,}', b"\xff{}", b"\xef\xbb\xbf{}"],
)
def test_what_is_no_object_is_refused(raw: bytes) -> None:
    with pytest.raises(Refused, match="one JSON object") as refusal:
        read_body(raw)
    assert refusal.value.status == 400


TWICE = [b'"k":1,"k":1', b'"a":[{"k":{},"k":{}}]', b'"k":1,"\\u006b":2']
MANY_BRACKETS = b'"t":"' + b"{     " * (MAX_OBJECTS + 1) + b'",'


@pytest.mark.parametrize("before", [b"", MANY_BRACKETS], ids=["short", "long"])
@pytest.mark.parametrize("members", TWICE)
def test_a_key_that_stands_there_twice_is_named(before: bytes, members: bytes) -> None:
    with pytest.raises(Refused, match=r"'k' twice") as refusal:
        read_body(b"{" + before + members + b"}")
    assert refusal.value.status == 400


class TestTooMuch:
    @pytest.mark.parametrize(
        "inside",
        [
            b"{}," * 200_000,
            b"[]," * 260_000,
            b'{"k":1},' * (MAX_OBJECTS + 1),
            b'{"k":1,"l":2},' * 110_000,
            b"1," * 1_000_001,
        ],
        ids=["objects", "arrays", "objects with members", "members", "values"],
    )
    def test_is_refused(self, inside: bytes) -> None:
        with pytest.raises(Refused, match="too many") as refusal:
            read_body(b'{"a":[' + inside + b"1]}")
        assert refusal.value.status == 413

    def test_texts_count_for_what_they_are(self) -> None:
        """Code has many brackets, and is one value."""
        code = b"if (a[0]) { b({x: 1}); } " * 50_000
        assert read_body(b'{"a":"' + code + b'"}').said == {"a": code.decode()}

    def test_is_refused_when_it_is_looked_through(self) -> None:
        arrays = read_body(b'{"a":[' + b"[1]," * 60_000 + b"1]}").said
        with pytest.raises(Refused, match="too many objects and arrays") as refusal:
            ways_out(OPENAI, arrays, None)
        assert refusal.value.status == 413

    def test_are_keys_of_one_object(self) -> None:
        with pytest.raises(Refused, match="more than 10,000 keys") as refusal:
            ways_out(OPENAI, {"a": dict.fromkeys(map(str, range(10_001)), 1)}, None)
        assert refusal.value.status == 413

    def test_are_models_to_choose_from(self) -> None:
        with pytest.raises(Refused, match="more than 1,000 models"):
            ways_out(OPENAI, {"models": ["m"] * 1_001}, None)


@pytest.mark.parametrize(
    "request_",
    [
        {"messages": [{"role": "user"}] * 10_000},
        {"messages": [[1]] * 10_000},
        {"tools": [{"type": "function"}] * 10_000},
    ],
    ids=["objects", "arrays", "tools"],
)
def test_a_long_search_lets_others_have_their_turn(request_: dict[str, Any]) -> None:
    pauses = sum(1 for _ in search.searching(OPENAI, request_, None, []))
    assert pauses >= 10_000 // 500
