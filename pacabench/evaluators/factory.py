"""Makes evaluators, and lets them see the cases before any agent runs."""

from collections.abc import Iterable
from typing import assert_never

from pacabench.config.evaluators import (
    ContainsConfig,
    EvaluatorConfig,
    ExactMatchConfig,
    LlmJudgeConfig,
    NumericConfig,
    RegexConfig,
)
from pacabench.errors import ConfigError, DatasetError
from pacabench.evaluators.base import Evaluator
from pacabench.evaluators.contains import Contains
from pacabench.evaluators.exact_match import ExactMatch
from pacabench.evaluators.numeric import Numeric
from pacabench.evaluators.regex import Regex
from pacabench.model import Case

SHOWN_PROBLEMS = 20


def make_evaluator(config: EvaluatorConfig) -> Evaluator:
    """The evaluator that ``config`` describes.

    Raises:
        ConfigError: its type can be written, but is not in this version.
    """
    match config:
        case ExactMatchConfig():
            return ExactMatch(config)
        case ContainsConfig():
            return Contains(config)
        case RegexConfig():
            return Regex(config)
        case NumericConfig():
            return Numeric(config)
        case LlmJudgeConfig():
            raise ConfigError(
                "evaluator `llm_judge` is not in this version; there are: exact_match, contains, "
                "regex, numeric"
            )
        case _:
            assert_never(config)


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
