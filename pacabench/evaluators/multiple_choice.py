"""``multiple_choice``: the answer names the right option."""

import asyncio
from dataclasses import replace

from pacabench.config.evaluators import MultipleChoiceConfig
from pacabench.evaluators.choice_reading import MAX_CHARACTERS, ChoiceReader
from pacabench.evaluators.choices import options_of
from pacabench.evaluators.desk import Desk
from pacabench.evaluators.llm_judge import LlmJudge
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

    def __init__(self, config: MultipleChoiceConfig, desk: Desk) -> None:
        self._config = config
        self._judge_it = LlmJudge(config.judge, desk) if config.judge is not None else None

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
            if self._config.last_resort == "f1" and not all(
                tokens_of(text) for text in texts_of(case.expected)
            ):
                raise bad_case(case, "no options, and `expected` has no words for f1 to compare")
            return
        try:
            options.right(case.expected, self._config.expected_is)
        except ValueError as error:
            raise bad_case(case, str(error)) from None

    async def evaluate(self, case: Case, output: JSON) -> Evaluation:
        """See :class:`~pacabench.evaluators.base.Evaluator`."""
        evaluation = await asyncio.to_thread(self._read, case, output)
        if evaluation is not None:
            return evaluation
        if self._config.last_resort == "judge" and self._judge_it is not None:
            judged = await self._judge_it.evaluate(self._spelt_out(case), output)
            return replace(judged, details={"read_by": "judge", **judged.details})
        return verdict(
            False,
            reason="no single option can be read",
            output=text_of(output),
            expected=text_of(case.expected),
        )

    def _read(self, case: Case, output: JSON) -> Evaluation | None:
        """The verdict without a judge; None where no option can be read."""
        answer = text_of(output)
        if answer is None:
            return no_text()
        if len(answer) > MAX_CHARACTERS:
            return verdict(False, reason=f"longer than {MAX_CHARACTERS} characters")
        options = options_of(case, self._config)
        if options is None:
            by_f1 = self._config.last_resort == "f1"
            return self._by_f1(answer, texts_of(case.expected)) if by_f1 else None
        right = options.right(case.expected, self._config.expected_is)
        named, how = ChoiceReader(options).read(answer)
        if named is not None:
            return verdict(named == right, extracted=named, read_by=how, expected=right)
        if self._config.last_resort == "f1" and options.texts[right]:
            return self._by_f1(answer, [options.texts[right]])
        return None

    def _spelt_out(self, case: Case) -> Case:
        """The case as a judge has to see it: with the right option's letter and text."""
        options = options_of(case, self._config)
        if options is None:
            return case
        right = options.right(case.expected, self._config.expected_is)
        listed = "\n".join(f"{label}. {text}" for label, text in options.texts.items() if text)
        question = f"{text_of(case.input)}\n{listed}"
        return replace(case, input=question, expected=f"{right}. {options.texts[right]}")

    def _by_f1(self, answer: str, wanted: list[str]) -> Evaluation:
        shown = " | ".join(wanted[:20])
        return scored(
            best_f1(answer, wanted),
            self._config.threshold,
            read_by="f1",
            output=answer,
            expected=shown,
        )
