"""Files that come with cases: named by columns, and taken from one directory alone."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from pacabench.columns import MISSING, find
from pacabench.config.schema import FilesConfig
from pacabench.errors import DatasetError
from pacabench.model import JSON, Case, CaseFile

MAX_BYTES = 64 * 1024**2
"""Of one case's files together: they are copied into memory of the agent's container."""


@dataclass(slots=True)
class FileFinder:
    """Finds the files of rows below ``directory``; each is hashed once."""

    config: FilesConfig
    directory: Path
    fetch: Callable[[str], Path] | None = None
    """See :class:`~pacabench.datasets.base.Source`; ``directory`` is not looked at then."""
    _known: dict[Path, tuple[int, str]] = field(default_factory=dict)

    def files_of(self, row: dict[str, Any]) -> tuple[CaseFile, ...]:
        """The files that ``row`` names; empty and missing columns name none.

        Raises:
            ValueError: there is no such file below the directory, or they are too large.
        """
        found: dict[str, CaseFile] = {}
        size = 0
        for column in self.config.columns:
            for name in _names(find(row, column), column):
                path = self._path(name, column)
                if name not in found:
                    length, digest = self._look(path)
                    size += length
                    found[name] = CaseFile(name, str(path), digest)
        if size > MAX_BYTES:
            raise ValueError(f"its files have {size} bytes, and {MAX_BYTES} are the most")
        return tuple(found.values())

    def _path(self, name: str, column: str) -> Path:
        pure = PurePosixPath(name)
        base = self.directory.resolve()
        path = (base / name).resolve()
        inside = not pure.is_absolute() and ".." not in pure.parts
        if inside and self.fetch is not None:
            return self._fetched(str(PurePosixPath(self.config.directory.as_posix(), name)), column)
        if not inside or not path.is_relative_to(base):
            raise ValueError(f"column {column!r}: {name[:80]!r} leads out of `files.directory`")
        if not path.is_file():
            raise ValueError(f"column {column!r}: there is no file {name[:80]!r} in {base}")
        return path

    def _fetched(self, name: str, column: str) -> Path:
        assert self.fetch is not None
        try:
            return self.fetch(name)
        except ValueError as error:
            raise ValueError(f"column {column!r}: {error}") from None

    def _look(self, path: Path) -> tuple[int, str]:
        if path not in self._known:
            with path.open("rb") as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
            self._known[path] = (path.stat().st_size, digest)
        return self._known[path]


def read_files(case: Case) -> dict[str, bytes]:
    """The content of the case's files, by name. Blocks.

    Raises:
        DatasetError: one is not what it was when the run began.
    """
    return {file.name: _content(case, file) for file in case.files}


def _content(case: Case, file: CaseFile) -> bytes:
    try:
        content = Path(file.path).read_bytes()
    except OSError as error:
        problem = f"cannot be read: {error.strerror}"
    else:
        if hashlib.sha256(content).hexdigest() == file.digest:
            return content
        problem = "is not what it was when the run began"
    raise DatasetError(
        f"dataset {case.dataset!r}: {case.where}: the file {file.path} {problem}. Put it back, "
        "then `pacabench resume`."
    )


def _names(value: JSON, column: str) -> Iterator[str]:
    if value is MISSING or value is None or value == "":
        return
    for entry in value if isinstance(value, list) else [value]:
        if not isinstance(entry, str) or not entry.isprintable():
            raise ValueError(f"column {column!r} must name a file, or a list of files")
        yield entry
