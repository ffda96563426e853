"""A JSON Schema that meets answers: its patterns have an end, and nothing is fetched for it."""

from collections.abc import Iterator, Mapping
from decimal import Context, localcontext
from typing import Any

import orjson
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from jsonschema.validators import extend
from referencing import Registry
from referencing.exceptions import Unresolvable

from pacabench.config.patterns import compile_pattern
from pacabench.errors import EvaluatorError
from pacabench.evaluators.decimals import from_json
from pacabench.evaluators.matching import last_match
from pacabench.evaluators.text import excerpt
from pacabench.model import JSON

_SHOWN = 200
_EXACT = 2**53
_EXACT_DIVISION = Context(prec=10_000)
"""Room for the longest integer that Python reads, 4300 digits, over the smallest of floats."""


def _pattern(
    _validator: Any, pattern: str, instance: JSON, _schema: Mapping[str, Any]
) -> Iterator[ValidationError]:
    if isinstance(instance, str) and last_match(compile_pattern(pattern), instance) is None:
        yield ValidationError(f"{excerpt(instance, 80)!r} does not match {pattern!r}")


def _pattern_properties(
    validator: Any, patterns: Mapping[str, Any], instance: JSON, _schema: Mapping[str, Any]
) -> Iterator[ValidationError]:
    if not isinstance(instance, dict):
        return
    for pattern, inner in patterns.items():
        compiled = compile_pattern(pattern)
        for key, value in instance.items():
            if last_match(compiled, key) is not None:
                yield from validator.descend(value, inner, path=key, schema_path=pattern)


def _additional_properties(
    validator: Any, allowed: Any, instance: JSON, schema: Mapping[str, Any]
) -> Iterator[ValidationError]:
    """The package's own reads ``patternProperties`` with patterns that cannot be stopped."""
    if not isinstance(instance, dict):
        return
    compiled = [compile_pattern(pattern) for pattern in schema.get("patternProperties", {})]
    for key, value in instance.items():
        if key in schema.get("properties", {}):
            continue
        if any(last_match(pattern, key) is not None for pattern in compiled):
            continue
        if isinstance(allowed, dict):
            yield from validator.descend(value, allowed, path=key)
        elif allowed is False:
            yield ValidationError(f"the key {excerpt(key, 80)!r} is not allowed")


def _unique_items(
    _validator: Any, wanted: bool, instance: JSON, _schema: Mapping[str, Any]
) -> Iterator[ValidationError]:
    """The package's own compares each with each where entries cannot be sorted."""
    if wanted and isinstance(instance, list):
        entries = [orjson.dumps(_plain(entry), option=orjson.OPT_SORT_KEYS) for entry in instance]
        if len(set(entries)) != len(entries):
            yield ValidationError("an entry of the list stands twice")


def _multiple_of(
    _validator: Any, divisor: float, instance: JSON, _schema: Mapping[str, Any]
) -> Iterator[ValidationError]:
    """The package's own divides in binary, where 19.99 is no multiple of 0.01."""
    if isinstance(instance, bool) or not isinstance(instance, int | float):
        return
    with localcontext(_EXACT_DIVISION):
        if from_json(instance) % from_json(divisor):
            yield ValidationError(f"{excerpt(str(instance), 80)} is not a multiple of {divisor}")


def _plain(value: JSON) -> JSON:
    """``value`` with one spelling for each number: JSON Schema's 1.0 is 1."""
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_plain(entry) for entry in value]
    if isinstance(value, float) and value.is_integer():
        return str(int(value)) if abs(value) >= _EXACT else int(value)
    return str(value) if isinstance(value, int) and abs(value) >= _EXACT else value


_Validator = extend(  # type: ignore[no-untyped-call] # its stubs leave it bare
    Draft202012Validator,
    {
        "pattern": _pattern,
        "patternProperties": _pattern_properties,
        "additionalProperties": _additional_properties,
        "uniqueItems": _unique_items,
        "multipleOf": _multiple_of,
    },
)


class SchemaCheck:
    """One schema, which was checked when the configuration was read."""

    def __init__(self, schema: dict[str, Any]) -> None:
        self._validator = _Validator(schema, registry=Registry())

    def problem(self, value: JSON) -> str | None:
        """What does not fit first; None where all does. Blocks.

        Raises:
            EvaluatorError: a pattern was stopped, or the schema refers to what it does not have.
        """
        try:
            error = next(self._validator.iter_errors(value), None)
        except Unresolvable as problem:
            raise EvaluatorError(f"the JSON Schema cannot be used: {problem}") from None
        except RecursionError:
            raise EvaluatorError("the JSON Schema does not end on this answer") from None
        if error is None:
            return None
        place = "".join(f"[{part!r}]" for part in error.absolute_path)
        return f"at ${place}: {excerpt(error.message, _SHOWN)}"
