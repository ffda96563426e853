r"""Which option an answer names.

Read in this order, and the first that says something decides:

1. the answer is nothing but a letter (``B``, ``(b)``, ``**B.**``), or an option's text;
2. a statement: ``the answer is (B)``, ``Answer: B``, ``\boxed{B}``; the last one;
3. a letter that begins the first or the last line as a label does (``B. Paris``, ``(B)``);
4. a marked letter, ``(B)`` or ``**B**``, where all marked ones are the same;
5. an option's text in the answer, where it is the only one;
6. a letter that stands alone, where it is the only one.

"A" before a word is an article, and "I" a pronoun: neither is a letter there. An answer that names
two options and settles for none names none.
"""

import re
from collections.abc import Iterable

from pacabench.evaluators.choices import Options, folded

MAX_CHARACTERS = 100_000
"""Of an answer that is read."""
_WORDS = frozenset({"A", "I"})
_REASON = r"(?:because|since|as|given|due|which|based|for|and|but|or|so|if|when|by)\b"
_MARKS = "*_`\"'$(){}[]<>.,:;!?# \t\r\n\u201c\u201d\u2018\u2019"
_LATEX = re.compile(r"\\(?:boxed|text|textbf|mathrm|mathbf|fbox)\s*(?=\{)")
_STATEMENT = re.compile(
    r"""
    (?: \b(?:answer|choice|option|solution|response)\b (?:\s+(?:choice|option|letter))? [\s*_"']*
        (?: (?:\bis\b|\bwould\ be\b|\bmust\ be\b|\bshould\ be\b|=) [\s*_"']* (?: : [\s*_"']* )?
          | : [\s*_"']* )
      | \b(?:choose|pick|select|go\ with)\s+
      | \\boxed\s*
    )
    (?: (?:option|choice|letter|answer)\b [\s*_"']* )?
    """,
    re.IGNORECASE | re.VERBOSE,
)
_NEGATION = re.compile(r"(?:\bnot|n't|\bnever|\bneither|\bnor|\bisn\u2019t)\W{0,3}$", re.IGNORECASE)
_NEAR = 24
_SEVERAL = "several"
_LIST = 400
"""Characters in which a list of options goes on."""
_JOINT = re.compile(r"[,/&+]|\b(?:and|or)\b", re.IGNORECASE)


