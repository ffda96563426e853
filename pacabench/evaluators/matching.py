"""The user's patterns on agents' texts, with an end.

A pattern that is fine on honest text can take years on text made for it. So the text is bounded,
the search runs in a thread without the interpreter's lock, and is stopped after a while.
"""

import regex

from pacabench.errors import EvaluatorError

MAX_CHARACTERS = 1_000_000
"""A longer answer is wrong without a search: cut, it would not be what the pattern is about."""
TIMEOUT_S = 5.0
"""Of one search: processor time of the whole process while it runs, as ``regex`` counts it."""


def last_match(pattern: regex.Pattern[str], text: str) -> str | None:
    """What the last match of ``pattern`` holds: its group if it has one, else the whole match.

    A match whose group took no part does not count. None without a match. Blocks.

    Raises:
        EvaluatorError: the search took too long, or more memory than there is.
    """
    group = 1 if pattern.groups else 0
    found: str | None = None
    try:
        for match in pattern.finditer(text, timeout=TIMEOUT_S, concurrent=True):
            if match[group] is not None:
                found = match[group]
    except TimeoutError:
        raise EvaluatorError(
            f"the pattern {pattern.pattern!r} ran for {TIMEOUT_S:.0f} s on a text of "
            f"{len(text)} characters and was stopped; write it without nested repetition"
        ) from None
    except MemoryError:
        raise EvaluatorError(f"the pattern {pattern.pattern!r} ran out of memory") from None
    return found
