"""What ``evaluator:`` may say. One model per ``type``; the code is in ``pacabench.evaluators``."""

from typing import Annotated, Literal

from pydantic import Field

from pacabench.config.base import Section
from pacabench.config.patterns import OneGroup, Pattern


class ExactMatchConfig(Section):
    """Equal as text, after normalisation."""

    type: Literal["exact_match"] = "exact_match"
    ignore_case: bool = True
    ignore_whitespace: bool = Field(
        default=True, description="Strip the ends and fold inner white space to one space."
    )


class ContainsConfig(Section):
    """The answer holds the expected text; with a list, any (or all) of its entries."""

    type: Literal["contains"]
    ignore_case: bool = True
    require: Literal["any", "all"] = "any"


class RegexConfig(Section):
    """A pattern is found in the answer. Without ``pattern`` the expected value is the pattern."""

    type: Literal["regex"]
    pattern: Pattern | None = Field(
        default=None,
        description="Searched in the answer. With one group, the last match's group is compared "
        "with `expected`.",
    )
    ignore_case: bool = False


class NumericConfig(Section):
    """Equal as decimal numbers. The last match of each ``extract`` pattern wins."""

    type: Literal["numeric"]
    extract: OneGroup | None = Field(
        default=None, description="One group that holds the number in the answer."
    )
    expected_extract: OneGroup | None = Field(
        default=None, description="One group that holds the number in `expected`."
    )
    tolerance: float = Field(default=0.0, ge=0, description="Largest absolute difference.")


class LlmJudgeConfig(Section):
    """Another model judges the answer. Can be written, cannot run yet."""

    type: Literal["llm_judge"]
    model: str
    prompt: str | None = None


EvaluatorConfig = Annotated[
    ExactMatchConfig | ContainsConfig | RegexConfig | NumericConfig | LlmJudgeConfig,
    Field(discriminator="type"),
]
