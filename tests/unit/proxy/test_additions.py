"""What is put into a request: found again where it belongs, with every other byte as it was."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pacabench.proxy.additions import NOTHING_ADDED, Addition, Additions, with_member
from pacabench.proxy.body import read_body

NAMES = st.sampled_from(["a", "b", "limit", "\u00e9", 'q"', "{"]) | st.text(max_size=3)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.just("}"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=12,
)
OBJECTS = st.dictionaries(NAMES, VALUES, max_size=5)
PATHS = st.lists(NAMES, min_size=1, max_size=3).map(tuple)


def wanted(said: Any, path: tuple[str, ...], value: int) -> Any:
    """``said`` with the member, made the plain way."""
    if not path:
        return value
    if said is not None and not isinstance(said, dict):
        raise ValueError("in the way")
    inner = (said or {}).get(path[0])
    return {**(said or {}), path[0]: wanted(inner, path[1:], value)}


@given(OBJECTS, PATHS, st.sampled_from([None, 1, "\t"]), st.booleans())
def test_it_is_there_afterwards_and_nothing_else_is(
    said: dict[str, Any], path: tuple[str, ...], indent: Any, ascii_only: bool
) -> None:
    text = json.dumps(said, indent=indent, ensure_ascii=ascii_only)
    body = f" {text}\n".encode("utf-8", "surrogatepass")
    try:
        read_body(body)
    except Exception:  # noqa: BLE001 - half a character is no UTF-8: no such request goes on
        return
    made = with_member(body, Addition(path, 7))
    try:
        assert read_body(made).said == wanted(said, path, 7)
    except ValueError:
        assert made == body
    if path[0] not in said:
        assert with_member(body, Addition(path, 7, is_new=True)) == made


@given(OBJECTS, PATHS)
def test_what_was_there_goes_as_it_was_written(said: dict[str, Any], path: tuple[str, ...]) -> None:
    said = {name: value for name, value in said.items() if name != path[0]}
    body = json.dumps(said).encode()
    assert with_member(body, Addition(path, 7)).endswith(body[1:])


def test_numbers_and_escapes_stay_as_they_are_written() -> None:
    body = b'{"x": [1e400, 1.0, "\\u0041\\/"], "config": {"y": 123456789012345678901234567890}}'
    made = with_member(body, Addition(("config", "limit"), 5))
    inner = b'{"limit":5,"y": 123456789012345678901234567890}}'
    assert made == b'{"x": [1e400, 1.0, "\\u0041\\/"], "config": ' + inner


def test_a_name_is_known_however_it_is_written() -> None:
    made = with_member(b'{"max\\u005ftokens": null}', Addition(("max_tokens",), 5))
    assert made == b'{"max\\u005ftokens": 5}'


def test_several_are_added_and_each_can_be_left_out() -> None:
    both = Additions(Addition(("u",), value=True), [Addition(("l",), 5)], output_limit=5)
    assert both.added_to(b"{}") == b'{"u":true,"l":5}'
    assert both.without_usage().added_to(b"{}") == b'{"l":5}'
    assert both.without_limit().added_to(b"{}") == b'{"u":true}'
    assert both.without_limit().output_limit is None
    assert NOTHING_ADDED.added_to(b"{ }") == b"{ }"
