"""Files of rows as bytes, also those that gzip packed: read as they come, with an end."""

import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import BinaryIO

from pacabench.datasets.base import BrokenFileError

MAX_BYTES = 1024**3
"""Of a packed file, unpacked: a few kilobytes can stand for any number of them."""
_GZ = ".gz"


def format_of(file: PurePath) -> str:
    """What ``file`` is in: its suffix, with the one before it where it is packed."""
    packed = file.suffix == _GZ
    return file.with_suffix("").suffix + _GZ if packed else file.suffix


def stem_of(file: PurePath) -> str:
    """The name of ``file`` without what :func:`format_of` says."""
    return file.name.removesuffix(format_of(file))


@contextmanager
def open_rows(file: Path) -> Iterator[BinaryIO]:
    """The bytes of ``file``, unpacked.

    Raises, also while they are read:
        BrokenFileError: it is no whole gzip file, or unpacks to too much.
        OSError: it cannot be read.
    """
    with file.open("rb") as stream:
        if file.suffix != _GZ:
            yield stream
            return
        with gzip.GzipFile(fileobj=stream, mode="rb") as packed:
            yield io.BufferedReader(_Bounded(packed))


class _Bounded(io.RawIOBase):
    """Unpacks, up to a limit; what is wrong with the file is said as such."""

    def __init__(self, packed: gzip.GzipFile) -> None:
        self._packed = packed
        self._left = MAX_BYTES

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # io calls it so
        try:
            data = self._packed.read(len(buffer))
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise BrokenFileError(f"is no whole gzip file: {error}") from None
        self._left -= len(data)
        if self._left < 0:
            raise BrokenFileError(
                f"unpacks to more than {MAX_BYTES // 1024**2} MiB; unpack it, and name the result"
            )
        buffer[: len(data)] = data
        return len(data)
