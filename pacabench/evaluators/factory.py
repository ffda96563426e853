"""Makes evaluators, and lets them see the cases before any agent runs."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pacabench.config.evaluators import (
    AllOfConfig,
    AnyOfConfig,
    CommandConfig,
    ContainsConfig,
    EvaluatorConfig,
    ExactMatchConfig,
    F1Config,
    JsonMatchConfig,
    LlmJudgeConfig,
    MultipleChoiceConfig,
    NumericConfig,
    PythonConfig,
    RegexConfig,
    SimilarityConfig,
    WeightedConfig,
    parts_of,
)
from pacabench.errors import DatasetError
from pacabench.evaluators.base import Evaluator
from pacabench.evaluators.combined import InOrder, Weighted
from pacabench.evaluators.command import Command
from pacabench.evaluators.contains import Contains
from pacabench.evaluators.desk import Desk
from pacabench.evaluators.exact_match import ExactMatch
from pacabench.evaluators.f1 import F1
from pacabench.evaluators.json_match import JsonMatch
from pacabench.evaluators.llm_judge import LlmJudge
from pacabench.evaluators.multiple_choice import MultipleChoice
from pacabench.evaluators.numeric import Numeric
from pacabench.evaluators.python import PythonFunction
from pacabench.evaluators.regex import Regex
from pacabench.evaluators.similarity import Similarity
from pacabench.model import Case

SHOWN_PROBLEMS = 20
_BY_ITSELF: dict[type, Callable[[Any], Evaluator]] = {
    ExactMatchConfig: ExactMatch,
    ContainsConfig: Contains,
    RegexConfig: Regex,
    NumericConfig: Numeric,
    F1Config: F1,
    JsonMatchConfig: JsonMatch,
    SimilarityConfig: Similarity,
}
"""Those that need nothing but their configuration."""


def make_evaluator(config: EvaluatorConfig, project: Path, desk: Desk | None = None) -> Evaluator:
    """The evaluator that ``config`` describes; its own code lies in ``project``.

    What needs a model or a container finds it on ``desk``, once a run goes on.

    Raises:
        ConfigError: a function of the user's that it names cannot be found.
    """
    desk = desk or Desk()
    if isinstance(config, AllOfConfig | AnyOfConfig | WeightedConfig):
        return _combined(config, project, desk)
    if isinstance(config, PythonConfig):
        return PythonFunction(config, project)
    if isinstance(config, CommandConfig):
        return Command(config, desk)
    if isinstance(config, LlmJudgeConfig):
        return LlmJudge(config, desk)
    if isinstance(config, MultipleChoiceConfig):
        return MultipleChoice(config, desk)
    return _BY_ITSELF[type(config)](config)


def _combined(
    config: AllOfConfig | AnyOfConfig | WeightedConfig, project: Path, desk: Desk
) -> Evaluator:
    names = [part.type for part in parts_of(config)]
    parts = [make_evaluator(part, project, desk) for part in parts_of(config)]
    match config:
        case AllOfConfig():
            return InOrder(parts, names, decisive=False)
        case AnyOfConfig():
            return InOrder(parts, names, decisive=True)
        case WeightedConfig():
            return Weighted(parts, names, [part.weight for part in config.of], config.threshold)


class CaseCheck:
    """Lets an evaluator refuse cases that it cannot judge, while they are read.

    Args:
        evaluator: is shown each case.
        limit: cases that are looked at, from the first one.
    """

    def __init__(self, evaluator: Evaluator, limit: int | None = None) -> None:
        self._evaluator = evaluator
        self._left = sys.maxsize if limit is None else limit
        self._problems: list[str] = []
        self._count = 0

    def take(self, case: Case) -> None:
        """Look at the next case."""
        self._left -= 1
        if self._left < 0:
            return
        try:
            self._evaluator.check(case)
        except DatasetError as error:
            self._count += 1
            if self._count <= SHOWN_PROBLEMS:
                self._problems.append(str(error))

    def finish(self) -> None:
        """Say what was refused.

        Raises:
            DatasetError: a line per case, up to ``SHOWN_PROBLEMS``, and how many more there are.
        """
        if self._count > SHOWN_PROBLEMS:
            self._problems.append(f"and {self._count - SHOWN_PROBLEMS} more cases")
        if self._problems:
            raise DatasetError("\n".join(self._problems))
