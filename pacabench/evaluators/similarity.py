"""``similarity``: how alike two texts are, by edits."""

import asyncio
from collections.abc import Callable

from pacabench.config.evaluators import SimilarityConfig
from pacabench.evaluators.text import no_text, require_expected, scored, text_of, texts_of, verdict
from pacabench.model import JSON, Case, Evaluation

MAX_CHARACTERS = 20_000
"""Of an answer: the work grows with the product of both lengths."""
_PERCENT = 100.0


def _percent(metric: Callable[..., float]) -> Callable[[str, str], float]:
    return lambda first, second: metric(first, second) / _PERCENT


def _metric(name: str) -> Callable[[str, str], float]:
    from rapidfuzz import fuzz  # noqa: PLC0415 - slow
    from rapidfuzz.distance import JaroWinkler  # noqa: PLC0415 - slow

    metrics: dict[str, Callable[[str, str], float]] = {
        "ratio": _percent(fuzz.ratio),
        "token_sort_ratio": _percent(fuzz.token_sort_ratio),
        "token_set_ratio": _percent(fuzz.token_set_ratio),
        "jaro_winkler": JaroWinkler.similarity,
    }
    return metrics[name]


class Similarity:
    """The likeness of the answer to the expected text, or to the most alike of a list."""

    def __init__(self, config: SimilarityConfig) -> None:
        self._config = config
        self._metric = _metric(config.metric)

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
        if len(answer) > MAX_CHARACTERS:
            return verdict(False, reason=f"longer than {MAX_CHARACTERS} characters")
        said = self._normalised(answer)
        wanted = [self._normalised(text) for text in texts_of(expected)]
        score = max((self._metric(said, text) for text in wanted if said), default=0.0)
        return scored(score, self._config.threshold, output=said, expected=" | ".join(wanted[:20]))

    def _normalised(self, text: str) -> str:
        if self._config.ignore_whitespace:
            text = " ".join(text.split())
        return text.casefold() if self._config.ignore_case else text
