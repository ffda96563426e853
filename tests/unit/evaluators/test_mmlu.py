"""All of MMLU's development set, and stated answers: the letter that reference harnesses read."""

import re
from pathlib import Path
from typing import Any

import pytest
from mmlu import EVALUATOR, FLEXIBLE, ROWS, STRICT

from pacabench.config.evaluators import MultipleChoiceConfig
from pacabench.evaluators.factory import make_evaluator
from pacabench.model import Case


async def passes(row: dict[str, Any], answer: str) -> bool:
    evaluator = make_evaluator(MultipleChoiceConfig.model_validate(EVALUATOR), Path())
    case = Case(
        "mmlu",
        row["id"],
        input=row["question"],
        expected=row["answer"],
        metadata={"choices": row["choices"]},
        where=row["id"],
    )
    evaluator.check(case)
    return (await evaluator.evaluate(case, answer)).passed


def test_is_there() -> None:
    assert len(ROWS) == 281
    assert len({row["id"].partition("/")[0] for row in ROWS}) == 57


async def test_every_published_answer_is_read_as_the_reference_reads_it() -> None:
    for row in ROWS:
        strict = STRICT.search(row["reasoning"])
        assert strict is not None
        assert strict[0].strip("()") == row["answer"], row["id"]
        assert FLEXIBLE.findall(row["reasoning"])[-1] == f"({row['answer']})", row["id"]
        assert await passes(row, row["reasoning"]), row["id"]


@pytest.mark.parametrize("form", ["{}", "({})", "**{}**", "Answer: {}", "The answer is ({})."])
async def test_another_letter_is_wrong_and_the_right_one_right_in_any_form(form: str) -> None:
    for number, row in enumerate(ROWS):
        others = [letter for letter in "ABCD" if letter != row["answer"]]
        assert await passes(row, form.format(row["answer"])), row["id"]
        assert not await passes(row, form.format(others[number % 3])), row["id"]


async def test_a_chain_of_thought_that_ends_with_another_letter_is_wrong() -> None:
    for row in ROWS:
        other = "A" if row["answer"] != "A" else "B"
        wrong = row["reasoning"].replace(f"answer is ({row['answer']})", f"answer is ({other})")
        assert wrong != row["reasoning"], row["id"]
        assert not await passes(row, wrong), row["id"]


# How two other public harnesses read a letter: MMLU-Pro's script (Wang et al., 2024), by its first
# pattern and else its second, and simple-evals, whose prompt asks for `Answer: $LETTER` (there of
# four letters, here of ten).
PRO = (re.compile(r"answer is \(?([A-J])\)?"), re.compile(r".*[aA]nswer:\s*([A-J])"))
SIMPLE = re.compile(r"(?i)Answer[ \t]*:[ \t]*\$?([A-J])\$?")
TEN = {letter: f"option number {number}" for number, letter in enumerate("ABCDEFGHIJ")}
STATED = [
    "The answer is ({}).",
    "The answer is {}.",
    "Let's think step by step. A cell is a unit. I see two ways. The answer is ({}).",
    "I think that a wall blocks B-waves.\n\nTherefore, the answer is ({})",
    "So the correct answer is ({}) because of the rest.",
    "Answer: {}",
    "Answer: ${}$",
    "Some reasoning about A and I.\n\nAnswer: {}",
    "**Some** reasoning.\nanswer: {}\n",
    "First the answer is unclear. Thus the answer is ({}).",
]


@pytest.mark.parametrize("letter", list(TEN))
@pytest.mark.parametrize("form", STATED)
async def test_what_other_harnesses_read_in_a_stated_answer_is_read(form: str, letter: str) -> None:
    answer = form.format(letter)
    read = [match[1] for pattern in (*PRO, SIMPLE) if (match := pattern.search(answer))]
    assert set(read) == {letter}
    evaluator = make_evaluator(MultipleChoiceConfig.model_validate(EVALUATOR), Path())
    for option in TEN:
        case = Case("pro", "c", input="q", expected=option, metadata={"choices": TEN})
        assert (await evaluator.evaluate(case, answer)).passed == (option == letter)
