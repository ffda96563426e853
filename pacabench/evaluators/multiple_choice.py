"""``multiple_choice``: the answer names the right option."""

import asyncio

from pacabench.config.evaluators import MultipleChoiceConfig
from pacabench.evaluators.choice_reading import MAX_CHARACTERS, ChoiceReader
from pacabench.evaluators.choices import options_of
from pacabench.evaluators.squad import best_f1, tokens_of
from pacabench.evaluators.text import (
    bad_case,
    no_text,
    require_expected,
    scored,
    text_of,
    texts_of,
    verdict,
)
from pacabench.model import JSON, Case, Evaluation


class MultipleChoice:
    """Reads which option an answer names; what cannot be read goes to the fallback, if any."""

    def __init__(self, config: MultipleChoiceConfig) -> None:
        self._config = config

    def check(self, case: Case) -> None:
        """See :class:`~pacabench.evaluators.base.Evaluator`."""
        require_expected(case)
        options = options_of(case, self._config)
        if options is None:
            if self._config.last_resort == "none":
                raise bad_case(
                    case,
                    f"no options in {self._config.choices!r}; name their column with `choices`, "
                    "or say `choices: null` where letters are all there is",
                )
            if not all(tokens_of(text) for text in texts_of(case.expected)):
                raise bad_case(case, "no options, and `expected` has no words for f1 to compare")
            return
        try:
            options.right(case.expected, self._config.expected_is)
        except ValueError as error:
            raise bad_case(case, str(error)) from None

    async def evaluate(self, case: Case, output: JSON) -> Evaluation:
        """See :class:`~pacabench.evaluators.base.Evaluator`."""
        return await asyncio.to_thread(self._judge, case, output)

    def _judge(self, case: Case, output: JSON) -> Evaluation:
        answer = text_of(output)
        if answer is None:
            return no_text()
        if len(answer) > MAX_CHARACTERS:
            return verdict(False, reason=f"longer than {MAX_CHARACTERS} characters")
        options = options_of(case, self._config)
        if options is None:
            return self._by_f1(answer, texts_of(case.expected))
        right = options.right(case.expected, self._config.expected_is)
        named, how = ChoiceReader(options).read(answer)
        if named is not None:
            return verdict(named == right, extracted=named, read_by=how, expected=right)
        if self._config.last_resort == "f1" and options.texts[right]:
            return self._by_f1(answer, [options.texts[right]])
        return verdict(False, reason="no single option can be read", output=answer, expected=right)

    def _by_f1(self, answer: str, wanted: list[str]) -> Evaluation:
        shown = " | ".join(wanted[:20])
        return scored(
            best_f1(answer, wanted),
            self._config.threshold,
            read_by="f1",
            output=answer,
            expected=shown,
        )
