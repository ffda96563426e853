"""Evaluators as the YAML has them, by ``type``; the code is in ``pacabench.evaluators``."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from pacabench.config.base import EnvName, Section
from pacabench.config.patterns import OneGroup, Pattern
from pacabench.config.provider_names import ProviderName
from pacabench.config.references import FunctionReference
from pacabench.config.schemas import JsonSchema
from pacabench.config.units import Bytes


def _file_pattern(pattern: str) -> str:
    if pattern.startswith("/") or ".." in pattern.split("/") or not pattern.isprintable():
        raise ValueError(f"{pattern!r} must name files below the agent's work directory")
    return pattern


FilePattern = Annotated[
    str, StringConstraints(min_length=1, max_length=200), AfterValidator(_file_pattern)
]
Threshold = Annotated[float, Field(ge=0, le=1)]
NoAnswer = Annotated[
    bool,
    Field(
        description="An empty `expected` means that the question has no answer, as in SQuAD 2.0: "
        "an empty answer is right."
    ),
]
Fallback = Literal["f1", "judge", "none"]
PLACEHOLDERS = ("answer", "input", "expected", "rubric")
MOST_PARTS = 20
"""Of one ``all_of``, ``any_of`` or ``weighted``."""


def _judge_prompt(text: str) -> str:
    if "{answer}" not in text:
        raise ValueError("must have {answer} in it, where the answer to judge goes")
    return text


JudgePrompt = Annotated[str, AfterValidator(_judge_prompt)]


class ExactMatchConfig(Section):
    """Equal as text, after normalisation."""

    type: Literal["exact_match"] = "exact_match"
    ignore_case: bool = True
    ignore_whitespace: bool = Field(
        default=True, description="Strip the ends and fold inner white space to one space."
    )
    ignore_punctuation: bool = Field(
        default=False, description="Leave out ASCII punctuation, as SQuAD does."
    )
    ignore_articles: bool = Field(
        default=False, description="Leave out the words a, an and the, as SQuAD does."
    )
    normal_form: Literal["none", "NFC", "NFKC"] = Field(
        default="none", description="Unicode normalisation before anything is compared."
    )
    no_answer: NoAnswer = False


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


class F1Config(Section):
    """Token F1 as SQuAD defines it; of a list of expected texts, the best one counts."""

    type: Literal["f1"]
    threshold: Threshold = Field(default=0.5, description="The least F1 that passes.")
    no_answer: NoAnswer = False


class SimilarityConfig(Section):
    """Likeness of two texts, 0 to 1; of a list of expected texts, the best one counts."""

    type: Literal["similarity"]
    metric: Literal["ratio", "token_sort_ratio", "token_set_ratio", "jaro_winkler"] = "ratio"
    threshold: Threshold = Field(default=0.9, description="The least likeness that passes.")
    ignore_case: bool = True
    ignore_whitespace: bool = True


class JsonMatchConfig(Section):
    """The answer is JSON: equal to ``expected``, or holding it, or fitting a schema."""

    type: Literal["json_match"]
    mode: Literal["equal", "subset", "schema"] = Field(
        default="equal",
        description="subset: objects of the answer may have further keys. schema: `expected` "
        "plays no part.",
    )
    json_schema: JsonSchema | None = Field(
        default=None, description="A JSON Schema that the answer has to fit."
    )
    tolerance: float = Field(
        default=0.0, ge=0, description="Largest absolute difference of two numbers."
    )
    ignore_order: bool = Field(default=False, description="Of the entries of lists.")
    ignore_case: bool = Field(default=False, description="Of texts; never of keys.")

    @model_validator(mode="after")
    def _schema_is_there(self) -> Self:
        if self.mode == "schema" and self.json_schema is None:
            raise ValueError("`mode: schema` needs `json_schema`")
        return self


class LlmJudgeConfig(Section):
    """Another model judges the answer, with a verdict, or with a score by a rubric."""

    type: Literal["llm_judge"]
    model: str = Field(min_length=1)
    prompt: JudgePrompt | None = Field(
        default=None,
        description="In place of PacaBench's own; {answer} must be in it, {input}, {expected} and "
        "{rubric} may be.",
    )
    rubric: str | None = Field(
        default=None, min_length=1, description="Then the judge gives points in place of a verdict."
    )
    max_points: int = Field(default=10, ge=1, le=1000, description="Of a rubric.")
    threshold: Threshold = Field(default=0.5, description="Of a rubric: the least share of points.")
    votes: int = Field(default=1, ge=1, le=25, description="Judges that are asked; the most win.")
    temperature: float | None = Field(default=None, ge=0, le=2)
    structured: bool = Field(
        default=True, description="Ask the provider for JSON by its schema; false where it cannot."
    )
    provider: ProviderName | None = Field(
        default=None, description="Default: the one of `config.proxy`."
    )
    base_url: str | None = None
    api_key_env: EnvName | None = None
    api_key: str | None = Field(default=None, description="Better named by `api_key_env`.")
    max_retries: int = Field(
        default=2, ge=0, le=20, description="Of one vote, after a reply that is no verdict."
    )
    timeout_seconds: float = Field(default=300.0, gt=0, le=86400, description="Of one call.")

    @model_validator(mode="after")
    def _can_be_decided(self) -> Self:
        if self.rubric is None and self.votes % 2 == 0:
            raise ValueError("`votes` must be an odd number, so that they cannot be even")
        if self.api_key is not None and self.api_key_env is not None:
            raise ValueError("give either `api_key` or `api_key_env`, not both")
        return self


class OlderSpelling(Section):
    """Where older files of this format say how ``multiple_choice`` falls back."""

    fallback: Fallback | None = None


class MultipleChoiceConfig(Section):
    """The answer names one of the options, by its letter or its text."""

    type: Literal["multiple_choice"]
    choices: str | tuple[str, ...] | None = Field(
        default="choices",
        description="The column with the options, or one column per option. null: letters alone.",
    )
    expected_is: Literal["auto", "letter", "index", "text"] = Field(
        default="auto", description="What `expected` says of the right option. An index is from 0."
    )
    fallback: Fallback = Field(
        default="none", description="What judges an answer in which no option can be read."
    )
    judge: LlmJudgeConfig | None = Field(default=None, description="Of `fallback: judge`.")
    threshold: Threshold = Field(default=0.5, description="Of `fallback: f1`.")

    extra_config: OlderSpelling | None = Field(
        default=None, description="An older spelling of `fallback`; what stands there wins."
    )

    @property
    def last_resort(self) -> Fallback:
        """``fallback``, wherever it stands."""
        older = self.extra_config.fallback if self.extra_config is not None else None
        return older or self.fallback

    @model_validator(mode="after")
    def _judge_is_there(self) -> Self:
        if self.last_resort == "judge" and self.judge is None:
            raise ValueError("`fallback: judge` needs `judge: {type: llm_judge, model: ...}`")
        return self


class PythonConfig(Section):
    """The user's own function. Trusted code: it runs in the harness, with the user's rights."""

    type: Literal["python"]
    function: FunctionReference = Field(
        description="`module:function`, in the YAML's directory or installed."
    )
    timeout_seconds: float = Field(default=60.0, gt=0, le=86400, description="Per answer.")


class CommandConfig(Section):
    """A program in a container of its own looks at the answer. Never in the agent's container."""

    type: Literal["command"]
    command: str = Field(min_length=1, description="A shell command line, run in `source`.")
    source: Path | None = Field(
        default=None, description="Directory with the program. Default: that of this file."
    )
    requirements: Path | None = None
    image: str | None = Field(default=None, min_length=1)
    files: Annotated[tuple[FilePattern, ...], Field(max_length=100)] = Field(
        default=(),
        description="Patterns of files that the agent left in its work directory: `out/*.csv`, "
        "`**/*.py`, or a directory's name. The program gets copies of them.",
    )
    memory: Bytes = 1024**3
    cpus: float = Field(default=1.0, gt=0, le=1024)
    pids: int = Field(default=256, ge=8, le=100_000)
    timeout_seconds: float = Field(default=60.0, gt=0, le=86400, description="Per answer.")


