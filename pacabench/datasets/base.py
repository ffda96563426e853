"""What a loaded data set is, and what a row is before it becomes a case."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, overload

from pacabench.model import Case


class StoredCases(Sequence[Case]):
    """Cases that stay on disk: one is in memory while it is used.

    Reading one raises :class:`~pacabench.errors.DatasetError` when its file is not what it was.
    """

    def __init__(self, ids: Sequence[str], read: Callable[[int], Case]) -> None:
        self.ids = ids
        """The case ids, in order."""
        self._read = read

    def __len__(self) -> int:
        return len(self.ids)

    @overload
    def __getitem__(self, place: int) -> Case: ...
    @overload
    def __getitem__(self, place: slice) -> "StoredCases": ...
    def __getitem__(self, place: int | slice) -> "Case | StoredCases":
        places = range(len(self.ids))[place]
        if isinstance(places, int):
            return self._read(places)
        return StoredCases(
            [self.ids[number] for number in places], lambda number: self._read(places[number])
        )


@dataclass(frozen=True, slots=True)
class Dataset:
    """The cases of one ``datasets:`` entry, in file order."""

    name: str
    cases: Sequence[Case]
    digest: str
    """``sha256:...`` over the content of all cases (not over file names)."""
    notices: tuple[str, ...] = ()
    """What the user should know, and what is no error."""

    @property
    def case_ids(self) -> Sequence[str]:
        """Of all cases, in their order; reads none of them."""
        if isinstance(self.cases, StoredCases):
            return self.cases.ids
        return [case.case_id for case in self.cases]


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a file."""

    value: dict[str, Any]
    line: int
    """Where it begins, from 1."""
    number: int | None = None
    """Which one of an array, from 1: many can stand on one line. None in JSON lines."""
    offset: int = 0
    """Bytes of the file before its line; of JSON lines only."""

    @property
    def place(self) -> str:
        """What comes after ``file:`` in a message."""
        return _place(self.line, self.number)


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that cannot be used."""

    problem: str
    line: int
    number: int | None = None

    @property
    def place(self) -> str:
        """What comes after ``file:`` in a message."""
        return _place(self.line, self.number)


class BrokenFileError(Exception):
    """The file cannot be read on from ``line``."""

    def __init__(self, problem: str, line: int | None = None) -> None:
        super().__init__(problem)
        self.line = line


def _place(line: int, number: int | None) -> str:
    return str(line) if number is None else f"{line} (row {number})"


def printable(text: str) -> str:
    """``text`` with control characters escaped: data are not to be trusted with a terminal."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)
