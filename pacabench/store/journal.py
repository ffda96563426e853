"""Appending to a journal file, so that it holds whole lines whatever goes wrong."""

import contextlib
import os
import threading
from collections.abc import Sequence
from pathlib import Path

from pacabench.durable import sync_file
from pacabench.errors import JournalError
from pacabench.store.files import file_error, open_regular, write_all
from pacabench.store.lines import seal


class Journal:
    """The one writer of a file that holds whole lines only, when it is opened.

    After a failed write or sync nothing more is written: every later call raises the first error.
    What the disk may have taken in part is cut back; where that fails too, the checksums of the
    next reader find it. A failed ``fsync`` is never repeated, because the second one can succeed
    without the data (see fsync(2), NOTES).
    """

    def __init__(self, path: Path, kind: str) -> None:
        self.path = path
        self._kind = kind
        self._fd = open_regular(path, os.O_WRONLY | os.O_APPEND)
        self._size = self._durable = os.fstat(self._fd).st_size
        self._failure: JournalError | None = None
        self._lock = threading.Lock()

    @property
    def durable(self) -> int:
        """Bytes that are surely on disk."""
        return self._durable

    @property
    def failure(self) -> JournalError | None:
        """Why nothing more is written, if so."""
        return self._failure

    def append(self, payloads: Sequence[bytes]) -> None:
        """Hand one line per JSON payload to the system with one write. On disk after :meth:`sync`.

        Raises:
            JournalError: the disk is full, failed, or had failed before.
        """
        with self._lock:
            self._check()
            lines = b"".join(seal(self._kind, payload, self._durable) for payload in payloads)
            try:
                write_all(self._fd, lines)
            except OSError as error:
                raise self._fail("write", error, self._size) from error
            self._size += len(lines)

    def sync(self) -> None:
        """Return once everything that was appended before this call is on disk.

        Safe beside :meth:`append` in another thread, which does not wait for it.

        Raises:
            JournalError: as :meth:`append`.
        """
        with self._lock:
            self._check()
            size = self._size
        if size == self._durable:
            return
        try:
            sync_file(self._fd)
        except OSError as error:
            with self._lock:
                raise self._fail("sync", error, self._durable) from error
        self._durable = size

    def close(self) -> None:
        """Close the file without a sync. Idempotent."""
        with self._lock:
            if self._failure is None:
                self._failure = JournalError(f"{self.path} is closed.")
            fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _fail(self, verb: str, error: OSError, keep: int) -> JournalError:
        self._failure = file_error(verb, self.path, error)
        with contextlib.suppress(OSError):
            os.ftruncate(self._fd, keep)
            self._size = keep
        return self._failure


def cut_back(path: Path, end: int) -> bytes:
    """Cut ``path`` to ``end`` bytes, durably, and return what was after them.

    Raises:
        JournalError: the file cannot be changed.
    """
    fd = open_regular(path, os.O_RDWR)
    try:
        tail = os.pread(fd, max(0, os.fstat(fd).st_size - end), end)
        os.ftruncate(fd, end)
        sync_file(fd)
    except OSError as error:
        raise file_error("repair", path, error) from error
    finally:
        os.close(fd)
    return tail
