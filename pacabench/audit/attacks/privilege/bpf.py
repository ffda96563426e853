"""Loads into the kernel's own machine: a BPF map."""

import ctypes
import struct

from pacabench.audit.attacks.kit import Found, Given, absent, found, missing, syscall

_MAP_CREATE = 0
_ARRAY = 2


def attack(_: Given) -> Found:
    """See above."""
    attributes = ctypes.create_string_buffer(struct.pack("=IIII", _ARRAY, 4, 4, 1), 64)
    made = syscall("bpf", _MAP_CREATE, attributes, 64)[1]
    if absent(made):
        return missing("this kernel has no bpf()", made=made)
    return found(made == "done", made=made)
