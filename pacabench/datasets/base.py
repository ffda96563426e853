"""What a loaded data set is, and what a row is before it becomes a case."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, overload

from pacabench.config.prepare import PrepareConfig
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
    revision: str | None = None
    """The commit that it was fetched at, where it was fetched."""

    @property
    def case_ids(self) -> Sequence[str]:
        """Of all cases, in their order; reads none of them."""
        if isinstance(self.cases, StoredCases):
            return self.cases.ids
        return [case.case_id for case in self.cases]


@dataclass(frozen=True, slots=True)
class Place:
    """Where and how data sets are fetched and made."""

    project: Path
    """The directory of pacabench.yaml."""
    cache: Path
    environ: Mapping[str, str] = field(default_factory=dict)
    cancelled: Callable[[], bool] = lambda: False
    """Says so once nobody wants the data any more."""
    revision: str | None = None
    """The commit that an unfinished run was begun with: no other will do."""
    tell: Callable[[str], None] = lambda _: None
    """Gets what people should see while data are made. Called in the thread that loads."""
    contain: "Contain | None" = None
    """Prepares data in a container; None: there are none, and what is prepared is on the host."""


@dataclass(frozen=True, slots=True)
class Unprepared:
    """Data that a command makes, or changes."""

    name: str
    """Of the data set."""
    config: PrepareConfig
    data: Path
    """Absolute: the file or directory that the rows are read from. It may not be there yet."""
    fetched: bool = False
    """It is a directory below the cache that never changes, and is named after its content."""
    files: Path | None = None
    """Absolute: the directory with files of cases."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """What came of it: copies below the cache, that never change."""

    data: Path
    base: Path | None
    """Stands for the project's directory; None: that itself."""


Contain = Callable[[Unprepared, Place], Prepared]
"""Has the command run in a container, once for each content. Called in the thread that loads.

Raises:
    DatasetError: it failed, or made nothing.
    SandboxUnavailableError: there is no engine, or no image.
"""


class Part(Protocol):
    """A file with rows, or what stands for one."""

    @property
    def shown(self) -> str:
        """Its name in messages."""
        ...

    @property
    def stored(self) -> Path | None:
        """The file of JSON lines that its cases had better stay in; None: they fit into memory."""
        ...

    def rows(self, split: str | None) -> tuple[Iterator["Row | BadRow"], bool]:
        """Its rows, and whether they are those of ``split`` already.

        Raises, also while they are read:
            BrokenFileError: it cannot be read on, or has no such split.
            OSError: it cannot be read.
        """
        ...


@dataclass(frozen=True, slots=True)
class Source:
    """What a data set is read from."""

    parts: Sequence[Part]
    split: str | None
    """Rows of it are still to be chosen; None where the parts are the split."""
    revision: str | None = None
    notices: tuple[str, ...] = ()
    base: Path | None = None
    """The directory that it was fetched into; None: the project's."""
    fetch: Callable[[str], Path] | None = None
    """Fetches a file of cases by its name in the data set; None: they lie below ``base``.

    Raises:
        ValueError: there is none of this name.
        DatasetError: it cannot be fetched.
    """


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a file."""

    value: dict[str, Any]
    line: int
    """Where it begins, from 1; 0 where there are no lines."""
    number: int | None = None
    """Which one of an array or a table, from 1: many can stand on one line. None in JSON lines."""
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
    if number is None:
        return str(line)
    return f"{line} (row {number})" if line else f"row {number}"


def printable(text: str) -> str:
    """``text`` with control characters escaped: data are not to be trusted with a terminal."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)
