"""What an evaluator is."""

from typing import Protocol

from pacabench.model import JSON, Case, Evaluation


class Evaluator(Protocol):
    """Judges one answer against one case. Stateless between calls."""

    def check(self, case: Case) -> None:
        """Refuse a case that this evaluator cannot judge, before any agent runs.

        Raises:
            DatasetError: for example an empty ``expected``; names the case's file and line.
        """
        ...

    async def evaluate(self, case: Case, output: JSON) -> Evaluation:
        """The verdict on ``output``, which is untrusted.

        Raises:
            EvaluatorError: the evaluator itself failed; nothing is said about the answer.
        """
        ...
