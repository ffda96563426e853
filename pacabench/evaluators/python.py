"""``python``: the user's own function.

It is trusted: it runs in the harness, in a thread, with the user's rights. What it is given is not.
"""

import asyncio
import inspect
from pathlib import Path
from typing import Any

from pacabench.config.evaluators import PythonConfig
from pacabench.errors import EvaluatorError
from pacabench.evaluators.text import excerpt, no_text
from pacabench.evaluators.verdicts import evaluation_of
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
        # Whatever a user's function raises is its failure, `sys.exit()` too: it ends no run.
        except (Exception, SystemExit) as error:
            text = excerpt(f"{type(error).__name__}: {error}", _SHOWN)
            raise EvaluatorError(f"evaluator {self._reference} failed: {text}") from error
        evaluation = evaluation_of(said)
        if evaluation is None:
            raise self._bad(said)
        return evaluation

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

    def _bad(self, said: Any) -> EvaluatorError:
        return EvaluatorError(
            f"evaluator {self._reference} returned {excerpt(repr(said), 80)}; it must be true, "
            "false, a score from 0 to 1, or a mapping with `passed` or `score`"
        )
