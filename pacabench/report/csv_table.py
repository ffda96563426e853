"""``pacabench export --format csv``: for spreadsheets and data frames.

A spreadsheet runs what looks like a formula, and agents choose what stands in cells. Text that
begins like one gets an apostrophe before it, which spreadsheets take as "text follows" (OWASP,
"CSV Injection"). Control characters and the like are escaped as in ``printable``.
"""

import csv
import io
import re
from collections.abc import Iterator
from typing import Any

from pacabench.report.printable import printable_block
from pacabench.report.rows import Flat

_FORMULA = frozenset("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")
"""What a cell that is run begins with; full-width signs too."""
_NUMBER = re.compile(r"[+-]?[0-9]{1,30}(\.[0-9]{1,30})?(e[+-]?[0-9]{1,3})?", re.IGNORECASE)
_BATCH = 1000
_LONGEST_ESCAPE = len("\\U0010ffff")


def csv_chunks(flat: Flat) -> Iterator[bytes]:
    """The rows as RFC 4180 has them, in UTF-8, header first."""
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    writer.writerow(flat.columns)
    for number, row in enumerate(flat.rows, 1):
        writer.writerow([_cell(row[name]) for name in flat.columns])
        if number % _BATCH == 0:
            yield _drain(buffer)
    yield _drain(buffer)


def _drain(buffer: io.StringIO) -> bytes:
    text = buffer.getvalue()
    buffer.seek(0)
    buffer.truncate()
    return text.encode("utf-8", "backslashreplace")


def _cell(value: Any) -> Any:
    """Nothing for None, lower-case truth values as JSON has them, harmless text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return harmless(value) if isinstance(value, str) else value


def harmless(text: str) -> str:
    """``text`` that no spreadsheet takes for a formula, and no terminal obeys."""
    escaped = printable_block(text, len(text) * _LONGEST_ESCAPE)
    # What a program may trim before it looks does not hide a formula.
    first = text.lstrip(" \u00a0\ufeff\u200b")[:1]
    runs = first and first in _FORMULA and not _NUMBER.fullmatch(text)
    return f"'{escaped}" if runs else escaped
