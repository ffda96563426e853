r"""Numbers as people and models write them, read as decimals.

Understood: ``1,234.5``, ``1_234`` and groups parted by no-break or thin spaces; a sign before or
after a currency sign (``-$5``, ``$-5``), ``+``, the minus signs of Unicode; ``.5``, ``5.``,
``1e-3``; ``1/2`` as 0.5; full-width digits; LaTeX's ``1{,}234`` and ``1\,234``. A currency sign,
``%`` and units are dropped: ``50%`` is 50. A comma is never a decimal point. A plain space parts
groups only where there is nothing but the number (``1 234``): in a sentence it also parts numbers.
"""

import re
from collections import deque
from decimal import Context, Decimal, DecimalException, localcontext

MAX_DIGITS = 400
"""Digits of a number, and the size of its exponent. Larger ones are no numbers here."""

_MINUS = dict.fromkeys("\u2010\u2011\u2012\u2013\u2212\ufe63\uff0d", "-")
_WIDE = {chr(0xFF10 + digit): str(digit) for digit in range(10)} | {"\uff0c": ",", "\uff0e": "."}
_TRANSLATION = str.maketrans(_MINUS | _WIDE)
_LATEX = re.compile(r"\{,\}|\\,")
_GROUPING = re.compile("[,_\u00a0\u2009\u202f]")
_CURRENCY = "[$\u00a3\u00a5\u20ac\u20b9]"
_NUMBER = re.compile(
    rf"""
    (?<![^\W_])                                   # not inside a word: H2O has no number
    (?P<sign>(?<![)\]-])[-+])?                    # (2)-3 and 2--3 are no minus signs of 3
    (?: {_CURRENCY} (?P<inner_sign>[-+])? )?
    (?:
      (?P<numerator>(?<!/)[0-9]+)/(?P<denominator>[0-9]+)(?!/|\.?[0-9])
    | (?P<number>
        (?: [1-9][0-9]{{0,2}}(?:[,_\u00a0\u2009\u202f][0-9]{{3}})+(?![0-9]) | [0-9]+ )
        (?:\.[0-9]+)?
      | (?<![\w.])\.[0-9]+
      )
      (?P<exponent>[eE][-+]?[0-9]+)?
    )
    """,
    re.VERBOSE,
)
_SPACED = re.compile(rf"[-+]?{_CURRENCY}?[-+]?[1-9][0-9]{{0,2}}(?: [0-9]{{3}})+(?:\.[0-9]*)?\s?%?")
_EXACT = Context(prec=4 * MAX_DIGITS)


def read_number(text: str) -> Decimal | None:
    """The number that ``text`` is, or else the last one in it; None where there is none.

    Linear in the length of ``text``.
    """
    if len(text) <= MAX_DIGITS and text.isascii() and text.isdigit():  # most expected answers
        return Decimal(text)
    plain = _LATEX.sub(",", text.translate(_TRANSLATION)).strip()
    if len(plain) <= MAX_DIGITS and _SPACED.fullmatch(plain):
        plain = plain.replace(" ", "")
    last = deque(_NUMBER.finditer(plain), maxlen=1)
    return _value(last[0]) if last else None


def from_json(value: float) -> Decimal:
    """A JSON number as the decimal that it was written as."""
    return Decimal(repr(value))


def within(first: Decimal, second: Decimal, tolerance: Decimal) -> bool:
    """Whether the two differ by ``tolerance`` at most. Exact."""
    with localcontext(_EXACT):
        return abs(first - second) <= tolerance


def _value(match: re.Match[str]) -> Decimal | None:
    if len(match[0]) > 2 * MAX_DIGITS:
        return None
    negative = (match["sign"] == "-") != (match["inner_sign"] == "-")
    try:
        if match["denominator"] is not None:
            number = Decimal(match["numerator"]) / Decimal(match["denominator"])
        else:
            digits = _GROUPING.sub("", match["number"])
            number = Decimal(digits + (match["exponent"] or ""))
    except (DecimalException, ValueError):
        return None
    if len(number.as_tuple().digits) > MAX_DIGITS or abs(number.adjusted()) > MAX_DIGITS:
        return None
    return number.copy_negate() if negative else number  # `-number` would round
