"""From rows to cases.

Columns are mapped, ids are given, and nothing of the expected answer is left where agents see it.
"""

import difflib
import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pacabench.columns import MISSING, find, root_of, without, without_root
from pacabench.config.schema import DatasetConfig
from pacabench.datasets.base import BadRow, Row
from pacabench.datasets.case_files import FileFinder
from pacabench.datasets.decode import encode
from pacabench.model import JSON, Case, CaseFile

MAX_CASE_ID = 4096


class _RowError(ValueError):
    """Why a row cannot be a case."""


class MadeCase(NamedTuple):
    """A case, and what of it and of its row is kept."""

    case: Case
    content: bytes
    """All that it says, as JSON."""
    line: int
    offset: int
    """Of its row in the file, in bytes."""


@dataclass(slots=True)
class CaseMaker:
    """Makes the cases of one data set, in order."""

    config: DatasetConfig
    file: str = ""
    """Of the rows that come, as messages name it."""
    finder: FileFinder | None = None
    """Of files that come with cases."""
    several: bool = False
    """Rows come from more than one file."""
    unseen: set[str] = field(init=False)
    """Columns in ``hide`` that no row had so far."""
    telling: set[str] | None = None
    """Columns that agents see and that said the expected answer in every row so far."""
    _places: dict[str, int | str] = field(default_factory=dict)
    _files: dict[str, str] = field(default_factory=dict)
    """Where there are several: of each case, the one that it stands in."""
    _copies: Counter[str] = field(default_factory=Counter)
    _hidden: bool = field(init=False)
    _taken: frozenset[str] = field(init=False)
    """Columns that are no metadata."""
    _named: frozenset[str] = field(init=False)
    """Roles whose column the configuration names."""
    _nested: bool = field(init=False)
    """Some of them may be paths."""
    _question: str = field(init=False)
    _expected: str = field(init=False)
    _id: str = field(init=False)
    _kept_back: tuple[str, ...] = field(init=False)
    """Columns that agents do not see, or not all of."""

    def __post_init__(self) -> None:
        columns, hide = self.config.input_map, self.config.hide
        self.unseen = set(hide) - {"case_id"}
        self._hidden = not {"case_id", columns.case_id}.isdisjoint(hide)
        self._taken = frozenset(
            (columns.expected, columns.input, columns.history, columns.case_id, *hide)
        )
        self._named = frozenset(columns.model_fields_set)
        self._nested = any("." in name for name in self._taken)
        self._question, self._expected, self._id = columns.input, columns.expected, columns.case_id
        self._kept_back = tuple(dict.fromkeys((columns.expected, *hide)))

    def make(self, rows: Iterable[Row | BadRow]) -> Iterator[MadeCase | BadRow]:
        """Each row as a case, or what is wrong with it."""
        for row in rows:
            if isinstance(row, BadRow):
                yield row
                continue
            try:
                yield self._first(row)
            except ValueError as error:
                yield BadRow(str(error), row.line, row.number)

    def again(self, row: Row, case_id: str) -> MadeCase:
        """The case that ``row`` was made into before, under this id.

        Raises:
            ValueError: it cannot have been this row.
        """
        return self._case(row, case_id)

    def _first(self, row: Row) -> MadeCase:
        made = self._case(row, None)
        case_id = made.case.case_id
        if case_id in self._places:
            raise _RowError(f"duplicate case id {case_id[:80]!r}, first {self._first_at(case_id)}")
        self._places[case_id] = row.line if row.number is None else row.place
        if self.several:
            self._files[case_id] = self.file
        if self.unseen:
            self.unseen -= {name for name in self.unseen if find(row.value, name) is not MISSING}
        self._watch(made.case.metadata, made.case.expected)
        return made

    def _first_at(self, case_id: str) -> str:
        """Where a case of this id was first: a line of this file, or a place in another."""
        place, file = self._places[case_id], self._files.get(case_id, self.file)
        return f"on line {place}" if file == self.file else f"at {file}:{place}"

    def _case(self, row: Row, case_id: str | None) -> MadeCase:
        value = row.value
        # Each role is looked up as the key that it nearly always is, for 100,000 rows, and only
        # then by all rules.
        question = value.get(self._question)
        if question is None:
            question = self._required(row, "input")
        expected = value.get(self._expected)
        if expected is None:
            expected = self._optional(row, "expected")
        history = self._history(row)
        metadata = self._metadata(value)
        withheld = self._withheld(value)
        if case_id is None:
            case_id = self._case_id(row, [question, history, metadata])
        parts = [case_id, question, expected, history, metadata, withheld]
        files: tuple[CaseFile, ...] = ()
        if self.finder is not None:
            files = self.finder.files_of(value)
            parts.extend([file.name, file.digest] for file in files)
        content = encode(parts)
        case = Case(
            dataset=self.config.name,
            case_id=case_id,
            input=question,
            expected=expected,
            history=tuple(history) if history else (),
            metadata=metadata,
            withheld=withheld,
            files=files,
            hidden=self._hidden,
            where=f"{self.file}:{row.line if row.number is None else row.place}",
        )
        return MadeCase(case, content, row.line, row.offset)

    def _required(self, row: Row, role: str) -> JSON:
        column = getattr(self.config.input_map, role)
        value = find(row.value, column)
        if value is MISSING:
            close = difflib.get_close_matches(column, row.value, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"the row has {_names_in(row)}"
            raise _RowError(f"no column {column!r} (input_map.{role}); {hint}")
        if value is None:
            raise _RowError(f"column {column!r} (input_map.{role}) is null")
        return value

    def _optional(self, row: Row, role: str) -> JSON:
        """A column that may be missing, unless the configuration names it."""
        if role in self._named:
            return self._required(row, role)
        value = find(row.value, getattr(self.config.input_map, role))
        return None if value is MISSING else value

    def _history(self, row: Row) -> list[JSON]:
        column = self.config.input_map.history
        if not self._nested and column not in row.value:
            return []
        value = find(row.value, column)
        if value is MISSING or value is None or column in self.config.hide:
            return []
        if not isinstance(value, list):
            raise _RowError(f"column {column!r} (input_map.history) must be a list")
        return value

    def _metadata(self, row: dict[str, Any]) -> dict[str, JSON]:
        """The other columns. The one that holds the expected answer goes whole."""
        if not self._nested:
            return {name: value for name, value in row.items() if name not in self._taken}
        columns = self.config.input_map
        row = without_root(row, columns.expected)
        for column in (columns.input, columns.history, columns.case_id, *self.config.hide):
            row = without(row, column)
        return row

    def _withheld(self, row: dict[str, Any]) -> dict[str, JSON]:
        """Columns that evaluators see and agents do not, or not all of: their top-level keys."""
        if not self._nested:
            return {name: row[name] for name in self._kept_back if name in row}
        roots = dict.fromkeys(root_of(row, column) for column in self._kept_back)
        return {root: row[root] for root in roots if root in row}

    def _case_id(self, row: Row, visible: JSON) -> str:
        """The row's own id, or one made of what the agent sees.

        Of that only: a hash with the expected answer in it would let an agent try its guesses. It
        does not depend on other rows, except that copies of a row are numbered.
        """
        value = row.value.get(self._id)
        if value is None:
            value = self._optional(row, "case_id")
        if value is not None:
            return _id_text(value)
        digest = hashlib.blake2b(encode(visible), digest_size=8).hexdigest()
        self._copies[digest] += 1
        copy = self._copies[digest]
        return f"row-{digest}" if copy == 1 else f"row-{digest}-{copy}"

    def _watch(self, metadata: dict[str, JSON], expected: JSON) -> None:
        if expected is None:
            return
        names = metadata if self.telling is None else self.telling & metadata.keys()
        self.telling = {name for name in names if metadata[name] == expected}


def _id_text(value: JSON) -> str:
    if isinstance(value, str) and value[:1].isalnum() and len(value) <= MAX_CASE_ID:
        return value  # nearly always
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise _RowError("a case id must be text or a number")
    text = str(value)
    if not text.strip():
        raise _RowError("the case id is empty")
    if len(text) > MAX_CASE_ID:
        raise _RowError(f"a case id must not be longer than {MAX_CASE_ID} characters")
    return text


def _names_in(row: Row, limit: int = 12) -> str:
    """The row's keys, for a message."""
    names = [repr(name)[:60] for name in row.value]
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more
