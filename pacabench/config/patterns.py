"""Regular expressions in the configuration, checked before any agent runs.

The ``regex`` package reads what ``re`` reads, and can be stopped after a given time: the pattern is
the user's, but the text that it meets is an agent's, which may have been made to hang it.
"""

import warnings
from typing import Annotated

import regex
from pydantic import AfterValidator

MAX_CHARACTERS = 10_000
"""Of a pattern: a data set may hold patterns, and compiling a very long one takes minutes."""


def compile_pattern(text: str, *, ignore_case: bool = False) -> regex.Pattern[str]:
    """``text`` as a compiled pattern.

    Raises:
        ValueError: it is no regular expression, or too long for one; says what, and where.
    """
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"a pattern must not be longer than {MAX_CHARACTERS} characters")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return regex.compile(text, regex.IGNORECASE if ignore_case else 0)
    except regex.error as error:
        raise ValueError(f"{text!r} is no regular expression: {error}") from None
    except (RecursionError, OverflowError, MemoryError):
        raise ValueError(f"{text[:80]!r} is too complex a regular expression") from None


def _groups(text: str, allowed: range, wanted: str) -> str:
    count = compile_pattern(text).groups
    if count not in allowed:
        hint = "write (?:...) for the others" if count else "put (...) around what is wanted"
        raise ValueError(f"{text!r} has {count} groups and must have {wanted}; {hint}")
    return text


def _at_most_one_group(text: str) -> str:
    return _groups(text, range(2), "at most one")


def _one_group(text: str) -> str:
    return _groups(text, range(1, 2), "exactly one")


Pattern = Annotated[str, AfterValidator(_at_most_one_group)]
OneGroup = Annotated[str, AfterValidator(_one_group)]
