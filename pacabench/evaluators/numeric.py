"""``numeric``: equal as decimal numbers."""

import asyncio
from decimal import Decimal

import regex

from pacabench.config.evaluators import NumericConfig
from pacabench.config.patterns import compile_pattern
from pacabench.evaluators.decimals import from_json, read_number, within
from pacabench.evaluators.matching import MAX_CHARACTERS, last_match
from pacabench.evaluators.text import bad_case, no_text, require_expected, text_of, verdict
from pacabench.model import JSON, Case, Evaluation


class Numeric:
    """Reads a number in the answer and one in ``expected``, and compares them.

    A JSON number is itself. In a text it stands in the last match of the ``extract`` pattern;
    without a pattern it is the last number of the text.
    """

    def __init__(self, config: NumericConfig) -> None:
        self._extract = _compiled(config.extract)
        self._expected_extract = _compiled(config.expected_extract)
        self._tolerance = from_json(config.tolerance)

    def check(self, case: Case) -> None:
        """See :class:`~pacabench.evaluators.base.Evaluator`."""
        require_expected(case)
        if _number(case.expected, self._expected_extract) is None:
            with_it = "`expected_extract` finds" if self._expected_extract else "there is"
            raise bad_case(case, f"{with_it} no number in `expected`")

    async def evaluate(self, case: Case, output: JSON) -> Evaluation:
        """See :class:`~pacabench.evaluators.base.Evaluator`."""
        return await asyncio.to_thread(self._judge, case.expected, output)

    def _judge(self, expected: JSON, output: JSON) -> Evaluation:
        text = text_of(output)
        if text is None:
            return no_text()
        if len(text) > MAX_CHARACTERS:
            return verdict(False, reason=f"longer than {MAX_CHARACTERS} characters")
        wanted = _number(expected, self._expected_extract)
        found = _number(output, self._extract)
        if found is None or wanted is None:
            return verdict(False, reason="no number in the answer", expected=str(wanted))
        passed = within(found, wanted, self._tolerance)
        return verdict(passed, extracted=str(found), expected=str(wanted))


def _compiled(pattern: str | None) -> regex.Pattern[str] | None:
    return compile_pattern(pattern) if pattern is not None else None


def _number(value: JSON, extract: regex.Pattern[str] | None) -> Decimal | None:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return from_json(value)
    text = text_of(value)
    if text is not None and extract is not None:
        text = last_match(extract, text)
    return read_number(text) if text is not None else None
