"""What answers and expected values are as text."""

import pytest

from pacabench.evaluators.text import is_empty, text_of
from pacabench.model import JSON


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("as it is", "as it is"),
        (True, "true"),
        ({"b": 1, "a": [1.5]}, '{"a":[1.5],"b":1}'),
        (2**64, "18446744073709551616"),
        ({"b": -(10**30), "a": "é"}, '{"a":"é","b":-1000000000000000000000000000000}'),
        (None, None),
    ],
)
def test_is_its_json_or_itself(value: JSON, text: str | None) -> None:
    assert text_of(value) == text


@pytest.mark.parametrize("leaf", [1, 2**64])
def test_of_what_is_nested_too_deeply_there_is_none(leaf: JSON) -> None:
    value = leaf
    for _ in range(20_000):
        value = [value]
    assert text_of(value) is None


@pytest.mark.parametrize("value", [None, "", " \t", "\u200b", [], {}])
def test_nothing_to_compare_with_is_empty(value: JSON) -> None:
    assert is_empty(value)


@pytest.mark.parametrize("value", ["a", " a", "-", "\u200ba", 0, False, [None], {"a": None}])
def test_anything_else_is_not(value: JSON) -> None:
    assert not is_empty(value)
