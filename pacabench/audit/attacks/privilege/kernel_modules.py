"""Loads code into the kernel: a module of no bytes."""

import ctypes

from pacabench.audit.attacks.kit import Found, Given, absent, found, missing, syscall

_ALLOWED = {"done", "ENOEXEC", "EINVAL", "EFAULT"}
"""Past the question whether it may: what is wrong is only what it was given."""


def attack(_: Given) -> Found:
    """See above."""
    empty = ctypes.c_char_p(b"")
    loaded = syscall("init_module", empty, 0, empty)[1]
    if absent(loaded):
        return missing("this kernel loads no modules", loaded=loaded)
    return found(loaded in _ALLOWED, loaded=loaded)
