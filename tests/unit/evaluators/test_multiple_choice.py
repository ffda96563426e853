"""Reading options: agreement with the field's patterns, shapes of options, hostile texts."""

import re
import time
from pathlib import Path
from typing import Any

import pytest

from pacabench.config.evaluators import MultipleChoiceConfig
from pacabench.errors import DatasetError
from pacabench.evaluators.choice_reading import MAX_CHARACTERS, ChoiceReader
from pacabench.evaluators.choices import Options
from pacabench.evaluators.factory import make_evaluator
from pacabench.model import JSON, Case

TEN = Options({letter: f"option {number}x" for number, letter in enumerate("ABCDEFGHIJ")})
FOUR = {"A": "Paris", "B": "Lyon", "C": "Nice", "D": "Lille"}
# What MMLU-Pro and OpenAI's simple-evals look for; each in the forms that its prompt asks for.
MMLU_PRO = re.compile(r"answer is \(?([A-J])\)?")
SIMPLE_EVALS = re.compile(r"(?i)Answer[ \t]*:[ \t]*\$?([A-J])\$?")
FORMS = [
    (MMLU_PRO, "Let's think step by step. A cell is a unit of life. The answer is ({})."),
    (MMLU_PRO, "So we get I = 5 A and the answer is {}."),
    (MMLU_PRO, "the answer is ({})"),
    (SIMPLE_EVALS, "A long way of thinking.\n\nAnswer: {}"),
    (SIMPLE_EVALS, "Answer: ${}$"),
    (SIMPLE_EVALS, "I think so.\nANSWER : {}"),
    (SIMPLE_EVALS, "answer:{}\n"),
]


@pytest.mark.parametrize("letter", "ABCDEFGHIJ")
@pytest.mark.parametrize(("reference", "form"), FORMS)
def test_agrees_with_the_reference_on_the_forms_it_asks_for(
    reference: re.Pattern[str], form: str, letter: str
) -> None:
    answer = form.format(letter)
    found = reference.search(answer)
    assert found is not None
    assert ChoiceReader(TEN).read(answer)[0] == found[1] == letter


@pytest.mark.parametrize("letter", "ABCDEFGHIJ")
@pytest.mark.parametrize(
    "form", ["{}", "({})", "{}.", "**{}**", "**({})**", "{})", "`{}`", "Option {}", "{}: because"]
)
def test_a_letter_in_any_dress(form: str, letter: str) -> None:
    assert ChoiceReader(TEN).read(form.format(letter))[0] == letter


@pytest.mark.parametrize(
    "answer",
    [
        "A nice day.",
        "The answer is a matter of taste.",
        "The answer is A matter of taste.",
        "I am not sure.",
        "The answer: I don't know",
        "A",  # the control: that one is a letter
    ],
)
def test_articles_and_pronouns_are_no_letters(answer: str) -> None:
    assert (ChoiceReader(TEN).read(answer)[0] is None) == (answer != "A")


async def judged(expected: JSON, answer: str, metadata: dict[str, Any], **options: Any) -> bool:
    config = MultipleChoiceConfig(type="multiple_choice", **options)
    case = Case("d", "c", input="q", expected=expected, metadata=metadata, where="d:1")
    evaluator = make_evaluator(config, Path())
    evaluator.check(case)
    return (await evaluator.evaluate(case, answer)).passed


