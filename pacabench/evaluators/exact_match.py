"""``exact_match``: equal as text."""

import asyncio

from pacabench.config.evaluators import ExactMatchConfig
from pacabench.evaluators.text import alternatives, no_text, require_expected, text_of, verdict
from pacabench.model import JSON, Case, Evaluation


class ExactMatch:
    """The answer is the expected text, or one of a list of them."""

    def __init__(self, config: ExactMatchConfig) -> None:
        self._config = config

    def check(self, case: Case) -> None:
        """See :class:`~pacabench.evaluators.base.Evaluator`."""
        require_expected(case)

    async def evaluate(self, case: Case, output: JSON) -> Evaluation:
        """See :class:`~pacabench.evaluators.base.Evaluator`."""
        return await asyncio.to_thread(self._judge, case.expected, output)

    def _judge(self, expected: JSON, output: JSON) -> Evaluation:
        answer = text_of(output)
        if answer is None:
            return no_text()
        compared = self._normalised(answer)
        accepted = alternatives(expected)
        if isinstance(output, list) and isinstance(expected, list):
            accepted = [*accepted, expected]  # a list may also be meant as the answer
        wanted = [self._normalised(text) for entry in accepted if (text := text_of(entry))]
        return verdict(compared in wanted, output=compared, expected=" | ".join(wanted[:20]))

    def _normalised(self, text: str) -> str:
        if self._config.ignore_whitespace:
            text = " ".join(text.split())
        return text.casefold() if self._config.ignore_case else text
