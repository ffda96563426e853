"""``exact_match``: equal as text."""

import asyncio
import unicodedata

from pacabench.config.evaluators import ExactMatchConfig
from pacabench.evaluators.squad import without_articles, without_punctuation
from pacabench.evaluators.text import (
    alternatives,
    bad_case,
    no_text,
    require_expected,
    text_of,
    verdict,
)
from pacabench.model import JSON, Case, Evaluation


class ExactMatch:
    """The answer is the expected text, or one of a list of them."""

    def __init__(self, config: ExactMatchConfig) -> None:
        self._config = config

    def check(self, case: Case) -> None:
        """See :class:`~pacabench.evaluators.base.Evaluator`."""
        if self._config.no_answer:
            return
        require_expected(case)
        for entry in alternatives(case.expected):
            if not self._normalised(text_of(entry) or ""):
                raise bad_case(case, "nothing is left of `expected` after its normalisation")

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
        if self._config.no_answer:
            # As SQuAD 2.0: accepted texts of which nothing is left are none.
            wanted = [text for text in wanted if text] or [""]
            return verdict(compared in wanted, output=compared, expected=" | ".join(wanted[:20]))
        if not compared:
            return verdict(False, reason="nothing is left of the answer to compare")
        return verdict(compared in wanted, output=compared, expected=" | ".join(wanted[:20]))

    def _normalised(self, text: str) -> str:
        config = self._config
        if config.normal_form != "none":
            text = unicodedata.normalize(config.normal_form, text)
        if config.ignore_case:
            text = text.casefold()
        if config.ignore_punctuation:
            text = without_punctuation(text)
        if config.ignore_articles:
            text = without_articles(text)
        return " ".join(text.split()) if config.ignore_whitespace else text
