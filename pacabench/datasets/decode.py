"""JSON of a data set: strict, because what is read here is what every agent is asked."""

import json
from math import isinf
from typing import Any, NoReturn

import orjson

from pacabench.datasets.base import BadRow, Row

_SURELY_FLAT = 200
"""Brackets that cannot be nested too deeply, however they stand."""
_REASONS = {
    "64-bit": "an integer that 64 bits do not hold; put it in quotes",
    "surrogates": "text with half a character (a lone surrogate)",
    "ecursion": "nested too deeply",
}
_ZEROS = bytes.maketrans(b"123456789", b"0" * 9)
_LONG_NUMBER = b"0" * 19


def decode_row(data: bytes, line: int, offset: int = 0) -> Row | BadRow:
    """The row in ``data``.

    orjson refuses NaN, lone surrogates, invalid UTF-8 and deep nesting, but turns a huge integer
    into a float, which is another number: where one may be, the slower reader is used.
    """
    try:
        value = orjson.loads(data)
        if _LONG_NUMBER in data.translate(_ZEROS):
            value = DECODER.decode(data.decode())
    except orjson.JSONDecodeError as error:
        return BadRow(f"not JSON: {error.msg} (column {error.colno})", line)
    except RecursionError:
        return BadRow("nested too deeply", line)
    if isinstance(value, dict):
        return Row(value, line, None, offset)
    return row_of(value, line)


def row_of(value: Any, line: int, number: int | None = None) -> Row | BadRow:
    """``value`` as a row, if it is an object."""
    if not isinstance(value, dict):
        kind = {list: "a list", str: "text", type(None): "null"}.get(type(value), "a number")
        return BadRow(f"must be an object, not {kind}", line, number)
    return Row(value, line, number)


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _float(text: str) -> float:
    value = float(text)
    if isinf(value):
        raise ValueError(f"the number {text[:80]} is too large for a float")
    return value


DECODER = json.JSONDecoder(parse_constant=_constant, parse_float=_float)
"""Python's own reader, for where positions or exact integers are needed."""


def encode(value: Any) -> bytes:
    """``value`` as JSON with sorted keys: the same bytes for the same content.

    Raises:
        ValueError: it cannot be sent to an agent; says why.
    """
    try:
        data = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
        if data.count(b"[") + data.count(b"{") > _SURELY_FLAT:
            # 16 of orjson's 254 levels are for what messages and journal put around a value.
            orjson.dumps([[[[[[[[[[[[[[[[value]]]]]]]]]]]]]]]])
    except TypeError as error:
        reasons = (text for sign, text in _REASONS.items() if sign in str(error))
        raise ValueError(next(reasons, str(error))) from None
    return data
