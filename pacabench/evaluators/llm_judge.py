"""``llm_judge``: another model judges the answer.

What the agent wrote cannot end the judge's task or stand in for its verdict: it comes between marks
with a code that is made afterwards, and a verdict counts only where it repeats the code.
"""

from statistics import fmean

from pacabench.config.evaluators import LlmJudgeConfig
from pacabench.errors import EvaluatorError
from pacabench.evaluators.desk import Desk
from pacabench.evaluators.judge_prompt import question_of
from pacabench.evaluators.judge_reply import Opinion, UnusableReplyError, read_opinion
from pacabench.evaluators.text import excerpt, is_empty, no_text, require_expected, text_of, verdict
from pacabench.model import JSON, Case, Evaluation

MAX_CHARACTERS = 100_000
"""Of an answer that is judged. A longer one fails: cut, it would be another answer."""


class LlmJudge:
    """Asks one model or several times; the most verdicts win, points are averaged."""

    def __init__(self, config: LlmJudgeConfig, desk: Desk) -> None:
        self._config = config
        self._desk = desk

    def check(self, case: Case) -> None:
        """See :class:`~pacabench.evaluators.base.Evaluator`. A rubric needs no ``expected``."""
        if self._config.rubric is None:
            require_expected(case)

    async def evaluate(self, case: Case, output: JSON) -> Evaluation:
        """See :class:`~pacabench.evaluators.base.Evaluator`."""
        answer = text_of(output)
        if answer is None or is_empty(answer):
            return no_text()
        if len(answer) > MAX_CHARACTERS:
            return verdict(False, reason=f"longer than {MAX_CHARACTERS} characters")
        opinions: list[Opinion] = []
        while not self._decided(opinions):
            opinions.append(await self._vote(case, answer, len(opinions)))
        details: dict[str, JSON] = {
            "model": self._config.model,
            "votes": [opinion.share for opinion in opinions],
            "reasoning": excerpt(opinions[-1].reasoning, 1000),
        }
        if self._config.rubric is not None:
            score = fmean(opinion.share for opinion in opinions)
            return Evaluation(score >= self._config.threshold, score, details)
        for_it = sum(opinion.share == 1 for opinion in opinions)
        passed = 2 * for_it > self._config.votes
        return Evaluation(passed, float(passed), details)

    def _decided(self, opinions: list[Opinion]) -> bool:
        """All have voted, or the rest could change nothing."""
        votes = self._config.votes
        if self._config.rubric is not None:
            return len(opinions) == votes
        for_it = sum(opinion.share == 1 for opinion in opinions)
        return 2 * max(for_it, len(opinions) - for_it) > votes

    async def _vote(self, case: Case, answer: str, number: int) -> Opinion:
        problem = ""
        plain = question_of(self._config, case, answer, "")
        for turn in range(1 + self._config.max_retries):
            code = self._desk.code(plain.system, plain.user, f"vote {number}, try {turn}")
            reply = await self._desk.ask(
                self._config, question_of(self._config, case, answer, code)
            )
            try:
                return read_opinion(reply, code, self._config)
            except UnusableReplyError as error:
                problem = str(error)
        tries = 1 + self._config.max_retries
        raise EvaluatorError(
            f"the judge {self._config.model} gave no verdict in {tries} replies: {problem}"
        )
