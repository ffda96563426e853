"""Reads one ``datasets:`` entry."""

import hashlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from pacabench.config.schema import DatasetConfig
from pacabench.datasets.base import BadRow, BrokenFileError, Dataset, printable
from pacabench.datasets.cases import CaseMaker
from pacabench.datasets.decode import encode
from pacabench.datasets.prepare import prepare
from pacabench.datasets.source import Source, open_source, source_path
from pacabench.errors import DatasetError
from pacabench.model import Case

SHOWN_PROBLEMS = 20
_EVIDENCE_ROWS = 2


def load_dataset(
    config: DatasetConfig,
    project: Path,
    cache: Path,
    *,
    environ: Mapping[str, str] | None = None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Dataset:
    """Read every case of a data set; run its ``prepare`` before, where that is due. Blocks.

    ``environ`` is what ``prepare`` runs with; default: the process's own. It is killed once
    ``cancelled`` says so.

    Raises:
        DatasetError: a line per row that cannot be used, up to ``SHOWN_PROBLEMS``, and their
            number; or why there is nothing to read.
    """
    try:
        path = source_path(config.source, project)
        if config.prepare is not None:
            known = os.environ if environ is None else environ
            prepare(config.prepare, path, project, cache, known, cancelled=cancelled)
        return _read(config, open_source(path, config.split, config.source), project)
    except DatasetError as error:
        raise DatasetError(f"dataset {config.name!r}: {error}") from error.__cause__


def _read(config: DatasetConfig, source: Source, project: Path) -> Dataset:
    file = _shown(source.file, project)
    maker = CaseMaker(config, file)
    cases: list[Case] = []
    content = hashlib.sha256()
    problems: list[str] = []
    count = 0
    try:
        for case in maker.make(source.rows()):
            if isinstance(case, BadRow):
                count += 1
                if count <= SHOWN_PROBLEMS:
                    problems.append(f"{file}:{case.place}: {printable(case.problem)}")
            else:
                cases.append(case)
                content.update(_content(case))
    except BrokenFileError as error:
        count += 1
        where = f"{file}:{error.line}" if error.line else file
        problems.append(f"{where}: {printable(str(error))}")
    except OSError as error:
        raise DatasetError(f"{file}: cannot be read: {error.strerror}") from error
    _refuse(problems, count, file, maker, cases)
    return Dataset(
        name=config.name,
        cases=tuple(cases),
        digest=f"sha256:{content.hexdigest()}",
        notices=_notices(config, maker, len(cases)),
    )


def _content(case: Case) -> bytes:
    parts = [case.case_id, case.input, case.expected, list(case.history), case.metadata]
    return encode([*parts, case.withheld]) + b"\n"


def _refuse(
    problems: list[str], count: int, file: str, maker: CaseMaker, cases: list[Case]
) -> None:
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
