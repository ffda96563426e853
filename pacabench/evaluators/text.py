"""Answers and expected values as text."""

import contextlib
import json
import unicodedata

import orjson

from pacabench.errors import DatasetError
from pacabench.model import JSON, Case, Evaluation

_EXCERPT = 200


def text_of(value: JSON) -> str | None:
    """``value`` as the text that is compared.

    Text is itself; anything else is its JSON, compact and with sorted keys (``true``, ``1.5``,
    ``{"a":[1,2]}``). None for null, which is no answer, and for what is nested too deeply.
    """
    if value is None or isinstance(value, str):
        return value
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
    except TypeError as error:
        if "64-bit" not in str(error):
            return None
    except RecursionError:
        return None
    with contextlib.suppress(RecursionError):
        return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return None


def is_empty(value: JSON) -> bool:
    """Nothing to compare an answer with: null, ``[]``, ``{}``, or text that cannot be seen."""
    if isinstance(value, str):
        if value[:1].isalnum():  # nearly always
            return False
        return all(char.isspace() or unicodedata.category(char) in {"Cc", "Cf"} for char in value)
    return value is None or (isinstance(value, list | dict) and not value)


def alternatives(expected: JSON) -> list[JSON]:
    """The entries where ``expected`` is a list; else itself alone."""
    return expected if isinstance(expected, list) else [expected]


def texts_of(expected: JSON) -> list[str]:
    """The texts that are accepted: of each entry where ``expected`` is a list."""
    return [text for entry in alternatives(expected) if (text := text_of(entry))]


def require_expected(case: Case) -> None:
    """Refuse an empty ``expected``, or a list with an empty entry: any answer would fit it.

    Raises:
        DatasetError: names the case's file and line.
    """
    expected = case.expected
    if isinstance(expected, list):
        empty = not expected or any(map(is_empty, expected))
    else:
        empty = is_empty(expected)
    if empty:
        raise bad_case(case, "`expected` is empty; name its column in input_map.expected")


def bad_case(case: Case, problem: str) -> DatasetError:
    """An error about a case, with its place."""
    return DatasetError(
        f"dataset {case.dataset!r}: {case.where}: case {excerpt(repr(case.case_id), 80)}: {problem}"
    )


def excerpt(text: str, limit: int = _EXCERPT) -> str:
    """The beginning of ``text``, for details and messages."""
    return text if len(text) <= limit else f"{text[:limit]}..."


def verdict(passed: bool, **details: JSON) -> Evaluation:
    """An evaluation that is right or wrong. Texts in ``details`` are cut."""
    shown = {
        name: excerpt(value) if isinstance(value, str) else value for name, value in details.items()
    }
    return Evaluation(passed=passed, score=1.0 if passed else 0.0, details=shown)


def scored(score: float, threshold: float, **details: JSON) -> Evaluation:
    """An evaluation with a share of the truth, which passes from ``threshold`` on."""
    passed = score >= threshold
    shown = verdict(passed, threshold=threshold, **details).details
    return Evaluation(passed=passed, score=score, details=shown)


def no_text() -> Evaluation:
    """The verdict on an answer that is null, or that no text can be made of."""
    return verdict(False, reason="no output that can be compared")
