"""What every evaluator promises, whatever its type."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import get_args

import orjson
import pytest

from pacabench.config.evaluators import (
    AllOfConfig,
    AnyOfConfig,
    ContainsConfig,
    EvaluatorConfig,
    ExactMatchConfig,
    F1Config,
    JsonMatchConfig,
    MultipleChoiceConfig,
    NumericConfig,
    RegexConfig,
    SimilarityConfig,
    WeightedConfig,
    WeightedPart,
)
from pacabench.errors import DatasetError
from pacabench.evaluators.base import Evaluator
from pacabench.evaluators.factory import make_evaluator
from pacabench.model import JSON, Case

UNION = get_args(EvaluatorConfig)[0]
CONFIGS: dict[str, EvaluatorConfig] = {
    "exact_match": ExactMatchConfig(),
    "exact_match as it stands": ExactMatchConfig(ignore_case=False, ignore_whitespace=False),
    "contains": ContainsConfig(type="contains"),
    "contains all": ContainsConfig(type="contains", require="all"),
    "regex": RegexConfig(type="regex"),
    "regex with a group": RegexConfig(type="regex", pattern="([0-9]+)"),
    "numeric": NumericConfig(type="numeric"),
    "numeric with patterns": NumericConfig(
        type="numeric", extract="([0-9]+)", expected_extract="([0-9]+)"
    ),
    "f1": F1Config(type="f1"),
    "multiple_choice": MultipleChoiceConfig(type="multiple_choice"),
    "multiple_choice with f1": MultipleChoiceConfig(type="multiple_choice", fallback="f1"),
    "json_match": JsonMatchConfig(type="json_match"),
    "json_match with a schema": JsonMatchConfig(
        type="json_match",
        mode="subset",
        ignore_order=True,
        json_schema={"uniqueItems": True, "additionalProperties": {"pattern": "^[0-9]*$"}},
    ),
    "similarity": SimilarityConfig(type="similarity"),
    "all_of": AllOfConfig(type="all_of", of=(ExactMatchConfig(), ContainsConfig(type="contains"))),
    "any_of": AnyOfConfig(type="any_of", of=(F1Config(type="f1"), NumericConfig(type="numeric"))),
    "weighted": WeightedConfig(
        type="weighted", of=(WeightedPart(evaluator=ExactMatchConfig(), weight=2),)
    ),
}
CASE = Case(
    dataset="set",
    case_id="c\x1b[31m",
    input="q",
    expected="42",
    metadata={"choices": {"41": "forty-one", "42": "forty-two"}},
    where="d.jsonl:7",
)
EMPTY: list[JSON] = [None, "", " \n\t", "\u200b\u00a0", [], {}]
EMPTY_ENTRY: list[JSON] = [[""], ["a", None], [[]]]
ONE_VALUE = {"json_match", "json_match with a schema"}
"""A list is what these compare with, and no list of accepted answers."""
HOSTILE: dict[str, JSON] = {
    "nothing": "",
    "controls": "\x1b]0;x\x07\x00\r\n\u202e42\u0000",
    "astral": "\U0001f999" * 1000,
    "huge number": "9" * 100_000,
    "huge exponent": "1e999999999",
    "10 MB": "x" * 10_000_000,
    "10 MB of digits": "4" * 10_000_000,
    "10 MB of space": " " * 10_000_000,
    "combining marks": "a" + "\u0301\u0327" * 500_000,
    "a list": [1, "42", None, {"a": [True]}],
    "an object": {"output": "42", "passed": True, "score": 1.0},
    "deep": orjson.loads(b"[" * 1000 + b"]" * 1000),
    "true": True,
    "a float": -0.0,
    "a large integer": 2**64 - 1,
    "a large float": 1.7976931348623157e308,
}


@pytest.fixture(params=CONFIGS, ids=list(CONFIGS))
def evaluator(request: pytest.FixtureRequest) -> Evaluator:
    return make_evaluator(CONFIGS[request.param], Path())


@pytest.mark.parametrize("expected", EMPTY, ids=repr)
def test_an_empty_expected_is_refused_with_its_place(evaluator: Evaluator, expected: JSON) -> None:
    with pytest.raises(DatasetError, match=r"dataset 'set': d\.jsonl:7: case ") as caught:
        evaluator.check(replace(CASE, expected=expected))
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("name", sorted(CONFIGS.keys() - ONE_VALUE))
@pytest.mark.parametrize("expected", EMPTY_ENTRY, ids=repr)
def test_an_empty_accepted_answer_is_refused(name: str, expected: JSON) -> None:
    with pytest.raises(DatasetError, match="is empty"):
        make_evaluator(CONFIGS[name], Path()).check(replace(CASE, expected=expected))


async def test_the_right_answer_passes_and_a_wrong_one_fails(evaluator: Evaluator) -> None:
    evaluator.check(CASE)
    right = await evaluator.evaluate(CASE, "42")
    assert (right.passed, right.score) == (True, 1.0)
    wrong = await evaluator.evaluate(CASE, "41")
    assert not wrong.passed
    assert wrong.score < 1


async def test_the_same_answer_gets_the_same_verdict_in_any_order(evaluator: Evaluator) -> None:
    answers: list[JSON] = ["42", "41", 42, None, "42"]
    first = [await evaluator.evaluate(CASE, answer) for answer in answers]
    second = [await evaluator.evaluate(CASE, answer) for answer in reversed(answers)]
    assert first == second[::-1]


async def test_null_is_no_answer(evaluator: Evaluator) -> None:
    evaluation = await evaluator.evaluate(CASE, None)
    assert (evaluation.passed, evaluation.score) == (False, 0.0)


@pytest.mark.parametrize("name", HOSTILE)
async def test_whatever_an_agent_writes_gets_a_verdict(evaluator: Evaluator, name: str) -> None:
    evaluation = await evaluator.evaluate(CASE, HOSTILE[name])
    assert 0 <= evaluation.score <= 1
    written = orjson.dumps(asdict(evaluation))
    assert len(written) < 20_000


@pytest.mark.parametrize("name", HOSTILE)
async def test_whatever_a_data_set_expects_is_refused_or_gets_a_verdict(
    evaluator: Evaluator, name: str
) -> None:
    case = replace(CASE, expected=HOSTILE[name])
    try:
        evaluator.check(case)
    except DatasetError:
        return
    evaluation = await evaluator.evaluate(case, "42")
    assert len(orjson.dumps(asdict(evaluation))) < 20_000


def test_every_evaluator_of_this_version_is_here() -> None:
    kinds = {get_args(kind.model_fields["type"].annotation)[0] for kind in get_args(UNION)}
    assert kinds - {"llm_judge", "python", "command"} == {
        config.type for config in CONFIGS.values()
    }
