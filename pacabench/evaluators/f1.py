"""``f1``: how many words the answer shares with the expected text."""

import asyncio

from pacabench.config.evaluators import F1Config
from pacabench.evaluators.matching import MAX_CHARACTERS
from pacabench.evaluators.squad import best_f1, tokens_of
from pacabench.evaluators.text import (
    alternatives,
    bad_case,
    no_text,
    require_expected,
    scored,
    text_of,
    texts_of,
    verdict,
)
from pacabench.model import JSON, Case, Evaluation


class F1:
    """Token F1 of the answer and the expected text, or the best one of a list."""

    def __init__(self, config: F1Config) -> None:
        self._threshold = config.threshold
        self._no_answer = config.no_answer

    def check(self, case: Case) -> None:
        """See :class:`~pacabench.evaluators.base.Evaluator`."""
        if self._no_answer:
            return
        require_expected(case)
        for entry in alternatives(case.expected):
            if not tokens_of(text_of(entry) or ""):
                raise bad_case(
                    case,
                    "`expected` has nothing but articles and punctuation, which f1 leaves out; "
                    "use exact_match",
                )

    async def evaluate(self, case: Case, output: JSON) -> Evaluation:
        """See :class:`~pacabench.evaluators.base.Evaluator`."""
        return await asyncio.to_thread(self._judge, case.expected, output)

    def _judge(self, expected: JSON, output: JSON) -> Evaluation:
        answer = text_of(output)
        if answer is None:
            return no_text()
        if len(answer) > MAX_CHARACTERS:
            return verdict(False, reason=f"longer than {MAX_CHARACTERS} characters")
        wanted = texts_of(expected)
        if self._no_answer:  # as SQuAD 2.0: accepted texts of which nothing is left are none
            wanted = [text for text in wanted if tokens_of(text)] or [""]
        score = best_f1(answer, wanted)
        return scored(score, self._threshold, output=answer, expected=" | ".join(wanted[:20]))
