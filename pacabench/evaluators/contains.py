"""``contains``: the answer holds the expected text."""

import asyncio

from pacabench.config.evaluators import ContainsConfig
from pacabench.evaluators.text import alternatives, no_text, require_expected, text_of, verdict
from pacabench.model import JSON, Case, Evaluation


class Contains:
    """The expected text stands in the answer; of a list, any or all of its entries."""

    def __init__(self, config: ContainsConfig) -> None:
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
        answer = self._folded(answer)
        wanted = [text for entry in alternatives(expected) if (text := text_of(entry))]
        missing = [text for text in wanted if self._folded(text) not in answer]
        passed = not missing if self._config.require == "all" else len(missing) < len(wanted)
        return verdict(passed, missing=" | ".join(missing[:20]), wanted=len(wanted))

    def _folded(self, text: str) -> str:
        return text.casefold() if self._config.ignore_case else text
