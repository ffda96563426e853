"""Texts as SQuAD's evaluation script compares them.

Lower case, without ASCII punctuation, without the articles a, an and the, white space folded; and
the F1 of the tokens that remain, counted as often as they occur. Rajpurkar et al. 2016 (1.1), and
2018 (2.0) for texts of which nothing remains.
"""

import re
import string
from collections import Counter
from collections.abc import Iterable

_PUNCTUATION = dict.fromkeys(map(ord, string.punctuation))
_ARTICLES = re.compile(r"\b(?:a|an|the)\b", re.IGNORECASE)


def without_punctuation(text: str) -> str:
    """``text`` without ASCII punctuation."""
    return text.translate(_PUNCTUATION)


def without_articles(text: str) -> str:
    """``text`` with a space for each English article."""
    return _ARTICLES.sub(" ", text)


def tokens_of(text: str) -> list[str]:
    """What SQuAD compares of ``text``."""
    return without_articles(without_punctuation(text.lower())).split()


def f1(answer: str, expected: str) -> float:
    """Harmonic mean of precision and recall of the answer's tokens."""
    said, wanted = tokens_of(answer), tokens_of(expected)
    if not said or not wanted:
        return float(said == wanted)
    common = (Counter(said) & Counter(wanted)).total()
    return 2 * common / (len(said) + len(wanted))


def best_f1(answer: str, expected: Iterable[str]) -> float:
    """The best F1 with any of the accepted texts."""
    return max((f1(answer, text) for text in expected), default=0.0)
