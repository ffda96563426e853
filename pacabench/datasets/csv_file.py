"""Comma- and tab-separated tables: a header, then a row per record. Every cell is text."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from pacabench.datasets.base import BadRow, BrokenFileError, Row
from pacabench.datasets.gzipped import format_of, open_rows

MAX_CELL_CHARACTERS = 32 * 1024**2


def read_csv(file: Path) -> Iterator[Row | BadRow]:
    """The rows of ``file``, one in memory at a time. Empty lines are no rows.

    Raises:
        BrokenFileError: no header, a quote that does not end, or not UTF-8.
        OSError: it cannot be read.
    """
    csv.field_size_limit(MAX_CELL_CHARACTERS)
    delimiter = "\t" if format_of(file).startswith(".tsv") else ","
    with (
        open_rows(file) as content,
        io.TextIOWrapper(content, encoding="utf-8-sig", newline="") as stream,
    ):
        reader = csv.reader(stream, delimiter=delimiter, strict=True)
        try:
            names = _header(next(reader, []))
            begins = reader.line_num + 1
            for cells in reader:
                if cells:
                    yield _row(names, cells, begins)
                begins = reader.line_num + 1
        except csv.Error as error:
            raise BrokenFileError(f"not CSV: {error}", reader.line_num) from None
        except UnicodeDecodeError:
            raise BrokenFileError("not UTF-8; save it as UTF-8", reader.line_num + 1) from None


def _header(names: list[str]) -> list[str]:
    if not any(names):
        raise BrokenFileError("has no header: its first line must name the columns", 1)
    for name in names:
        if names.count(name) > 1:
            raise BrokenFileError(f"the column {name[:80]!r} stands twice in the header", 1)
    return names


def _row(names: list[str], cells: list[str], line: int) -> Row | BadRow:
    if len(cells) != len(names):
        return BadRow(f"{len(cells)} cells, and the header has {len(names)}", line)
    return Row(dict(zip(names, cells, strict=True)), line)
