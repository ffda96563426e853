"""Mounts: a tmpfs, /proc anew, a bind, and by the newer ``fsopen``."""

import os
from functools import partial
from pathlib import Path

from pacabench.audit.attacks.kit import Found, Given, found, outcome, syscall

_MS_BIND = 4096


def attack(given: Given) -> Found:
    """See above."""
    place = Path("/tmp", f"mount-{given['nonce']}")  # noqa: S108 - inside the container
    made = outcome(partial(os.mkdir, place))
    target = str(place).encode() + b"\0"
    seen = {
        "place": made,
        "tmpfs": syscall("mount", b"none\0", target, b"tmpfs\0", 0, None)[1],
        "proc": syscall("mount", b"none\0", target, b"proc\0", 0, None)[1],
        "bind": syscall("mount", b"/etc\0", target, b"none\0", _MS_BIND, None)[1],
        "fsopen": syscall("fsopen", b"tmpfs\0", 0)[1],
        "umount": syscall("umount2", b"/work\0", 2)[1],
    }
    tried = {name: result for name, result in seen.items() if name != "place"}
    return found("done" in tried.values(), outcomes=seen)
