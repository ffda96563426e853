"""Files that must be there after a power cut, and that nobody can swap for something else.

Where a file is expected, a symbolic link, a FIFO or a device is refused: an agent in the
``process`` sandbox may have put it there.
"""

import errno
import os
import stat
from pathlib import Path

from pacabench.durable import sync_directory, sync_file
from pacabench.errors import JournalError

_MODE = 0o644


def open_regular(path: Path, flags: int) -> int:
    """A file descriptor of the regular file ``path``.

    Raises:
        JournalError: it is no regular file, or it cannot be opened.
    """
    try:
        # Without O_NONBLOCK a FIFO would block the open itself. Regular files do not care.
        fd = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, _MODE)
    except OSError as error:
        raise file_error("open", path, error) from error
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise JournalError(f"{path} is no regular file. Somebody put it there; take it away.")
    return fd


def read_regular(path: Path, limit_bytes: int) -> bytes:
    """The content of ``path``.

    Raises:
        JournalError: it is no regular file, cannot be read, or is larger than ``limit_bytes``.
    """
    with open(open_regular(path, os.O_RDONLY), "rb") as file:
        try:
            content = file.read(limit_bytes + 1)
        except OSError as error:
            raise file_error("read", path, error) from error
    if len(content) > limit_bytes:
        raise JournalError(f"{path} is larger than the {limit_bytes} bytes that it can have.")
    return content


def write_new(path: Path, content: bytes) -> None:
    """Write ``content`` to ``path``, which must not exist yet, and wait until the disk has it.

    Raises:
        JournalError: it exists, or the disk does not take it.
    """
    fd = open_regular(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    try:
        write_all(fd, content)
        sync_file(fd)
    except OSError as error:
        raise file_error("write", path, error) from error
    finally:
        os.close(fd)


def replace_file(path: Path, content: bytes) -> None:
    """Give ``path`` a new content so that every crash leaves the old or the new one, whole.

    Raises:
        JournalError: the disk does not take it; the old content stands.
    """
    temporary = path.with_name(f".{path.name}.new")
    try:
        temporary.unlink(missing_ok=True)
        write_new(temporary, content)
        temporary.replace(path)
        sync_directory(path.parent)
    except OSError as error:
        raise file_error("write", path, error) from error


def write_all(fd: int, content: bytes) -> None:
    """Write ``content`` with one call, or go on where the system took only a part.

    Raises:
        OSError: part of it may have been written.
    """
    view = memoryview(content)
    while view:
        view = view[os.write(fd, view) :]


def make_directory(path: Path) -> None:
    """Make ``path`` and its parents where they are missing, durably.

    Raises:
        OSError: it cannot be made.
    """
    if path.is_dir():
        return
    make_directory(path.parent)
    path.mkdir(exist_ok=True)
    sync_directory(path.parent)


def file_error(verb: str, path: Path, error: OSError) -> JournalError:
    """An error that says what to do about ``error``."""
    reason = error.strerror or str(error)
    if error.errno == errno.ELOOP:
        reason = "it is a symbolic link where a file is expected"
    hint = _HINTS.get(error.errno or 0, "")
    return JournalError(f"cannot {verb} {path}: {reason}.{hint}")


_FREE_SPACE = (
    " Make room, then `pacabench resume`; every result that was reported as finished is on disk."
)
_HINTS = {
    errno.ENOSPC: _FREE_SPACE,
    errno.EDQUOT: _FREE_SPACE,
    errno.EROFS: " The file system is mounted read-only.",
    errno.EACCES: " Check who owns it.",
    errno.EIO: " The disk reports a fault; look at the system's log.",
}
