"""SQuAD's F1 and exact match, on the examples that its metric is published with."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacabench.config.evaluators import ExactMatchConfig, F1Config
from pacabench.evaluators.factory import make_evaluator
from pacabench.evaluators.squad import f1, tokens_of
from pacabench.model import Case

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
