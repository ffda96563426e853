"""``command``: a program in a container of its own looks at the answer.

What the answer makes the program do is the answer's doing: one that runs out of time or memory, or
is killed, has failed. Only what the program itself, or the engine, does wrong is no verdict. Else
an agent could get rid of a case by an answer that ends its own judge.
"""

import secrets

from pacabench.config.evaluators import CommandConfig, EvaluatorConfig, every_part
from pacabench.errors import EvaluatorError
from pacabench.evaluators.desk import LEFT, Check, Checked, Desk
from pacabench.evaluators.text import excerpt, no_text, verdict
from pacabench.evaluators.verdicts import evaluation_of
from pacabench.left_files import LeftFiles, Wanted
from pacabench.model import JSON, Case, Evaluation

_BY_SIGNAL = 128
"""A shell says 128 and the signal's number for a child that was killed."""


class Command:
    """One program, started anew for each answer."""

    def __init__(self, config: CommandConfig, desk: Desk) -> None:
        self._config = config
        self._desk = desk

    def check(self, case: Case) -> None:
        """See :class:`~pacabench.evaluators.base.Evaluator`. What it needs is its own business."""

    async def evaluate(self, case: Case, output: JSON) -> Evaluation:
        """See :class:`~pacabench.evaluators.base.Evaluator`."""
        if output is None:
            return no_text()
        code = secrets.token_hex(16)
        message = {
            "code": code,
            "output": output,
            "expected": case.expected,
            "case_id": case.case_id,
            "dataset_name": case.dataset,
            "input": case.input,
            "history": list(case.history),
            "metadata": {**case.metadata, **case.withheld},
        }
        checked = await self._desk.check(self._config, Check(message, code, self._left()))
        if checked.verdict is None:
            return self._without(checked)
        said = {key: value for key, value in checked.verdict.items() if key != "code"}
        evaluation = evaluation_of(said)
        if evaluation is None:
            raise EvaluatorError(
                f"the evaluator {self._config.command!r} wrote {excerpt(str(said), 80)}; it must "
                "have `passed`, true or false, or `score`, from 0 to 1"
            )
        return evaluation

    def _left(self) -> LeftFiles | None:
        if not self._config.files:
            return None
        left = LEFT.get()
        if left is None:
            raise EvaluatorError(
                f"the evaluator {self._config.command!r} wants `files` that the agent left, and "
                "none were kept of this attempt; run the case again"
            )
        try:
            return left.choose(self._config.files)
        except ValueError as error:
            raise EvaluatorError(
                f"the evaluator {self._config.command!r} wants `files` {error}; run the case again"
            ) from error

    def _without(self, checked: Checked) -> Evaluation:
        end = checked.exit
        if checked.timed_out:
            limit = f"{self._config.timeout_seconds:g} s"
            return verdict(False, reason=f"the check did not end within {limit}")
        if end.out_of_memory:
            return verdict(False, reason="the check ran out of memory")
        if end.signal is not None or (end.exit_code or 0) > _BY_SIGNAL:
            number = end.signal or (end.exit_code or 0) - _BY_SIGNAL
            return verdict(False, reason=f"the check was ended by signal {number}")
        words = excerpt(end.stderr_tail.strip()[-500:], 500)
        raise EvaluatorError(
            f"the evaluator {self._config.command!r} ended with exit code {end.exit_code} and no "
            f"verdict{': ' + words if words else ''}"
        )


def wanted_files(config: EvaluatorConfig) -> Wanted | None:
    """All that any part of an evaluator wants of what agents leave; None: nothing."""
    parts = (part for part in every_part(config) if isinstance(part, CommandConfig))
    patterns = dict.fromkeys(pattern for part in parts for pattern in part.files)
    return Wanted(tuple(patterns)) if patterns else None
