"""Reads one ``datasets:`` entry."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from pacabench.config.schema import DatasetConfig
from pacabench.datasets.base import (
    BadRow,
    BrokenFileError,
    Dataset,
    Part,
    Place,
    Source,
    printable,
)
from pacabench.datasets.case_files import FileFinder
from pacabench.datasets.cases import CaseMaker, MadeCase
from pacabench.datasets.choosing import Chooser
from pacabench.datasets.keeping import Held, Stored
from pacabench.datasets.source import open_source
from pacabench.errors import DatasetError
from pacabench.memory import building
from pacabench.model import Case

SHOWN_PROBLEMS = 20
_EVIDENCE_ROWS = 2


def load_dataset(
    config: DatasetConfig, place: Place, *, seen: Callable[[Case], None] = lambda _: None
) -> Dataset:
    """Read every case of a data set; fetch it, and run its ``prepare``, where that is due. Blocks.

    ``seen`` is given each case as it is read.

    Raises:
        DatasetError: a line per row that cannot be used, up to ``SHOWN_PROBLEMS``, and their
            number; or why there is nothing to read.
    """
    try:
        source = open_source(config, place)
        with building():
            return _read(config, source, place.project, seen)
    except DatasetError as error:
        raise DatasetError(f"dataset {config.name!r}: {error}") from error.__cause__


@dataclass(slots=True)
class _Faults:
    """What is wrong with the rows, the first of it word for word."""

    lines: list[str] = field(default_factory=list)
    count: int = 0

    def add(self, place: str, problem: str) -> None:
        self.count += 1
        if self.count <= SHOWN_PROBLEMS:
            self.lines.append(f"{place}: {printable(problem)}")


def _read(
    config: DatasetConfig, source: Source, project: Path, seen: Callable[[Case], None]
) -> Dataset:
    finder = None
    if config.files is not None:
        directory = (source.base or project) / config.files.directory
        finder = FileFinder(config.files, directory, source.fetch)
    maker = CaseMaker(config, finder=finder, several=len(source.parts) > 1)
    chooser = Chooser(source.split, config.filter)
    content = hashlib.sha256()
    faults = _Faults()
    keeper = _keeper(source, maker)
    for part in source.parts:
        maker.file = part.shown
        for made in _cases_of(part, source, chooser, maker, faults):
            keeper.add(made)
            content.update(made.content + b"\n")
            seen(made.case)
    shown = source.parts[0].shown if len(source.parts) == 1 else config.source
    try:
        chooser.settle()
    except BrokenFileError as error:
        faults.add(shown, str(error))
    _refuse(faults, shown, maker, len(keeper.cases))
    cases: Sequence[Case] = keeper.cases
    if config.shuffle is not None:
        cases = keeper.in_order_of(partial(_shuffled, config.shuffle))
    return Dataset(
        name=config.name,
        cases=cases,
        digest=f"sha256:{content.hexdigest()}",
        notices=(*source.notices, *_notices(config, maker, len(cases))),
        revision=source.revision,
    )


def _keeper(source: Source, maker: CaseMaker) -> Held | Stored:
    if maker.several:
        return Held()
    (part,) = source.parts
    try:
        file = part.stored
    except OSError as error:
        raise DatasetError(f"{part.shown}: cannot be read: {error.strerror}") from error
    return Held() if file is None else Stored(file, maker)


def _cases_of(
    part: Part, source: Source, chooser: Chooser, maker: CaseMaker, faults: _Faults
) -> Iterator[MadeCase]:
    try:
        rows, settled = part.rows(source.split)
        for made in maker.make(chooser.rows(rows, settled=settled)):
            if isinstance(made, BadRow):
                faults.add(f"{part.shown}:{made.place}", made.problem)
            else:
                yield made
    except BrokenFileError as error:
        faults.add(f"{part.shown}:{error.line}" if error.line else part.shown, str(error))
        chooser.broken = True
    except OSError as error:
        raise DatasetError(f"{part.shown}: cannot be read: {error.strerror}") from error


def _shuffled(seed: int, case_id: str) -> bytes:
    """Where a case comes in the order of ``seed``: a hash, so that it hangs on no other case."""
    return hashlib.blake2b(f"{seed}\0{case_id}".encode()).digest()


def _refuse(faults: _Faults, file: str, maker: CaseMaker, cases: int) -> None:
    count = faults.count
    if count:
        more = [f"and {count - SHOWN_PROBLEMS} more"] if count > SHOWN_PROBLEMS else []
        what = "one thing is wrong" if count == 1 else f"{count} things are wrong"
        raise DatasetError("\n  ".join([f"{what} with {file}:", *faults.lines, *more]))
    if not cases:
        raise DatasetError(f"{file}: has no rows")
    if maker.unseen:
        names = ", ".join(repr(name) for name in sorted(maker.unseen))
        raise DatasetError(f"{file}: no row has the column {names} that `hide` names")


def _notices(config: DatasetConfig, maker: CaseMaker, count: int) -> tuple[str, ...]:
    if count < _EVIDENCE_ROWS:
        return ()
    return tuple(
        f"dataset {config.name!r}: the column {name!r} says the expected answer in every row, and "
        f"agents see it; `hide: [{name}]` takes it out"
        for name in sorted(maker.telling or ())
    )
