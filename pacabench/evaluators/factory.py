"""Makes evaluators, and lets them see the cases before any agent runs."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from pacabench.config.evaluators import (
    AllOfConfig,
    AnyOfConfig,
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
from pacabench.errors import ConfigError, DatasetError
from pacabench.evaluators.base import Evaluator
from pacabench.evaluators.combined import AllOf, AnyOf, Weighted
from pacabench.evaluators.contains import Contains
from pacabench.evaluators.exact_match import ExactMatch
from pacabench.evaluators.f1 import F1
from pacabench.evaluators.json_match import JsonMatch
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
    MultipleChoiceConfig: MultipleChoice,
    JsonMatchConfig: JsonMatch,
    SimilarityConfig: Similarity,
}
"""Those that need nothing but their configuration."""


def make_evaluator(config: EvaluatorConfig, project: Path) -> Evaluator:
    """The evaluator that ``config`` describes; its own code lies in ``project``.

    Raises:
        ConfigError: its type can be written, but is not in this version; or a function of the
            user's that it names cannot be found.
    """
    if isinstance(config, AllOfConfig | AnyOfConfig | WeightedConfig):
        return _combined(config, project)
    if isinstance(config, PythonConfig):
        return PythonFunction(config, project)
    if isinstance(config, LlmJudgeConfig):
        raise ConfigError("evaluator `llm_judge` is not in this version")
    return _BY_ITSELF[type(config)](config)


def _combined(config: AllOfConfig | AnyOfConfig | WeightedConfig, project: Path) -> Evaluator:
    names = [part.type for part in parts_of(config)]
    parts = [make_evaluator(part, project) for part in parts_of(config)]
    match config:
        case AllOfConfig():
            return AllOf(parts, names)
        case AnyOfConfig():
            return AnyOf(parts, names)
        case WeightedConfig():
            return Weighted(parts, names, [part.weight for part in config.of], config.threshold)


def check_cases(evaluator: Evaluator, cases: Iterable[Case]) -> None:
    """Let ``evaluator`` refuse cases that it cannot judge.

    Raises:
        DatasetError: a line per case, up to ``SHOWN_PROBLEMS``, and how many more there are.
    """
    problems: list[str] = []
    count = 0
    for case in cases:
        try:
            evaluator.check(case)
        except DatasetError as error:
            count += 1
            if count <= SHOWN_PROBLEMS:
                problems.append(str(error))
    if count > SHOWN_PROBLEMS:
        problems.append(f"and {count - SHOWN_PROBLEMS} more cases")
    if problems:
        raise DatasetError("\n".join(problems))
