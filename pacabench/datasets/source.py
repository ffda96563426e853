"""Where a data set's rows are: ``source`` and ``split`` to one file."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pacabench.config.masking import mask
from pacabench.datasets.base import BadRow, BrokenFileError, Row
from pacabench.datasets.json_file import JsonFile
from pacabench.datasets.jsonl import read_jsonl
from pacabench.errors import DatasetError

SUFFIXES = (".jsonl", ".json")
HELD_BYTES = 64 * 1024**2
"""Cases of a larger file are read from it when they are run."""
_SHOWN = 20
_REMOTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")


@dataclass(frozen=True, slots=True)
class Source:
    """A file with rows."""

    file: Path
    split: str | None
    """Which rows; None where the file itself is the split."""

    @property
    def is_large(self) -> bool:
        """Its rows had better stay on disk, where they can be found again.

        Raises:
            OSError: it cannot be looked at.
        """
        return self.file.suffix == ".jsonl" and self.file.stat().st_size > HELD_BYTES

    def rows(self) -> Iterator[Row | BadRow]:
        """The rows of the split.

        Raises:
            BrokenFileError: the file cannot be read on, or has no such split.
            OSError: it cannot be read.
        """
        if self.file.suffix == ".jsonl":
            yield from self._of_split(read_jsonl(self.file))
            return
        content = JsonFile(self.file)
        if content.is_object:
            yield from content.rows(self.split)
        else:
            yield from self._of_split(content.rows())

    def _of_split(self, rows: Iterator[Row | BadRow]) -> Iterator[Row | BadRow]:
        """Rows whose column ``split`` says so; rows that cannot be read count to every split."""
        if self.split is None:
            yield from rows
            return
        found = False
        others: set[str] = set()
        for row in rows:
            if isinstance(row, BadRow):
                yield row
            elif row.value.get("split") == self.split:
                found = True
                yield row
            elif len(others) < _SHOWN:
                others.add(repr(row.value.get("split"))[:60])
        if not found:
            known = ", ".join(sorted(others)) or "no rows"
            raise BrokenFileError(
                f"no row's column `split` says {self.split!r}; there are: {known}"
            )


def source_path(source: str, project: Path) -> Path:
    """The path that ``source`` names, which need not exist yet.

    Raises:
        DatasetError: it is no path but something that has to be fetched.
    """
    path = project / source
    if _REMOTE.match(source) and not path.exists():
        raise DatasetError(
            f"source {mask(source, ())!r}: this version reads local .jsonl and .json files only; "
            "fetch the data yourself and give the path"
        )
    return path


def open_source(path: Path, split: str | None, shown: str) -> Source:
    """The file for ``split`` at ``path``, which is a file or a directory of files.

    ``shown`` names it in messages.

    Raises:
        DatasetError: there is none, or more than one.
    """
    if path.is_dir():
        return Source(_in_directory(path, split, shown), None)
    if not path.exists():
        raise DatasetError(f"{shown}: there is no such file or directory")
    if not path.is_file():
        raise DatasetError(f"{shown}: is no regular file")
    if path.suffix not in SUFFIXES:
        raise DatasetError(f"{shown}: must end in .jsonl or .json, the formats that are read")
    return Source(path, split)


def data_files(path: Path) -> list[Path]:
    """The files with rows that ``path`` is, or that stand in it; none where there is nothing."""
    if path.is_dir():
        entries = (entry for entry in path.iterdir() if entry.suffix in SUFFIXES)
        return sorted(entry for entry in entries if entry.is_file())
    return [path] if path.is_file() else []


def _in_directory(directory: Path, split: str | None, shown: str) -> Path:
    present = data_files(directory)
    fitting = [entry for entry in present if split is None or entry.stem == split]
    if len(fitting) == 1:
        return fitting[0]
    names = ", ".join(entry.name for entry in (fitting or present)[:_SHOWN]) or "none"
    if split is None:
        raise DatasetError(f"{shown}: a directory; say with `split` which file; there are: {names}")
    wanted = f"more than one file for split {split!r}" if fitting else f"no {split}.jsonl or .json"
    raise DatasetError(f"{shown}: {wanted}; there are: {names}")
