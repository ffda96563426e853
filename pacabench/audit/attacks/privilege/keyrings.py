"""Uses the kernel's keyrings, which are shared by all containers of a user."""

import ctypes

from pacabench.audit.attacks.kit import Found, Given, absent, found, missing, syscall

_SESSION_RING = -3
_GET_ID = 0


def attack(_: Given) -> Found:
    """See above."""
    name = ctypes.c_char_p(b"pacabench-audit")
    seen = {
        "keyctl": syscall("keyctl", _GET_ID, _SESSION_RING, 0, 0, 0)[1],
        "add_key": syscall("add_key", ctypes.c_char_p(b"user"), name, name, 4, _SESSION_RING)[1],
        "request_key": syscall("request_key", ctypes.c_char_p(b"user"), name, None, 0)[1],
    }
    if all(absent(result) for result in seen.values()):
        return missing("this kernel has no keyrings", outcomes=seen)
    # ENOKEY: it looked, so it may look.
    return found(bool({"done", "ENOKEY"} & set(seen.values())), outcomes=seen)
