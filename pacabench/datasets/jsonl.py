"""JSON lines: one object per line."""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from pacabench.datasets.base import BadRow, BrokenFileError, Row
from pacabench.datasets.decode import decode_row
from pacabench.datasets.gzipped import open_rows

MAX_ROW_BYTES = 32 * 1024**2
_BOM = b"\xef\xbb\xbf"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


def read_jsonl(file: Path) -> Iterator[Row | BadRow]:
    """The rows of ``file``, one line in memory at a time. Blank lines count but are no rows.

    Raises:
        BrokenFileError: it is UTF-16, or a packed file is broken.
        OSError: it cannot be read.
    """
    with open_rows(file) as stream:
        for number, (offset, line) in enumerate(_lines(stream), start=1):
            text = line
            if number == 1:
                if line.startswith(_UTF16):
                    raise BrokenFileError("is UTF-16; save it as UTF-8", 1)
                text = line.removeprefix(_BOM)
            if len(text) > MAX_ROW_BYTES and len(text.rstrip(b"\r\n")) > MAX_ROW_BYTES:
                yield BadRow(f"longer than {MAX_ROW_BYTES // 1024**2} MiB", number)
            elif stripped := text.strip(b" \t\r\n"):
                yield decode_row(stripped, number, offset)


def read_row(file: Path, line: int, offset: int) -> Row | BadRow:
    """Read one row again that :func:`read_jsonl` gave.

    Raises:
        OSError: the file cannot be read.
    """
    with file.open("rb") as stream:
        stream.seek(offset)
        text = stream.readline(MAX_ROW_BYTES + 2)
    return decode_row(text.removeprefix(_BOM).strip(b" \t\r\n"), line, offset)


def _lines(stream: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Lines with their offsets, each cut a little past the limit."""
    limit = MAX_ROW_BYTES + 2
    offset = 0
    while line := stream.readline(limit):
        yield offset, line
        offset += len(line)
        rest = line
        while len(rest) == limit and not rest.endswith(b"\n"):
            rest = stream.readline(limit)
            offset += len(rest)
