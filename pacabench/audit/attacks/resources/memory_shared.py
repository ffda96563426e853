"""Takes shared memory in three ways: System V segments, /dev/shm, shared mappings."""

import ctypes
import mmap
import os

from pacabench.audit.attacks.kit import Found, Given, found, grow

_BLOCK = 8 * 1024**2
_IPC_PRIVATE = 0
_IPC_RMID = 0
_CREATE = 0o1600


def attack(given: Given) -> Found:
    """See above."""
    ways = {"system-v": _segment, "dev-shm": _shm_file, "mapping": _mapping}
    taken = {
        name: grow(take, given["try_bytes"] // _BLOCK)[0] * _BLOCK for name, take in ways.items()
    }
    return found(max(taken.values()) > given["memory_bytes"], taken=taken)


def _segment() -> object:
    """Removed at once: it lives as long as it is attached."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.shmat.restype = ctypes.c_void_p
    number = libc.shmget(_IPC_PRIVATE, ctypes.c_size_t(_BLOCK), _CREATE)
    if number < 0:
        raise OSError(ctypes.get_errno(), "shmget")
    place = libc.shmat(number, None, 0)
    libc.shmctl(number, _IPC_RMID, None)
    ctypes.memset(place, 1, _BLOCK)
    return place


def _shm_file() -> object:
    name = f"/dev/shm/{os.getpid()}"  # noqa: S108 - its real name
    fd = os.open(name, os.O_CREAT | os.O_RDWR | os.O_EXCL)
    os.unlink(name)  # noqa: PTH108 - a descriptor is what is kept
    if os.write(fd, b"x" * _BLOCK) < _BLOCK:
        raise OSError("short")
    return fd


def _mapping() -> object:
    shared = mmap.mmap(-1, _BLOCK)
    shared.write(b"x" * _BLOCK)
    return shared
