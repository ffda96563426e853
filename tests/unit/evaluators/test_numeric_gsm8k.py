"""``numeric`` on a real data set, all 1,319 rows of it."""

from decimal import Decimal
from pathlib import Path

import orjson
import pytest

from pacabench.config.evaluators import NumericConfig
from pacabench.config.schema import DatasetConfig, InputMap
from pacabench.datasets.base import Dataset, Place
from pacabench.datasets.load import load_dataset
from pacabench.evaluators.factory import CaseCheck, make_evaluator

EVALUATOR = NumericConfig(type="numeric", expected_extract="#### ([-0-9.,]+)")


@pytest.fixture
def gsm8k(shared_data: Path, tmp_path: Path) -> Dataset:
    config = DatasetConfig(
        name="gsm8k",
        source="test.jsonl",
        input_map=InputMap(input="question", expected="answer"),
        evaluator=EVALUATOR,
    )
    return load_dataset(config, Place(shared_data / "gsm8k", tmp_path))


async def test_every_row_is_judged_like_its_published_answer(
    gsm8k: Dataset, shared_data: Path
) -> None:
    lines = (shared_data / "gsm8k" / "test.jsonl").read_bytes().splitlines()
    answers = [orjson.loads(line)["answer"].split("#### ")[1].replace(",", "") for line in lines]
    evaluator = make_evaluator(EVALUATOR, Path())
    assert len(gsm8k.cases) == len(answers) == 1319
    assert len({case.case_id for case in gsm8k.cases}) == 1319
    assert gsm8k.notices == ()
    check = CaseCheck(evaluator)
    for case in gsm8k.cases:
        check.take(case)
    check.finish()
    for case, answer in zip(gsm8k.cases, answers, strict=True):
        number = Decimal(answer)
        right = await evaluator.evaluate(case, f"So she has ${number:,} in all.")
        wrong = await evaluator.evaluate(case, f"First {answer}, then {number + 1}.")
        assert right.passed, case.where
        assert not wrong.passed, case.where
        assert case.metadata == {}
