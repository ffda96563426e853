"""Two requests are the same when they say the same, and only then."""

import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacabench.json_pointer import parse_pointer, without
from pacabench.proxy.canonical import canonical_body, differing, outline, request_digest

NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
NUMBERS = st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(allow_nan=False, allow_infinity=False)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | NUMBERS | NAMES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)
OBJECTS = st.dictionaries(NAMES, VALUES, max_size=5)


def digest(body: bytes, *ignore: str) -> str:
    return request_digest("POST", "/openai/x", (), body, [parse_pointer(it) for it in ignore])


def shuffled(value: Any, chance: random.Random) -> Any:
    """The same value with its members in another order and its numbers in another form."""
    if isinstance(value, dict):
        items = [(name, shuffled(member, chance)) for name, member in value.items()]
        chance.shuffle(items)
        return dict(items)
    if isinstance(value, list):
        return [shuffled(element, chance) for element in value]
    if isinstance(value, int) and not isinstance(value, bool) and chance.random() < 0.5:
        return float(value)
    return value


@given(OBJECTS, st.integers(0, 2**32), st.booleans(), st.sampled_from([None, 1, "\t"]))
def test_order_white_space_escapes_and_the_form_of_numbers_do_not_matter(
    value: Any, seed: int, ascii_only: bool, indent: Any
) -> None:
    other = shuffled(value, random.Random(seed))
    written = json.dumps(other, ensure_ascii=ascii_only, indent=indent).encode()
    assert digest(written) == digest(json.dumps(value).encode())


def plain(value: Any) -> Any:
    """What JSON says, with booleans and numbers kept apart, as Python does not."""
    if isinstance(value, dict):
        return {name: plain(member) for name, member in value.items()}
    if isinstance(value, list):
        return [plain(element) for element in value]
    return (type(value).__name__ if isinstance(value, bool) else "", value)


@given(OBJECTS, OBJECTS)
def test_what_differs_is_told_apart(one: Any, two: Any) -> None:
    same = plain(one) == plain(two)
    assert (digest(json.dumps(one).encode()) == digest(json.dumps(two).encode())) == same


@pytest.mark.parametrize(
    ("one", "two"),
    [
        (b'{"t": 1}', b'{"t":1.0}'),
        (b'{"t": 1}', b'{"t":1e0}'),
        (b'{"t": 100}', b'{"t":1E2}'),
        (b'{"t": 0}', b'{"t":-0.0}'),
        (b'{"t": 0.7}', b'{"t":7e-1}'),
        (b'{"t": "a/b"}', b'{"t":"a\\/b"}'),
        (b'{"t": "\xc3\xa9"}', b'{"t":"\\u00e9"}'),
    ],
)
def test_forms_of_writing(one: bytes, two: bytes) -> None:
    assert digest(one) == digest(two)


@pytest.mark.parametrize(
    ("one", "two"),
    [
        (b'{"t": 1}', b'{"t": "1"}'),
        (b'{"t": 1}', b'{"t": true}'),
        (b'{"t": null}', b"{}"),
        (b"[1, 2]", b"[2, 1]"),
        (b'{"t": 0.1}', b'{"t": 0.10000001}'),
        (b"no json", b"no  json"),
        (b"", b"null"),
        (b'{"seed": 18446744073709551615}', b'{"seed": 18446744073709551614}'),
    ],
)
def test_other_things_said(one: bytes, two: bytes) -> None:
    assert digest(one) != digest(two)


def test_method_path_and_query_count_and_the_order_of_the_query_does_not() -> None:
    query = [("a", "1"), ("b", "2")]
    same = request_digest("POST", "/p", query, b"{}")
    assert same == request_digest("POST", "/p", query[::-1], b"{}")
    others = {
        request_digest("GET", "/p", query, b"{}"),
        request_digest("POST", "/q", query, b"{}"),
        request_digest("POST", "/p", query[:1], b"{}"),
        request_digest("POST", "/p", [("a", "2"), ("b", "1")], b"{}"),
    }
    assert len(others | {same}) == 5


@given(OBJECTS, NAMES, VALUES, VALUES)
def test_an_ignored_member_does_not_matter_whatever_it_is(
    value: Any, name: str, one: Any, two: Any
) -> None:
    pointer = "/" + name.replace("~", "~0").replace("/", "~1")
    first = json.dumps(value | {name: one}).encode()
    second = json.dumps(value | {name: two}).encode()
    missing = {key: member for key, member in value.items() if key != name}
    assert digest(first, pointer) == digest(second, pointer)
    assert digest(first, pointer) == digest(json.dumps(missing).encode(), pointer)


@given(VALUES, st.lists(st.lists(NAMES | st.just("0"), min_size=1, max_size=3), max_size=4))
def test_no_pointer_breaks_anything(value: Any, pointers: list[list[str]]) -> None:
    body = json.dumps(value).encode()
    canonical_body(body, [tuple(parts) for parts in pointers])
    outline(body, [tuple(parts) for parts in pointers])


def test_elements_are_taken_out_by_the_places_that_they_had() -> None:
    assert without(list("abcd"), [("0",), ("2",), ("9",), ("01",), ("-",)]) == ["b", "d"]
    assert without({"m": [{"id": 1, "t": 2}]}, [("m", "0", "id"), ("m", "1", "id")]) == {
        "m": [{"t": 2}]
    }


@pytest.mark.parametrize("text", ["", "user", "#/user", "/a~", "/a~2"])
def test_what_is_no_pointer_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no JSON pointer"):
        parse_pointer(text)


def test_a_pointers_escapes() -> None:
    assert parse_pointer("/a~1b/m~0n/~01") == ("a/b", "m~n", "~1")


def test_what_is_nested_beyond_measure_is_compared_as_it_is() -> None:
    deep = b"[" * 5000 + b"]" * 5000
    assert canonical_body(deep) == b"raw\n" + deep
    assert outline(deep).keys() == {""}


def test_the_outline_says_where_requests_differ() -> None:
    one = outline(b'{"m":[{"c":1},{"c":2}],"t":0.5,"x":{"y":1}}')
    two = outline(b'{"m":[{"c":1},{"c":3},{"c":4}],"t":0.5,"x":{"y":2}}')
    assert differing(one, two) == ["/m/1", "/m/2", "/x"]
    assert differing(two, one) == ["/m/1", "/x", "/m/2"]
    long = outline(json.dumps({"m": list(range(1000))}).encode())
    longer = outline(json.dumps({"m": [*range(999), -1]}).encode())
    assert len(long) < 100
    assert differing(long, longer) == ["..."]
