"""``index.jsonl``: a line per recorded call and per finished attempt, each with a checksum.

The lines are those of the journal (``store/lines.py``). What a crash left half-written at the end
is cut off before the next line is appended, and passed over by who only reads.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, BinaryIO

from pydantic import Field, StringConstraints, TypeAdapter, ValidationError

from pacabench.errors import CassetteError, JournalError
from pacabench.model import CaseKey, Outcome
from pacabench.store.files import open_regular
from pacabench.store.lines import VERSION, is_whole, version_of

INDEX = "index.jsonl"
KIND = "entry"
MAX_INDEX_BYTES = 512 * 1024**2
MAX_LINE_BYTES = 64 * 1024

_Hex = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
_Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
_Word = Annotated[str, StringConstraints(max_length=1000)]
_Count = Annotated[int, Field(ge=0, lt=2**53)]


@dataclass(frozen=True, slots=True)
class RecordedCall:
    """A call whose exchange is kept."""

    key: CaseKey
    attempt_id: _Word
    call_id: _Word
    arrived_us: _Count
    """Orders the calls of an attempt."""
    request: _Hex
    """Digest of the canonical request, with what the cassette's ``ignore`` names left out."""
    blob: _Sha256
    """SHA-256 of the exchange as bytes, and its file's name."""
    size_bytes: _Count
    """Of these bytes."""
    answers: bool
    """An equal call can be answered with it."""


@dataclass(frozen=True, slots=True)
class Take:
    """An attempt that ended. All its calls stand before it."""

    key: CaseKey
    attempt_id: _Word
    outcome: Outcome
    calls: _Count
    """That went to a provider."""
    missing: _Count
    """Those of them whose exchange could not be kept."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line: either of them."""

    call: RecordedCall | None = None
    take: Take | None = None


@dataclass(frozen=True, slots=True)
class _Line:
    v: int
    durable: int
    entry: Entry


class IndexReader:
    """Iterates over the entries of one index; ``end`` tells how many bytes are whole lines."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.end = 0

    def __iter__(self) -> Iterator[Entry]:
        """Every whole line's entry.

        Raises:
            CassetteError: it is too long, damaged, or of a newer version.
        """
        try:
            fd = open_regular(self._path, os.O_RDONLY)
        except JournalError as error:
            raise CassetteError(str(error)) from None
        with os.fdopen(fd, "rb") as file:
            if os.fstat(file.fileno()).st_size > MAX_INDEX_BYTES:
                raise CassetteError(f"{self._path} is longer than {MAX_INDEX_BYTES // 1024**2} MiB")
            yield from self._entries(file)

    def _entries(self, file: BinaryIO) -> Iterator[Entry]:
        number = 0
        while line := file.readline(MAX_LINE_BYTES + 1):
            number += 1
            if not is_whole(line):
                if line.endswith(b"\n") or len(line) > MAX_LINE_BYTES or file.read(1):
                    raise CassetteError(
                        f"{self._path} line {number} is damaged: its checksum does not match. "
                        "Take the cassette from where it came from again, or record anew."
                    )
                return  # torn by a crash, and so of an attempt that has no end
            yield self._entry(line, number)
            self.end += len(line)

    def _entry(self, line: bytes, number: int) -> Entry:
        if version_of(line) > VERSION:
            raise CassetteError(f"{self._path} was written by a newer PacaBench. Update.")
        try:
            return _adapter().validate_json(line).entry
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(map(str, first["loc"]))
            raise CassetteError(
                f"{self._path} line {number} is no entry that this PacaBench knows "
                f"({where}: {first['msg']})"
            ) from None


@cache
def _adapter() -> TypeAdapter[_Line]:
    return TypeAdapter(_Line)
