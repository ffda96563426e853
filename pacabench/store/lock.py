"""Single writer: a run's directory belongs to one harness at a time.

The kernel's lock (``flock``) decides, because it ends with its holder however that ends. The file's
content says who holds it, for people and for readers that do not want to take the lock. The file
is never removed: a lock on a removed file would exclude nobody.
"""

import contextlib
import errno
import fcntl
import os
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import orjson
from pydantic import TypeAdapter, ValidationError

from pacabench.durable import sync_file
from pacabench.errors import RunLockedError
from pacabench.owner import Owner, current_owner, is_alive
from pacabench.store.files import file_error, open_regular, write_all

_FILE = "lock"
_PATIENCE_S = 0.5
"""A reader that asks who holds the lock takes it for a moment."""
_NO_FLOCK = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP})
_LONGEST = 4096


@dataclass(slots=True)
class RunLock:
    """A lock that is held until :meth:`release` or the end of the process."""

    previous: Owner | None
    """A harness that had the lock and did not give it back: it died."""
    _fd: int

    def release(self) -> None:
        """Let others have the run. Idempotent."""
        if self._fd < 0:
            return
        fd, self._fd = self._fd, -1
        with contextlib.suppress(OSError):  # a full disk must not keep the lock
            os.ftruncate(fd, 0)
        os.close(fd)


def take_lock(run_dir: Path) -> RunLock:
    """Take the lock of the run in ``run_dir``, also from a dead harness.

    Raises:
        RunLockedError: a harness that lives has it; the message says which.
        JournalError: the lock file cannot be used.
    """
    path = run_dir / _FILE
    fd = open_regular(path, os.O_RDWR | os.O_CREAT)
    with contextlib.ExitStack() as undo:
        undo.callback(os.close, fd)
        try:
            excludes = _flock_exclusive(fd)
            previous = _read_owner(fd)
            if excludes or previous is None or not is_alive(previous):
                _write_owner(fd)
                undo.pop_all()
                return RunLock(previous, fd)
        except BlockingIOError:
            previous = _read_owner(fd)
        except OSError as error:
            raise file_error("lock", path, error) from error
    raise _locked(run_dir, previous)


def lock_holder(run_dir: Path) -> Owner | None:
    """The living harness that holds the run, or None. Takes nothing away from it.

    Raises:
        JournalError: the lock file is no regular file.
    """
    path = run_dir / _FILE
    if not os.path.lexists(path):
        return None
    fd = open_regular(path, os.O_RDONLY)
    try:
        owner = _read_owner(fd)
        if owner is None or not is_alive(owner):
            return None
        # It may live on another machine, where only the kernel's lock can tell. A lock that can
        # be shared right now is held by nobody.
        return None if _is_free(fd) else owner
    finally:
        os.close(fd)


def _flock_exclusive(fd: int) -> bool:
    """Whether the file system knows locks.

    Raises:
        BlockingIOError: somebody else has it.
        OSError: for another reason.
    """
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(0.02)
        except OSError as error:
            if error.errno in _NO_FLOCK:
                return False
            raise
        else:
            return True


def _is_free(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return False
    fcntl.flock(fd, fcntl.LOCK_UN)
    return True


def _read_owner(fd: int) -> Owner | None:
    """Who wrote the file; None also for a file that was cut off in the writing."""
    try:
        return _owner_adapter().validate_json(os.pread(fd, _LONGEST, 0))
    except ValidationError:
        return None


def _write_owner(fd: int) -> None:
    os.ftruncate(fd, 0)
    os.lseek(fd, 0, os.SEEK_SET)
    write_all(fd, orjson.dumps(current_owner()) + b"\n")
    sync_file(fd)


def _locked(run_dir: Path, holder: Owner | None) -> RunLockedError:
    if holder is None:
        return RunLockedError(
            f"run {run_dir.name} is held by another harness that has just started. "
            "Wait for it, or stop it."
        )
    return RunLockedError(
        f"run {run_dir.name} is held by another harness: host {holder.host}, pid {holder.pid}. "
        "Wait for it, or stop it."
    )


@cache
def _owner_adapter() -> TypeAdapter[Owner]:
    return TypeAdapter(Owner)
