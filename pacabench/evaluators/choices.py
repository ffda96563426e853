"""The options of a multiple-choice question, and which one is right."""

import string
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pacabench.config.evaluators import MultipleChoiceConfig
from pacabench.evaluators.columns import column_of
from pacabench.evaluators.text import bad_case, is_empty, text_of
from pacabench.model import JSON, Case

LETTERS = string.ascii_uppercase
Wanted = Literal["auto", "letter", "index", "text"]


@dataclass(frozen=True, slots=True)
class Options:
    """Labels to texts, in order; a text is empty where only the letters are known."""

    texts: Mapping[str, str]

    def right(self, expected: JSON, wanted: Wanted) -> str:
        """The label that ``expected`` means.

        Raises:
            ValueError: it means none, or could mean two; says why.
        """
        readings = {
            "letter": self._by_letter(expected),
            "index": self._by_index(expected),
            "text": self._by_text(expected),
        }
        chosen = readings if wanted == "auto" else {wanted: readings[wanted]}
        found = {label for label in chosen.values() if label is not None}
        if not found:
            raise ValueError(f"`expected` names none of the options {', '.join(self.texts)}")
        if len(found) > 1:
            ways = ", ".join(f"{label} by {way}" for way, label in chosen.items() if label)
            raise ValueError(f"`expected` could mean {ways}; say which with `expected_is`")
        return found.pop()

    def _by_letter(self, expected: JSON) -> str | None:
        if not isinstance(expected, str):
            return None
        bare = expected.strip().strip("().").upper()
        return next((label for label in self.texts if label.upper() == bare), None)

    def _by_index(self, expected: JSON) -> str | None:
        if isinstance(expected, bool) or not isinstance(expected, int):
            return None
        labels = list(self.texts)
        return labels[expected] if 0 <= expected < len(labels) else None

    def _by_text(self, expected: JSON) -> str | None:
        wanted = folded(text_of(expected) or "")
        same = [label for label, text in self.texts.items() if text and folded(text) == wanted]
        return same[0] if len(same) == 1 else None


def folded(text: str) -> str:
    """``text`` as options are compared: white space, case and a full stop play no part."""
    return " ".join(text.split()).strip(" .").casefold()


def options_of(case: Case, config: MultipleChoiceConfig) -> Options | None:
    """The options of ``case``; None where its row has none.

    Raises:
        DatasetError: what stands there are no options.
    """
    if config.choices is None:
        return Options(dict.fromkeys(LETTERS, ""))
    if isinstance(config.choices, tuple):
        value: JSON = [column_of(case, column) for column in config.choices]
    else:
        value = column_of(case, config.choices)
    if is_empty(value):
        return None
    try:
        texts = _texts(value)
    except ValueError as error:
        raise bad_case(case, f"choices: {error}") from None
    return Options(texts)


def _texts(value: JSON) -> dict[str, str]:
    """From a list of texts, ``{letter: text}``, or ``{"text": [...], "label": [...]}``."""
    if isinstance(value, dict) and isinstance(value.get("text"), list):
        labels, entries = value.get("label"), value["text"]
        if not isinstance(labels, list) or len(labels) != len(entries):
            raise ValueError("`label` and `text` must be lists of the same length")
        pairs = list(zip(labels, entries, strict=True))
    elif isinstance(value, dict):
        pairs = list(value.items())
    elif isinstance(value, list) and len(value) <= len(LETTERS):
        pairs = list(zip(LETTERS, value, strict=False))
    else:
        raise ValueError(f"must be a list of up to {len(LETTERS)} texts, or letters with texts")
    found: dict[str, str] = {}
    for label, entry in pairs:
        name = str(label).strip()
        if not name or len(name) > 2:  # noqa: PLR2004 - a letter, or a number such as 10
            raise ValueError(f"{name[:20]!r} is no letter of an option")
        if name in found:
            raise ValueError(f"the letter {name} stands twice")
        found[name] = (text_of(entry) or "").strip()
    if len(found) < 2:  # noqa: PLR2004
        raise ValueError("there must be at least two options")
    return found
