"""``regex``: a pattern is found in the answer."""

import asyncio

from pacabench.config.evaluators import RegexConfig
from pacabench.config.patterns import compile_pattern
from pacabench.evaluators.matching import MAX_CHARACTERS, last_match
from pacabench.evaluators.text import (
    alternatives,
    bad_case,
    no_text,
    require_expected,
    text_of,
    verdict,
)
from pacabench.model import JSON, Case, Evaluation


class Regex:
    """Searches the configured pattern, or the expected value as a pattern.

    With one group in the configured pattern, what the last match's group holds must be the
    expected text (one of a list), white space at the ends aside.
    """

    def __init__(self, config: RegexConfig) -> None:
        self._ignore_case = config.ignore_case
        self._pattern = (
            compile_pattern(config.pattern, ignore_case=config.ignore_case)
            if config.pattern is not None
            else None
        )

    def check(self, case: Case) -> None:
        """See :class:`~pacabench.evaluators.base.Evaluator`."""
        if self._pattern is not None and not self._pattern.groups:
            return  # `expected` plays no part
        require_expected(case)
        if self._pattern is None:
            if not isinstance(case.expected, str):
                raise bad_case(case, "`expected` must be a regular expression, so text")
            try:
                compile_pattern(case.expected)
            except ValueError as error:
                raise bad_case(case, f"`expected`: {error}") from None

    async def evaluate(self, case: Case, output: JSON) -> Evaluation:
        """See :class:`~pacabench.evaluators.base.Evaluator`."""
        return await asyncio.to_thread(self._judge, case.expected, output)

    def _judge(self, expected: JSON, output: JSON) -> Evaluation:
        answer = text_of(output)
        if answer is None:
            return no_text()
        if len(answer) > MAX_CHARACTERS:
            return verdict(False, reason=f"longer than {MAX_CHARACTERS} characters")
        pattern = self._pattern or compile_pattern(expected, ignore_case=self._ignore_case)
        found = last_match(pattern, answer)
        if found is None:
            return verdict(False, reason="no match", pattern=pattern.pattern)
        if self._pattern is None or not pattern.groups:
            return verdict(True, matched=found, pattern=pattern.pattern)
        wanted = [
            self._folded(text) for entry in alternatives(expected) if (text := text_of(entry))
        ]
        return verdict(
            self._folded(found) in wanted, extracted=found, expected=" | ".join(wanted[:20])
        )

    def _folded(self, text: str) -> str:
        return text.strip().casefold() if self._ignore_case else text.strip()
