"""SQuAD's F1 and exact match: its published examples, and its definition written a second time."""

import itertools
import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacabench.config.evaluators import ExactMatchConfig, F1Config
from pacabench.evaluators.factory import make_evaluator
from pacabench.evaluators.squad import f1, tokens_of
from pacabench.evaluators.text import is_empty
from pacabench.model import JSON, Case

EXACT = ExactMatchConfig(ignore_punctuation=True, ignore_articles=True)
PUBLISHED = [
    # The examples of the metric's page: exact_match and f1 of each, in per cent.
    ("1976", ["1976"], 100.0, 100.0),
    ("1999", ["1976"], 0.0, 0.0),
    ("Beyonce", ["Beyonc\u00e9 and Bruno Mars"], 0.0, 0.0),
    ("climate change", ["climate change"], 100.0, 100.0),
    # Of the dev set, with its three accepted answers.
    ("Santa Clara", ["Santa Clara, California", "Levi's Stadium", "Santa Clara"], 100.0, 100.0),
    ("the Levi's Stadium in Santa Clara", ["Levi's Stadium"], 0.0, 100 * 2 * 2 / 7),
    ("gold", ["gold", "the golden anniversary"], 100.0, 100.0),
]


@pytest.mark.parametrize(("answer", "accepted", "exact", "share"), PUBLISHED)
async def test_the_published_figures(
    answer: str, accepted: list[str], exact: float, share: float
) -> None:
    case = Case("d", "c", input="q", expected=accepted)
    by_exact = await make_evaluator(EXACT, Path()).evaluate(case, answer)
    by_f1 = await make_evaluator(F1Config(type="f1"), Path()).evaluate(case, answer)
    assert 100 * by_exact.score == exact
    assert 100 * by_f1.score == pytest.approx(share)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("The quick, brown fox!", ["quick", "brown", "fox"]),
        ("An apple a day", ["apple", "day"]),
        ("U.S.A.", ["usa"]),
        ("Theatre", ["theatre"]),
        ("a-the", ["athe"]),  # punctuation goes before articles do
        ("L'an 2000", ["lan", "2000"]),
    ],
)
def test_normalisation(text: str, tokens: list[str]) -> None:
    assert tokens_of(text) == tokens


@given(st.lists(st.sampled_from("xyz"), max_size=8), st.lists(st.sampled_from("xyz"), max_size=8))
def test_f1_is_symmetric_and_says_1_for_the_same_words_alone(
    first: list[str], second: list[str]
) -> None:
    score = f1(" ".join(first), " ".join(second))
    assert score == f1(" ".join(second), " ".join(first))
    assert 0 <= score <= 1
    assert (score == 1) == (sorted(first) == sorted(second))


def oracle_tokens(text: str) -> list[str]:
    """SQuAD's normalisation from its description, written without our code and without patterns.

    Lower case; ASCII punctuation left out; a, an and the left out where they stand as whole words,
    which are runs of letters, digits and underscores; split at white space.
    """
    bare = "".join(char for char in text.lower() if char not in string.punctuation)
    runs = itertools.groupby(bare, key=lambda char: char.isalnum() or char == "_")
    words = ["".join(run) for _, run in runs]
    return "".join(" " if word in {"a", "an", "the"} else word for word in words).split()


def oracle(answer: str, accepted: list[str]) -> tuple[float, float]:
    """Exact match and F1 as SQuAD 2.0 defines them: the best of all accepted answers.

    A question whose accepted answers are all empty has none.
    """
    golds = [gold for gold in accepted if oracle_tokens(gold)] or [""]
    said = oracle_tokens(answer)
    exact = max(float(oracle_tokens(gold) == said) for gold in golds)
    shares = []
    for gold in map(oracle_tokens, golds):
        left, common = list(gold), 0
        for token in said:
            if token in left:
                left.remove(token)
                common += 1
        if not gold or not said:
            shares.append(float(gold == said))
        elif not common:
            shares.append(0.0)
        else:
            precision, recall = common / len(said), common / len(gold)
            shares.append(2 * precision * recall / (precision + recall))
    return exact, max(shares)


HARD = st.text(
    st.sampled_from(list("aAnN tThHeE.,'-_!()\u00e9\u00df\u0130\u03a3\u0301\u00a0\u3000\n1x\u4e2d"))
)
WORDS = st.lists(
    st.sampled_from(["a", "An", "THE", "the,", "(a)", "U.S.", "Levi's", "Santa", "santa-clara", "",
                     "2000", "caf\u00e9", "th", "ea", "an\u00e9", "a_b", "\u201cthe\u201d"]),
    max_size=6,
).map(" ".join)  # fmt: skip
TEXTS = st.one_of(HARD, WORDS, st.text(max_size=20))


def has_words(text: str) -> bool:
    """As an accepted text must where nothing is said of questions without an answer."""
    return bool(oracle_tokens(text)) and not is_empty(text)


class TestAgainstTheDefinition:
    @given(TEXTS)
    def test_normalisation(self, text: str) -> None:
        assert tokens_of(text) == oracle_tokens(text)

    @given(TEXTS, st.lists(TEXTS, max_size=4))
    async def test_f1_and_exact_match(self, answer: str, accepted: list[str]) -> None:
        exact, share = oracle(answer, accepted)
        case = Case("d", "c", input="q", expected=list(accepted))
        squad = F1Config(type="f1", no_answer=True)
        by_f1 = await make_evaluator(squad, Path()).evaluate(case, answer)
        assert by_f1.score == pytest.approx(share)
        assert by_f1.passed == (by_f1.score >= 0.5)
        texts = [answer, *accepted]
        if all(text.lower() == text.casefold() for text in texts):  # the one difference
            config = EXACT.model_copy(update={"no_answer": True})
            by_exact = await make_evaluator(config, Path()).evaluate(case, answer)
            assert by_exact.score == exact

    @given(TEXTS, st.lists(TEXTS.filter(has_words), min_size=1, max_size=4))
    async def test_where_every_question_has_an_answer_nothing_has_to_be_said(
        self, answer: str, accepted: list[str]
    ) -> None:
        case = Case("d", "c", input="q", expected=list(accepted))
        evaluator = make_evaluator(F1Config(type="f1"), Path())
        evaluator.check(case)
        assert (await evaluator.evaluate(case, answer)).score == pytest.approx(
            oracle(answer, accepted)[1]
        )


class TestNoAnswer:
    """Questions of SQuAD 2.0 that the text does not answer."""

    @pytest.mark.parametrize("config", [F1Config(type="f1", no_answer=True),
                                        EXACT.model_copy(update={"no_answer": True})])  # fmt: skip
    @pytest.mark.parametrize("expected", [[], "", None, [""], ["The", "."]])
    @pytest.mark.parametrize(
        ("answer", "score"), [("", 1.0), (" \n", 1.0), ("the", 1.0), ("1066", 0.0)]
    )
    async def test_nothing_is_right_and_something_wrong(
        self, config: F1Config | ExactMatchConfig, expected: JSON, answer: str, score: float
    ) -> None:
        evaluator = make_evaluator(config, Path())
        case = Case("d", "c", input="q", expected=expected)
        evaluator.check(case)
        assert (await evaluator.evaluate(case, answer)).score == score
        assert not (await evaluator.evaluate(case, None)).passed

    async def test_an_answer_where_there_is_one(self) -> None:
        evaluator = make_evaluator(F1Config(type="f1", no_answer=True), Path())
        case = Case("d", "c", input="q", expected=["France", "in France"])
        assert (await evaluator.evaluate(case, "")).score == 0.0
        assert (await evaluator.evaluate(case, "France")).score == 1.0