class TestOptions:
    @pytest.mark.parametrize(
        ("metadata", "options"),
        [
            ({"choices": list(FOUR.values())}, {}),
            ({"choices": FOUR}, {}),
            ({"choices": {"label": list("ABCD"), "text": list(FOUR.values())}}, {}),
            ({"qa": {"options": FOUR}}, {"choices": "qa.options"}),
            (FOUR, {"choices": ("A", "B", "C", "D")}),
            ({}, {"choices": None}),
        ],
    )
    async def test_come_in_every_shape(
        self, metadata: dict[str, Any], options: dict[str, Any]
    ) -> None:
        assert await judged("B", "The answer is B.", metadata, **options)
        assert not await judged("B", "The answer is C.", metadata, **options)

    @pytest.mark.parametrize("answer", ["The answer is B", "A good question. The answer is B"])
    async def test_an_article_or_a_word_before_it_is_never_taken_for_the_choice(
        self, answer: str
    ) -> None:
        assert not await judged("A", answer, {"choices": FOUR})
        assert await judged("B", answer, {"choices": FOUR})

    async def test_may_be_columns_that_agents_do_not_see(self) -> None:
        case = Case("d", "c", input="q", expected="B", withheld={"choices": FOUR}, where="d:1")
        evaluator = make_evaluator(MultipleChoiceConfig(type="multiple_choice"), Path())
        evaluator.check(case)
        assert (await evaluator.evaluate(case, "Lyon")).passed

    async def test_labels_may_be_numbers(self) -> None:
        options = {"choices": {"label": ["1", "2", "10"], "text": ["x", "y", "z"]}}
        assert await judged("10", "The answer is 10.", options)
        assert not await judged("1", "The answer is 10.", options)

    @pytest.mark.parametrize(
        ("choices", "problem"),
        [
            (["only one"], "at least two options"),
            ("A, B", "must be a list of up to 26 texts"),
            ({"label": ["A"], "text": ["x", "y"]}, "lists of the same length"),
            ({"label": ["A", "A"], "text": ["x", "y"]}, "the letter A stands twice"),
            ({"first": "x", "second": "y"}, "is no letter of an option"),
        ],
    )
    async def test_what_is_no_option_is_named(self, choices: JSON, problem: str) -> None:
        with pytest.raises(DatasetError, match=problem):
            await judged("A", "A", {"choices": choices})

    async def test_what_could_mean_two_options_is_refused_until_it_is_said(self) -> None:
        options = {"choices": ["B", "A", "C"]}
        with pytest.raises(DatasetError, match="could mean A by letter, B by text; say which"):
            await judged("A", "A", options)
        assert await judged("A", "The answer is B.", options, expected_is="text")
        numbers = {"choices": [0, 2, 1]}
        with pytest.raises(DatasetError, match="could mean B by index, C by text"):
            await judged(1, "B", numbers)
        assert await judged(1, "B", numbers, expected_is="index")


@pytest.mark.parametrize(
    "piece",
    ["(A", "**", "answer is ", "\\boxed{", "not ", "A. x\n", "Lyon ", "I ", "((((", "option x "],
)
def test_the_longest_hostile_text_is_read_in_seconds(piece: str) -> None:
    text = piece * (MAX_CHARACTERS // len(piece))
    began = time.process_time()
    ChoiceReader(Options({**FOUR, "I": "option x"})).read(text)
    assert time.process_time() - began < 5


PLACES = Options({"A": "Paris", "B": "Lyon", "C": "New York", "D": "York"})


@pytest.mark.parametrize(
    "answer",
    [
        "The answer is A or B",
        "The answer is A, B",
        "The answer is A/B",
        "The answer is (A) and (B).",
        "The answer is (A) Paris or (B) Lyon.",
        "The answer is **A** or **B**",
        "The answer is B, C, or D.",
        "Answer: B or C, I think",
        "the answer is (b) or (c)",
        "The answer is option B or option C",
        "The answer is B. Or the answer is A or C.",
        "A) Paris or B) Lyon",
    ],
)
def test_a_statement_that_names_several_settles_for_none(answer: str) -> None:
    assert ChoiceReader(PLACES).read(answer)[0] is None


@pytest.mark.parametrize(
    "answer",
    [
        "The answer is B, C is wrong.",
        "The answer is B, C and D are wrong.",
        "The answer is B, not C.",
        "The answer is B and a dog.",
        "The answer is B or B.",
        "The answer is A or C. No: the answer is B.",
        "The answer is A or B.\n\n**B**",
        "B) Lyon, A) Paris is wrong",
    ],
)
def test_what_else_is_said_of_options_takes_nothing_back(answer: str) -> None:
    assert ChoiceReader(PLACES).read(answer)[0] == "B"


@pytest.mark.parametrize(
    "answer", ["The answer is A" + " or A" * 20_000 + " x", "The answer is A, B" * 5_000]
)
def test_a_list_without_an_end_is_read_in_time(answer: str) -> None:
    began = time.process_time()
    ChoiceReader(PLACES).read(answer)
    assert time.process_time() - began < 5


@pytest.mark.parametrize(
    ("answer", "label"),
    [
        ("The answer is \u212a", None),
        ("The answer is B or (\u212a)", "B"),
        ("The answer is (\u0130)", None),
        ("The answer is \\1 or B", None),
    ],
)
def test_letters_that_only_look_like_labels_are_none(answer: str, label: str | None) -> None:
    options = Options({**dict.fromkeys("ABIKS", ""), "\\1": "text"})
    assert ChoiceReader(options).read(answer)[0] == label
