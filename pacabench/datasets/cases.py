"""From rows to cases.

Columns are mapped, ids are given, and nothing of the expected answer is left where agents see it.
"""

import difflib
import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from pacabench.columns import MISSING, find, root_of, without, without_root
from pacabench.config.schema import DatasetConfig
from pacabench.datasets.base import BadRow, Row
from pacabench.datasets.decode import encode
from pacabench.model import JSON, Case

MAX_CASE_ID = 4096


class _RowError(ValueError):
    """Why a row cannot be a case."""


@dataclass(slots=True)
class CaseMaker:
    """Makes the cases of one data set, in order."""

    config: DatasetConfig
    file: str
    """As messages name it."""
    unseen: set[str] = field(init=False)
    """Columns in ``hide`` that no row had so far."""
    telling: set[str] | None = None
    """Columns that agents see and that said the expected answer in every row so far."""
    _places: dict[str, str] = field(default_factory=dict)
    _copies: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.unseen = set(self.config.hide) - {"case_id"}

    def make(self, rows: Iterable[Row | BadRow]) -> Iterator[Case | BadRow]:
        """Each row as a case, or what is wrong with it."""
        for row in rows:
            if isinstance(row, BadRow):
                yield row
                continue
            try:
                yield self._case(row)
            except ValueError as error:
                yield BadRow(str(error), row.line, row.number)

    def _case(self, row: Row) -> Case:
        columns = self.config.input_map
        question = self._required(row, "input")
        expected = self._optional(row, "expected")
        history = self._history(row)
        self.unseen -= {name for name in self.unseen if find(row.value, name) is not MISSING}
        metadata = self._metadata(row.value)
        visible = encode([question, history, metadata])
        withheld = self._withheld(row.value)
        encode([expected, withheld])
        self._watch(metadata, expected)
        return Case(
            dataset=self.config.name,
            case_id=self._case_id(row, visible),
            input=question,
            expected=expected,
            history=tuple(history),
            metadata=metadata,
            withheld=withheld,
            hidden=not {"case_id", columns.case_id}.isdisjoint(self.config.hide),
            where=f"{self.file}:{row.place}",
        )

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
        if role in self.config.input_map.model_fields_set:
            return self._required(row, role)
        value = find(row.value, getattr(self.config.input_map, role))
        return None if value is MISSING else value

    def _history(self, row: Row) -> list[JSON]:
        column = self.config.input_map.history
        value = find(row.value, column)
        if value is MISSING or value is None or column in self.config.hide:
            return []
        if not isinstance(value, list):
            raise _RowError(f"column {column!r} (input_map.history) must be a list")
        return value

    def _metadata(self, row: dict[str, Any]) -> dict[str, JSON]:
        """The other columns. The one that holds the expected answer goes whole."""
        columns = self.config.input_map
        row = without_root(row, columns.expected)
        for column in (columns.input, columns.history, columns.case_id, *self.config.hide):
            row = without(row, column)
        return row

    def _withheld(self, row: dict[str, Any]) -> dict[str, JSON]:
        """Columns that evaluators see and agents do not, or not all of: their top-level keys."""
        columns = (self.config.input_map.expected, *self.config.hide)
        roots = dict.fromkeys(root_of(row, column) for column in columns)
        return {root: row[root] for root in roots if root in row}

    def _case_id(self, row: Row, visible: bytes) -> str:
        """The row's own id, or one made of what the agent sees.

        Of that only: a hash with the expected answer in it would let an agent try its guesses. It
        does not depend on other rows, except that copies of a row are numbered.
        """
        value = self._optional(row, "case_id")
        if value is None:
            digest = hashlib.blake2b(visible, digest_size=8).hexdigest()
            self._copies[digest] += 1
            copy = self._copies[digest]
            case_id = f"row-{digest}" if copy == 1 else f"row-{digest}-{copy}"
        else:
            case_id = _id_text(value)
        if case_id in self._places:
            first = self._places[case_id]
            raise _RowError(f"duplicate case id {case_id[:80]!r}, first on line {first}")
        self._places[case_id] = row.place
        return case_id

    def _watch(self, metadata: dict[str, JSON], expected: JSON) -> None:
        if expected is None:
            return
        same = {name for name, value in metadata.items() if value == expected}
        self.telling = same if self.telling is None else self.telling & same


def _id_text(value: JSON) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
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
