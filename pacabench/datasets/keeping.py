"""Where the cases of a data set are while a run goes on: in memory, or in their file."""

import hashlib
from array import array
from collections.abc import Callable
from pathlib import Path

from pacabench.datasets.base import Row, StoredCases
from pacabench.datasets.cases import CaseMaker, MadeCase
from pacabench.datasets.jsonl import read_row
from pacabench.errors import DatasetError
from pacabench.model import Case

_HASH_BYTES = 8


class Held:
    """Keeps cases in memory."""

    def __init__(self) -> None:
        self.cases: list[Case] = []

    def add(self, made: MadeCase) -> None:
        """Keep one."""
        self.cases.append(made.case)

    def in_order_of(self, place: Callable[[str], bytes]) -> list[Case]:
        """The cases, each where ``place`` of its id says."""
        return sorted(self.cases, key=lambda case: place(case.case_id))


class Stored:
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

    def in_order_of(self, place: Callable[[str], bytes]) -> StoredCases:
        """The cases, each where ``place`` of its id says."""
        order = sorted(range(len(self._ids)), key=lambda number: place(self._ids[number]))
        return StoredCases(
            [self._ids[number] for number in order], lambda number: self._case(order[number])
        )

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