class ChoiceReader:
    """Reads answers to one question."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._labels = {label.upper(): label for label in options.texts}
        letters = "|".join(sorted(map(re.escape, self._labels), key=len, reverse=True))
        self._marked = re.compile(rf"(?<!\w)(?:\(({letters})\)|\*\*\(?({letters})[).:]?\*\*)(?!\w)")
        self._label = re.compile(rf"[\s*_`>#-]*(?:\(({letters})\)|({letters})[).:])(?=[\s*_]|$)")
        self._bare = re.compile(rf"(?<![\w'\u2019+-])({letters})(?![\w'\u2019+-])")
        one = rf"(?:(?i:option|choice) )?(?:\((?i:{letters})\)|(?:{letters})(?![\w'\u2019]))"
        # Possessive, and no two in a row that take the same: nothing is tried twice.
        word, comma = r"(?:, ?+)?+\b(?i:and|or)\b", r"[,/&+]"
        opened, closed = r"[ *_\"'`$]*+", r"[ *_\"'`$)\]}]*+"
        more = rf"(?:{closed}(?:{word}|{comma}){opened}{one})*"
        self._others = re.compile(
            rf"{closed}(?:{word}{opened}{one}{more}{closed}(?:$|[.,;!?])"
            rf"|{comma}{opened}{one}{more}{closed}(?:$|[.;!?]))"
        )
        self._alone = re.compile(rf"(?<!\w)({letters})(?![\w'\u2019])", re.IGNORECASE)
        self._said = re.compile(
            rf"[\s*_`\"'$({{\[<\u201c]*({letters})(?![\w'\u2019])", re.IGNORECASE
        )

    def read(self, answer: str) -> tuple[str | None, str]:
        """The label that ``answer`` names, None where it names none; and what told so."""
        text = answer.strip()
        ways = (
            ("whole", self._whole),
            ("statement", self._statement),
            ("label", self._line_label),
            ("marked", self._marked_letter),
            ("text", self._text),
            ("letter", self._letter),
        )
        for name, way in ways:
            label = way(text)
            if label is not None:
                return label, name
        return None, "none"

    def _whole(self, text: str) -> str | None:
        bare = _LATEX.sub("", text).strip(_MARKS)
        if bare.upper() in self._labels:
            return self._labels[bare.upper()]
        same = [label for label, text in self._texts() if folded(text) == folded(bare)]
        return same[0] if len(same) == 1 else None

    def _texts(self) -> Iterable[tuple[str, str]]:
        return ((label, text) for label, text in self._options.texts.items() if text)

    def _statement(self, text: str) -> str | None:
        """The last statement decides; one that names no option says nothing.

        One that names several takes back what was said before: it settles for none.
        """
        found: str | None = None
        for match in _STATEMENT.finditer(text):
            named = self._named_at(text, match.end())
            found = None if named == _SEVERAL else named or found
        return found

    def _named_at(self, text: str, place: int) -> str | None:
        """The label of the option that a statement names; of more than one, ``_SEVERAL``."""
        rest = text[place : place + 400]
        while (latex := _LATEX.match(rest.lstrip(_MARKS))) is not None:
            rest = rest.lstrip(_MARKS)[latex.end() :]
        match = self._said.match(rest)
        # Ignoring case, `re` takes the sign of Kelvin for a K; it is no label.
        label = self._labels.get(match[1].upper()) if match is not None else None
        if (
            match is not None
            and label is not None
            and self._is_letter(match[1], rest, match.end(), match.start(1))
        ):
            return _SEVERAL if self._names_others(label, rest[match.end() :]) else label
        sentence = re.split(r"[.!?](?:\s|$)|\n", rest, maxsplit=1)[0]
        return self._only_text(sentence)

    def _is_letter(self, said: str, text: str, end: int, start: int) -> bool:
        """Whether ``said`` is a letter here, and not a word or the beginning of one."""
        after = text[end:]
        if start > 0 and text[start - 1] in "([{*":
            return True
        if re.match(r"[\s*_`\"'$]*(?:$|[.,:;!?)\]}\n*])", after):
            return True
        if re.match(rf"\s+{_REASON}", after, re.IGNORECASE):
            return said.isupper()
        return said.isupper() and said not in _WORDS and after[:1].isspace()

    def _names_others(self, label: str, after: str) -> bool:
        """Whether a list of options goes on with others than ``label``: ``A or B``, ``A, B``."""
        after = after.partition("\n")[0][:_LIST]
        if _JOINT.search(after) is None:
            return False
        for name, text in self._texts():  # "(A) Paris or (B) Lyon" is "(A) or (B)"
            spelt = rf"(?<!\w)\(?{re.escape(name)}[).:]*[ \t*_-]*{re.escape(text)}(?!\w)"
            after = re.sub(spelt, rf"({name})".replace("\\", r"\\"), after)
        own = re.escape(self._options.texts[label])
        if own and (spoken := re.match(rf"[).:]*[ \t*_-]*{own}(?!\w)", after)):
            after = after[spoken.end() :]
        others = self._others.match(after)
        named = self._alone.findall(others[0]) if others is not None else []
        return any(self._labels.get(name.upper(), label) != label for name in named)

    def _line_label(self, text: str) -> str | None:
        """Of the first and of the last line; where both have one and differ, of none."""
        lines = [line for line in text.splitlines() if line.strip()]
        ends = dict.fromkeys((lines[0], lines[-1])) if lines else {}
        begun = {line: match for line in lines if (match := self._label.match(line))}
        labels = {line: match[1] or match[2] for line, match in begun.items()}
        for line in ends:
            if line in begun and self._names_others(
                self._labels[labels[line]], line[begun[line].end() :]
            ):
                return None
        found = {self._labels[labels[line]] for line in ends if line in labels}
        marked = {match[1] or match[2] for match in self._marked.finditer(text)}
        return found.pop() if len(found) == 1 and len(marked.union(labels.values())) == 1 else None

    def _marked_letter(self, text: str) -> str | None:
        return self._only(self._marked.finditer(text), text)

    def _letter(self, text: str) -> str | None:
        def alone(match: re.Match[str]) -> bool:
            if match[1] not in _WORDS:
                return True
            return (
                re.match(rf"\s*(?:$|[.,:;!?)/\n])|\*\*|\s+{_REASON}", text[match.end() :])
                is not None
            )

        return self._only((match for match in self._bare.finditer(text) if alone(match)), text)

    def _only(self, matches: Iterable[re.Match[str]], text: str) -> str | None:
        """The label that all matches name."""
        found = set()
        for match in matches:
            if not _NEGATION.search(text[max(0, match.start() - _NEAR) : match.start()]):
                found.add(next(group for group in match.groups() if group))
            if len(found) > 1:
                return None
        return self._labels[found.pop()] if found else None

    def _text(self, text: str) -> str | None:
        return self._only_text(text)

    def _only_text(self, text: str) -> str | None:
        """The option whose text stands in ``text``, where that is just one.

        Longer texts first, and what they took is gone: "blood cell" is not "cell" as well.
        """
        rest = " ".join(text.split()).casefold()
        found = set()
        for label, option in sorted(self._texts(), key=lambda pair: -len(folded(pair[1]))):
            words = folded(option)
            if not words:
                continue
            pattern = re.compile(rf"(?<!\w){re.escape(words)}(?!\w)")
            matches = [
                match
                for match in pattern.finditer(rest)
                if not _NEGATION.search(rest[max(0, match.start() - _NEAR) : match.start()])
            ]
            if matches:
                found.add(label)
                rest = pattern.sub("\0", rest)
        return found.pop() if len(found) == 1 else None
