"""JSON Schemas on answers that were made to hurt."""

import time
from typing import Any

import pytest

from pacabench.errors import EvaluatorError
from pacabench.evaluators import matching
from pacabench.evaluators.json_schema import SchemaCheck

BOMB = "^(a|aa)+$"
FUSE = "a" * 60 + "b"


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"pattern": BOMB}, FUSE),
        ({"patternProperties": {BOMB: {}}}, {FUSE: 1}),
        ({"patternProperties": {BOMB: {}}, "additionalProperties": False}, {FUSE: 1}),
        ({"propertyNames": {"pattern": BOMB}}, {FUSE: 1}),
    ],
)
def test_a_pattern_is_stopped_wherever_it_stands(
    schema: dict[str, Any], value: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matching, "TIMEOUT_S", 0.3)
    with pytest.raises(EvaluatorError, match="was stopped"):
        SchemaCheck(schema).problem(value)


def test_unique_items_of_many_kinds_end() -> None:
    entries = [value for number in range(40_000) for value in (number, str(number))]
    began = time.process_time()
    assert SchemaCheck({"uniqueItems": True}).problem(entries) is None
    assert "stands twice" in (SchemaCheck({"uniqueItems": True}).problem([*entries, 7]) or "")
    assert time.process_time() - began < 10


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        ({"patternProperties": {"^x": {"type": "string"}}}, {"x1": "a", "y": 1}, {"x1": 1}),
        ({"properties": {"a": {}}, "additionalProperties": False}, {"a": 1}, {"b": 1}),
        ({"additionalProperties": {"type": "number"}}, {"a": 1}, {"a": "1"}),
        ({"uniqueItems": True}, [1, "1", True, [1], {"a": 1}], [{"a": 1}, {"a": 1.0}]),
        ({"uniqueItems": False}, [1, 1], None),
        ({"$defs": {"n": {"type": "integer"}}, "$ref": "#/$defs/n"}, 1, 1.5),
    ],
)
def test_what_was_replaced_judges_as_the_standard_says(
    schema: dict[str, Any], good: Any, bad: Any
) -> None:
    assert SchemaCheck(schema).problem(good) is None
    if bad is not None:
        assert SchemaCheck(schema).problem(bad) is not None


def test_a_schema_that_never_ends_is_the_evaluators_failure() -> None:
    with pytest.raises(EvaluatorError, match="does not end"):
        SchemaCheck({"$ref": "#"}).problem(1)
    with pytest.raises(EvaluatorError, match="cannot be used"):
        SchemaCheck({"$ref": "#/$defs/missing"}).problem(1)


@pytest.mark.parametrize(
    ("divisor", "value", "fits"),
    [
        (0.01, 19.99, True),
        (0.01, 19.995, False),
        (0.1, 1e308, True),
        pytest.param(0.5, 10**4000, True, id="a long multiple"),
        pytest.param(2, 10**400 + 1, False, id="a long odd number"),
        (3, 9.0, True),
        (2, True, True),
        (2, "3", True),
    ],
)
def test_multiples_are_those_of_decimal_numbers(divisor: float, value: Any, fits: bool) -> None:
    assert (SchemaCheck({"multipleOf": divisor}).problem(value) is None) == fits
