"""What is put together from other evaluators: ``all_of``, ``any_of``, ``weighted``.

Parts are asked in order. What decides ends it, so the dear ones, a judge say, come last. Where one
fails by itself the whole has no verdict.
"""

import math
from collections.abc import Sequence
from typing import Any

from pacabench.evaluators.base import Evaluator
from pacabench.model import JSON, Case, Evaluation


class InOrder:
    """Asks its parts in turn until one decides.

    Args:
        parts: the evaluators, cheapest first.
        names: their types, as the result names them.
        decisive: ``all_of`` is decided by a part that fails (False) and takes the lowest score;
            ``any_of`` by one that passes (True), and takes the highest.
    """

    def __init__(self, parts: Sequence[Evaluator], names: Sequence[str], *, decisive: bool) -> None:
        self._parts = parts
        self._names = names
        self._decisive = decisive

    def check(self, case: Case) -> None:
        """See :class:`~pacabench.evaluators.base.Evaluator`."""
        _check(self._parts, case)

    async def evaluate(self, case: Case, output: JSON) -> Evaluation:
        """See :class:`~pacabench.evaluators.base.Evaluator`."""
        asked: list[Evaluation] = []
        for part in self._parts:
            asked.append(await part.evaluate(case, output))
            if asked[-1].passed is self._decisive:
                break
        scores = [evaluation.score for evaluation in asked]
        score = max(scores) if self._decisive else min(scores)
        return Evaluation(asked[-1].passed, score, _details(self._names, asked))


class Weighted:
    """The mean of all scores by weight; all parts are asked."""

    def __init__(
        self,
        parts: Sequence[Evaluator],
        names: Sequence[str],
        weights: Sequence[float],
        threshold: float,
    ) -> None:
        self._parts = parts
        self._names = names
        self._weights = weights
        self._threshold = threshold

    def check(self, case: Case) -> None:
        """See :class:`~pacabench.evaluators.base.Evaluator`."""
        _check(self._parts, case)

    async def evaluate(self, case: Case, output: JSON) -> Evaluation:
        """See :class:`~pacabench.evaluators.base.Evaluator`."""
        asked = [await part.evaluate(case, output) for part in self._parts]
        weighed = (part.score * weight for part, weight in zip(asked, self._weights, strict=True))
        score = min(math.fsum(weighed) / math.fsum(self._weights), 1.0)
        passed = score >= self._threshold
        details = {**_details(self._names, asked), "threshold": self._threshold}
        return Evaluation(passed, score, details)


def _check(parts: Sequence[Evaluator], case: Case) -> None:
    for part in parts:
        part.check(case)


def _details(names: Sequence[str], asked: Sequence[Evaluation]) -> dict[str, Any]:
    """What each part said; those that were not asked any more say nothing."""
    return {
        "parts": [
            {"type": name, "passed": part.passed, "score": part.score, **part.details}
            for name, part in zip(names, asked, strict=False)
        ]
    }