class AllOfConfig(Section):
    """Every part passes. The first that does not ends it; the score is the lowest."""

    type: Literal["all_of"]
    of: "Parts"


class AnyOfConfig(Section):
    """At least one part passes. The first that does ends it; the score is the highest."""

    type: Literal["any_of"]
    of: "Parts"


class WeightedPart(Section):
    """One of the parts of ``weighted``."""

    weight: float = Field(default=1.0, gt=0, le=1_000_000)
    evaluator: "EvaluatorConfig"


class WeightedConfig(Section):
    """The mean of all parts' scores, by weight."""

    type: Literal["weighted"]
    of: Annotated[tuple[WeightedPart, ...], Field(min_length=1, max_length=MOST_PARTS)]
    threshold: Threshold = Field(default=0.5, description="The least mean that passes.")


EvaluatorConfig = Annotated[
    ExactMatchConfig
    | ContainsConfig
    | RegexConfig
    | NumericConfig
    | F1Config
    | MultipleChoiceConfig
    | JsonMatchConfig
    | SimilarityConfig
    | PythonConfig
    | CommandConfig
    | LlmJudgeConfig
    | AllOfConfig
    | AnyOfConfig
    | WeightedConfig,
    Field(discriminator="type"),
]


def parts_of(config: EvaluatorConfig) -> tuple[EvaluatorConfig, ...]:
    """The evaluators that ``config`` is put together from; none for a simple one."""
    match config:
        case AllOfConfig() | AnyOfConfig():
            return config.of
        case WeightedConfig():
            return tuple(part.evaluator for part in config.of)
        case MultipleChoiceConfig():
            return (config.judge,) if config.judge is not None else ()
        case _:
            return ()


def every_part(config: EvaluatorConfig) -> Iterator[EvaluatorConfig]:
    """``config`` and, at any depth, what it is put together from."""
    yield config
    for part in parts_of(config):
        yield from every_part(part)


Parts = Annotated[tuple[EvaluatorConfig, ...], Field(min_length=1, max_length=MOST_PARTS)]

for _model in (AllOfConfig, AnyOfConfig, WeightedPart, WeightedConfig):
    _model.model_rebuild()
