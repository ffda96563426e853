"""Verdicts that come from outside, as JSON or from the user's own code, read with care."""

import math
from typing import Any

from pacabench.evaluators.text import excerpt, text_of
from pacabench.model import JSON, Evaluation

_SHOWN = 500


def evaluation_of(said: Any) -> Evaluation | None:
    """``true``, a score from 0 to 1, or a mapping with ``passed`` or ``score``; None: it is none.

    Whatever else a mapping holds is kept, cut short.
    """
    details: dict[str, JSON] = {}
    passed, score = said, None
    if isinstance(said, dict):
        details = {key: value for key, value in said.items() if key not in {"passed", "score"}}
        passed, score = said.get("passed"), said.get("score")
    elif not isinstance(said, bool):
        passed, score = None, said
    if score is not None and not _is_score(score):
        return None
    if passed is None and score is not None:
        passed = score >= 1
    if not isinstance(passed, bool):
        return None
    kept = {str(key)[:100]: _kept(value) for key, value in list(details.items())[:50]}
    return Evaluation(passed, float(passed if score is None else score), kept)


def _is_score(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return math.isfinite(value) and 0 <= value <= 1


def _kept(value: Any) -> JSON:
    """``value`` as the journal can hold it, not long."""
    if isinstance(value, bool | int | float):
        return value
    return excerpt(value if isinstance(value, str) else text_of(value) or repr(value), _SHOWN)
