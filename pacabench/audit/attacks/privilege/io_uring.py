"""Sets io_uring up: system calls that no seccomp filter sees."""

import ctypes
from pathlib import Path

from pacabench.audit.attacks.kit import Found, Given, absent, found, missing, syscall


def attack(_: Given) -> Found:
    """See above."""
    made = syscall("io_uring_setup", 1, ctypes.create_string_buffer(120))[1]
    if absent(made):
        return missing("this kernel has no io_uring", made=made)
    switch = Path("/proc/sys/kernel/io_uring_disabled")
    if made != "done" and switch.exists() and switch.read_text(encoding="ascii").strip() != "0":
        return missing("this kernel has io_uring switched off", made=made)
    return found(made == "done", made=made)
