"""Opens a performance counter, which reads other processes' timings and has a long history."""

import ctypes
import struct

from pacabench.audit.attacks.kit import Found, Given, absent, found, missing, syscall

_SOFTWARE = 1
_SIZE = 112


def attack(_: Given) -> Found:
    """See above."""
    attributes = ctypes.create_string_buffer(struct.pack("=IIQ", _SOFTWARE, _SIZE, 0), _SIZE)
    made = syscall("perf_event_open", attributes, 0, -1, -1, 0)[1]
    if absent(made):
        return missing("this kernel has no perf_event_open()", made=made)
    return found(made == "done", made=made)
