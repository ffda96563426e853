"""Reads one ``datasets:`` entry."""

import hashlib
import os
from array import array
from collections.abc import Callable, Mapping
from pathlib import Path

from pacabench.config.schema import DatasetConfig
from pacabench.datasets.base import (
    BadRow,
    BrokenFileError,
    Dataset,
    Row,
    StoredCases,
    printable,
)
from pacabench.datasets.cases import CaseMaker, MadeCase
from pacabench.datasets.jsonl import read_row
from pacabench.datasets.prepare import prepare
from pacabench.datasets.source import Source, open_source, source_path
from pacabench.errors import DatasetError
from pacabench.memory import building
from pacabench.model import Case

SHOWN_PROBLEMS = 20
_EVIDENCE_ROWS = 2
_HASH_BYTES = 8


def load_dataset(
    config: DatasetConfig,
    project: Path,
    cache: Path,
    *,
    environ: Mapping[str, str] | None = None,
    cancelled: Callable[[], bool] = lambda: False,
    seen: Callable[[Case], None] = lambda _: None,
) -> Dataset:
    """Read every case of a data set; run its ``prepare`` before, where that is due. Blocks.

    ``environ`` is what ``prepare`` runs with; default: the process's own. It is killed once
    ``cancelled`` says so. ``seen`` is given each case as it is read.

    Raises:
        DatasetError: a line per row that cannot be used, up to ``SHOWN_PROBLEMS``, and their
            number; or why there is nothing to read.
    """
    try:
        path = source_path(config.source, project)
        if config.prepare is not None:
            known = os.environ if environ is None else environ
            prepare(config.prepare, path, project, cache, known, cancelled=cancelled)
        with building():
            return _read(config, open_source(path, config.split, config.source), project, seen)
    except DatasetError as error:
        raise DatasetError(f"dataset {config.name!r}: {error}") from error.__cause__


def _read(
    config: DatasetConfig, source: Source, project: Path, seen: Callable[[Case], None]
) -> Dataset:
    file = _shown(source.file, project)
    maker = CaseMaker(config, file)
    content = hashlib.sha256()
    problems: list[str] = []
    count = 0
    try:
        keeper: _Held | _Stored = _Stored(source.file, maker) if source.is_large else _Held()
        for made in maker.make(source.rows()):
            if isinstance(made, BadRow):
                count += 1
                if count <= SHOWN_PROBLEMS:
                    problems.append(f"{file}:{made.place}: {printable(made.problem)}")
            else:
                keeper.add(made)
                content.update(made.content + b"\n")
                seen(made.case)
    except BrokenFileError as error:
        count += 1
        where = f"{file}:{error.line}" if error.line else file
        problems.append(f"{where}: {printable(str(error))}")
    except OSError as error:
        raise DatasetError(f"{file}: cannot be read: {error.strerror}") from error
    _refuse(problems, count, file, maker, len(keeper.cases))
    return Dataset(
        name=config.name,
        cases=keeper.cases,
        digest=f"sha256:{content.hexdigest()}",
        notices=_notices(config, maker, len(keeper.cases)),
    )


class _Held:
    """Keeps cases in memory."""

    def __init__(self) -> None:
        self.cases: list[Case] = []

    def add(self, made: MadeCase) -> None:
        """Keep one."""
        self.cases.append(made.case)


class _Stored:
    """Keeps where cases stand, and a hash of what each says: a file can change under a run."""

    def __init__(self, file: Path, maker: CaseMaker) -> None:
        self._file = file
        self._maker = maker
        self._ids: list[str] = []
        self._lines = array("Q")
        self._offsets = array("Q")
        self._hashes = bytearray()
        self.cases = StoredCases(self._ids, self._case)

    def add(self, made: MadeCase) -> None:
        """Keep one."""
        self._ids.append(made.case.case_id)
        self._lines.append(made.line)
        self._offsets.append(made.offset)
        self._hashes += _hash(made.content)

    def _case(self, place: int) -> Case:
        line, start = self._lines[place], place * _HASH_BYTES
        try:
            row = read_row(self._file, line, self._offsets[place])
            if isinstance(row, Row):
                made = self._maker.again(row, self._ids[place])
                if _hash(made.content) == self._hashes[start : start + _HASH_BYTES]:
                    return made.case
            problem = "is not what it was when the run began"
        except ValueError as error:
            problem = f"is not what it was when the run began: {error}"
        except OSError as error:
            problem = f"cannot be read: {error.strerror}"
        raise DatasetError(
            f"dataset {self._maker.config.name!r}: {self._maker.file}:{line}: {problem}. "
            "Put the file back, then `pacabench resume`."
        )


def _hash(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=_HASH_BYTES).digest()


def _refuse(problems: list[str], count: int, file: str, maker: CaseMaker, cases: int) -> None:
    if count:
        more = [f"and {count - len(problems)} more"] if count > len(problems) else []
        what = "one thing is wrong" if count == 1 else f"{count} things are wrong"
        raise DatasetError("\n  ".join([f"{what} with {file}:", *problems, *more]))
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


def _shown(file: Path, project: Path) -> str:
    path = file.relative_to(project) if file.is_relative_to(project) else file
    return printable(str(path))
