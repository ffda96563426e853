"""Files of this machine that a ``source`` names: one, a directory of them, or a pattern's."""

import glob
from collections.abc import Iterator
from pathlib import Path

from pacabench.datasets.base import BadRow, Part, Row, Source, printable
from pacabench.datasets.csv_file import read_csv
from pacabench.datasets.gzipped import format_of, stem_of
from pacabench.datasets.json_file import JsonFile
from pacabench.datasets.jsonl import read_jsonl
from pacabench.datasets.parquet import read_parquet
from pacabench.errors import DatasetError

SUFFIXES = (".jsonl", ".json", ".csv", ".tsv", ".parquet", ".jsonl.gz", ".csv.gz", ".tsv.gz")
FORMATS = ".jsonl, .json, .csv, .tsv, .parquet, .jsonl.gz, .csv.gz or .tsv.gz"
HELD_BYTES = 64 * 1024**2
"""Cases of a larger file are read from it when they are run."""
_SHOWN = 20


class FilePart:
    """One file with rows."""

    def __init__(self, file: Path, shown: str) -> None:
        self._file = file
        self._shown = shown

    @property
    def shown(self) -> str:
        """See :class:`~pacabench.datasets.base.Part`."""
        return self._shown

    @property
    def stored(self) -> Path | None:
        """See :class:`~pacabench.datasets.base.Part`."""
        large = self._file.suffix == ".jsonl" and self._file.stat().st_size > HELD_BYTES
        return self._file if large else None

    def rows(self, split: str | None) -> tuple[Iterator[Row | BadRow], bool]:
        """See :class:`~pacabench.datasets.base.Part`."""
        match format_of(self._file):
            case ".jsonl" | ".jsonl.gz":
                return read_jsonl(self._file), False
            case ".csv" | ".tsv" | ".csv.gz" | ".tsv.gz":
                return read_csv(self._file), False
            case ".parquet":
                return read_parquet(self._file), False
            case _:
                content = JsonFile(self._file)
                return content.rows(split), content.is_object


def part_of(file: Path, base: Path) -> Part:
    """``file`` as a part, named as seen from ``base``."""
    shown = file.relative_to(base) if file.is_relative_to(base) else file
    return FilePart(file, printable(str(shown)))


def open_local(path: Path, split: str | None, base: Path, shown: str) -> Source:
    """The file for ``split`` at ``path``, which is a file or a directory of files.

    Files are named as seen from ``base``, and the whole is ``shown`` in messages.

    Raises:
        DatasetError: there is none, or more than one.
    """
    if path.is_dir():
        return Source((part_of(_in_directory(path, split, shown), base),), None)
    if not path.exists():
        raise DatasetError(f"{shown}: there is no such file or directory")
    if not path.is_file():
        raise DatasetError(f"{shown}: is no regular file")
    if format_of(path) not in SUFFIXES:
        raise DatasetError(f"{shown}: must end in {FORMATS}, the formats that are read")
    return Source((part_of(path, base),), split)


def is_pattern(source: str, base: Path) -> bool:
    """Whether ``source`` stands for what it matches, and not for itself."""
    return glob.has_magic(source) and not (base / source).exists()


def matches(pattern: str, base: Path) -> list[Path]:
    """The files that ``pattern`` matches, seen from ``base``, in the order of their names."""
    names = glob.glob(pattern, root_dir=base, recursive=True)  # noqa: PTH207 - Path.glob takes no absolute ones
    found = (base / name for name in names)
    return sorted(path for path in found if path.is_file())


def open_pattern(pattern: str, split: str | None, base: Path) -> Source:
    """All files that ``pattern`` matches, one after the other.

    Raises:
        DatasetError: there is none, or one in a format that is not read.
    """
    files = matches(pattern, base)
    if not files:
        raise DatasetError(f"{printable(pattern)}: matches no file")
    for file in files:
        if format_of(file) not in SUFFIXES:
            raise DatasetError(
                f"{printable(pattern)}: matches {printable(file.name)}, which is none of the "
                f"formats that are read; end the pattern in {FORMATS}"
            )
    return Source(tuple(part_of(file, base) for file in files), split)


def data_files(path: Path) -> list[Path]:
    """The files with rows that ``path`` is, or that stand in it; none where there is nothing."""
    if path.is_dir():
        entries = (entry for entry in path.iterdir() if format_of(entry) in SUFFIXES)
        return sorted(entry for entry in entries if entry.is_file())
    return [path] if path.is_file() else []


def _in_directory(directory: Path, split: str | None, shown: str) -> Path:
    present = data_files(directory)
    fitting = [entry for entry in present if split is None or stem_of(entry) == split]
    if len(fitting) == 1:
        return fitting[0]
    names = ", ".join(printable(entry.name) for entry in (fitting or present)[:_SHOWN]) or "none"
    if split is None:
        raise DatasetError(f"{shown}: a directory; say with `split` which file; there are: {names}")
    wanted = f"more than one file for split {split!r}" if fitting else f"no {split}.jsonl or .json"
    raise DatasetError(f"{shown}: {wanted}; there are: {names}")
