"""What an unquoted word in the YAML means."""

import re
from typing import TypeAlias

Scalar: TypeAlias = str | int | float | bool | None

_CONSTANTS: dict[str, Scalar] = {
    "": None,
    "~": None,
    "null": None,
    "true": True,
    "yes": True,
    "on": True,
    "false": False,
    "no": False,
    "off": False,
}
_INT = re.compile(r"[-+]?[0-9]+(?:_[0-9]+)*")
_BASED = re.compile(r"0x[0-9a-fA-F]+|0o[0-7]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_SPECIAL = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_LONGEST_NUMBER = 40


def resolve_scalar(text: str) -> Scalar:
    """The value of a plain scalar.

    YAML 1.2's core schema, and ``yes``/``no``/``on``/``off`` of 1.1, which people write. Of 1.1
    sexagesimal numbers (``1:30``), leading-zero octals and dates are left out: they are text, or
    decimal. A number too long to be meant as one is text.
    """
    if text in _CONSTANTS or (text.isascii() and text.lower() in _CONSTANTS and _is_cased(text)):
        return _CONSTANTS[text.lower()]
    return text if len(text) > _LONGEST_NUMBER else _number(text)


def _number(text: str) -> str | int | float:
    if _INT.fullmatch(text):
        return int(text)
    if _BASED.fullmatch(text):
        return int(text, 0)
    if _FLOAT.fullmatch(text):
        return float(text)
    if _SPECIAL.fullmatch(text):
        return float(text.replace(".", ""))
    return text


def _is_cased(text: str) -> bool:
    """``True`` and ``TRUE`` are constants, ``tRUE`` is a word."""
    return text.istitle() or text.isupper()
