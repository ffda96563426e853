"""A JSON file: an array of rows, or an object of such arrays, one per split."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pacabench.datasets.base import BadRow, BrokenFileError, Row
from pacabench.datasets.decode import DECODER, row_of

MAX_FILE_BYTES = 512 * 1024**2
"""Such a file is read whole; larger ones have to be JSON lines."""
_SPACE = re.compile(r"[ \t\n\r]*")


class JsonFile:
    """A file that was read; row by row from here, so that each has its line."""

    def __init__(self, file: Path) -> None:
        """Read ``file``.

        Raises:
            BrokenFileError: too large, or not UTF-8.
            OSError: it cannot be read.
        """
        self._text = _read(file)
        self._at = 0
        self._counted = 0
        self._line = 1
        self._space()

    @property
    def is_object(self) -> bool:
        """Arrays by split, and not one array."""
        return self._text.startswith("{", self._at)

    def rows(self, split: str | None = None) -> Iterator[Row | BadRow]:
        """The rows of the array, or of the object's array ``split``.

        Raises:
            BrokenFileError: not JSON from a line on, or there is no such array.
        """
        if self.is_object:
            self._enter(split)
            yield from self._array()
            return
        yield from self._array()
        if self._at < len(self._text):
            raise BrokenFileError("not JSON: something follows the array", self._line)

    def _enter(self, split: str | None) -> None:
        """Go to the array ``split`` of the object."""
        names: list[str] = []
        self._expect("{")
        while not self._text.startswith("}", self._at):
            if names:
                self._expect(",")
            name = self._value()
            if not isinstance(name, str):
                raise BrokenFileError("not JSON: a key must be text", self._line)
            names.append(name)
            self._expect(":")
            if name == split:
                return
            self._value()
        known = ", ".join(repr(name) for name in names[:20])
        wanted = f"no split {split!r}" if split is not None else "say which with `split`"
        raise BrokenFileError(f"an object of arrays: {wanted}; there are: {known or 'none'}")

    def _array(self) -> Iterator[Row | BadRow]:
        self._expect("[")
        number = 0
        while not self._text.startswith("]", self._at):
            if number:
                self._expect(",")
            number += 1
            line = self._line
            yield row_of(self._value(), line, number)
        self._expect("]")

    def _value(self) -> Any:
        try:
            value, end = DECODER.raw_decode(self._text, self._at)
        except json.JSONDecodeError as error:
            raise BrokenFileError(f"not JSON: {error.msg}", error.lineno) from None
        except RecursionError:
            raise BrokenFileError("nested too deeply", self._line) from None
        except ValueError as error:
            raise BrokenFileError(f"in the row that begins here: {error}", self._line) from None
        self._move(end)
        return value

    def _expect(self, char: str) -> None:
        if not self._text.startswith(char, self._at):
            found = repr(self._text[self._at]) if self._at < len(self._text) else "the end"
            raise BrokenFileError(f"not JSON: {char!r} expected, found {found}", self._line)
        self._move(self._at + 1)

    def _move(self, to: int) -> None:
        self._at = to
        self._space()

    def _space(self) -> None:
        match = _SPACE.match(self._text, self._at)
        self._at = match.end() if match else self._at
        self._line += self._text.count("\n", self._counted, self._at)
        self._counted = self._at


def _read(file: Path) -> str:
    with file.open("rb") as stream:
        data = stream.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        size = MAX_FILE_BYTES // 1024**2
        raise BrokenFileError(f"larger than {size} MiB; write it as .jsonl, a row per line")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BrokenFileError("not UTF-8", data.count(b"\n", 0, error.start) + 1) from None
