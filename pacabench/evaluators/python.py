"""``python``: the user's own function.

It is trusted: it runs in the harness, in a thread, with the user's rights. What it is given is not.
"""

import asyncio
import inspect
import math
from pathlib import Path
from typing import Any

from pacabench.config.evaluators import PythonConfig
from pacabench.errors import EvaluatorError
from pacabench.evaluators.text import excerpt, no_text, text_of
from pacabench.model import JSON, Case, Evaluation
from pacabench.user_code import load_function

_SHOWN = 500


class PythonFunction:
    """Asks ``function(output, expected, case)``, which may be a coroutine function.

    It returns true or false, a score from 0 to 1 (1 passes), or a mapping with ``passed`` or
    ``score``, and whatever else is worth keeping.
    """

    def __init__(self, config: PythonConfig, project: Path) -> None:
        self._reference = config.function
        self._timeout_s = config.timeout_seconds
        self._function = load_function(config.function, project)

    def check(self, case: Case) -> None:
        """See :class:`~pacabench.evaluators.base.Evaluator`. Whether it can judge is its own."""

    async def evaluate(self, case: Case, output: JSON) -> Evaluation:
        """See :class:`~pacabench.evaluators.base.Evaluator`."""
        if output is None:
            return no_text()
        try:
            async with asyncio.timeout(self._timeout_s):
                said = await self._ask(case, output)
        except TimeoutError:
            raise EvaluatorError(
                f"evaluator {self._reference} did not end within {self._timeout_s:g} s"
            ) from None
        except Exception as error:  # whatever a user's function raises is its failure
            text = excerpt(f"{type(error).__name__}: {error}", _SHOWN)
            raise EvaluatorError(f"evaluator {self._reference} failed: {text}") from error
        return self._evaluation(said)

    async def _ask(self, case: Case, output: JSON) -> Any:
        described = {
            "case_id": case.case_id,
            "dataset_name": case.dataset,
            "input": case.input,
            "history": list(case.history),
            "metadata": {**case.metadata, **case.withheld},
        }
        if inspect.iscoroutinefunction(self._function):
            return await self._function(output, case.expected, described)
        return await asyncio.to_thread(self._function, output, case.expected, described)

    def _evaluation(self, said: Any) -> Evaluation:
        passed, score, details = said, None, {}
        if isinstance(said, dict):
            details = {key: value for key, value in said.items() if key not in {"passed", "score"}}
            passed, score = said.get("passed"), said.get("score")
        elif not isinstance(said, bool):
            passed, score = None, said
        if score is not None and not _is_score(score):
            raise self._bad(said)
        if passed is None and score is not None:
            passed = score >= 1
        if not isinstance(passed, bool):
            raise self._bad(said)
        kept = {str(key): _kept(value) for key, value in details.items()}
        return Evaluation(passed, float(passed if score is None else score), kept)

    def _bad(self, said: Any) -> EvaluatorError:
        return EvaluatorError(
            f"evaluator {self._reference} returned {excerpt(repr(said), 80)}; it must be true, "
            "false, a score from 0 to 1, or a mapping with `passed` or `score`"
        )


def _is_score(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return math.isfinite(value) and 0 <= value <= 1


def _kept(value: Any) -> JSON:
    """``value`` as the journal can hold it, not long."""
    if isinstance(value, bool | int | float):
        return value
    return excerpt(value if isinstance(value, str) else text_of(value) or repr(value), _SHOWN)
