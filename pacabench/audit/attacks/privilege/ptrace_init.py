"""Attaches to process 1 as a debugger, and reads and writes its memory."""

import ctypes
import os
import struct

from pacabench.audit.attacks.kit import Found, Given, found, syscall

_ATTACH = 16
_DETACH = 17
_SEIZE = 0x4206


def attack(_: Given) -> Found:
    """See above."""
    seen = {"attach": _attach(), "seize": syscall("ptrace", _SEIZE, 1, 0, 0)[1]}
    place = ctypes.create_string_buffer(8)
    vector = ctypes.create_string_buffer(struct.pack("=QQ", ctypes.addressof(place), 8))
    for name in ("process_vm_readv", "process_vm_writev"):
        seen[name] = syscall(name, 1, vector, 1, vector, 1, 0)[1]
    # EFAULT: it was let in, the address was only a guess.
    return found(bool({"done", "EFAULT"} & set(seen.values())), outcomes=seen)


def _attach() -> str:
    _, result = syscall("ptrace", _ATTACH, 1, 0, 0)
    if result == "done":
        os.waitpid(1, 0x40000000)  # __WALL
        syscall("ptrace", _DETACH, 1, 0, 0)
    return result
