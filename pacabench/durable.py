"""Waiting until a disk has what was written, so that a power cut cannot take it back."""

import errno
import fcntl
import os
from pathlib import Path


def sync_file(fd: int) -> None:
    """Wait until the disk has what was written. macOS needs more than ``fsync`` for that."""
    full_sync = getattr(fcntl, "F_FULLFSYNC", None)
    if full_sync is None:
        os.fsync(fd)
        return
    try:
        fcntl.fcntl(fd, full_sync)
    except OSError:  # file systems that do not know it, such as network ones
        os.fsync(fd)


def sync_directory(path: Path) -> None:
    """Wait until the disk has the names in ``path``: what was created, renamed, removed."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    except OSError as error:
        # Some file systems cannot sync a directory and say so; there is nothing more to do there.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(fd)


def sync_tree(root: Path) -> None:
    """Wait until the disk has all files below ``root`` and their names, ``root`` itself included.

    Called when all is written: the first wait then takes most of the others' work along. Links are
    names, and not followed.

    Raises:
        OSError: something cannot be read, or the disk does not take it.
    """
    for folder, _, names in os.walk(root, topdown=False, onerror=_raise):
        place = Path(folder)
        for name in names:
            path = place / name
            if path.is_file() and not path.is_symlink():
                fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
                try:
                    sync_file(fd)
                finally:
                    os.close(fd)
        sync_directory(place)


def _raise(error: OSError) -> None:
    raise error
