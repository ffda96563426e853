"""Writes to stdout or stderr as fast as it can: lines, or one line without an end; then answers."""

import os

from pacabench.audit.attacks.kit import Found, Given, found

_STDOUT = 1
_STDERR = 2


def attack(given: Given) -> Found:
    """See above."""
    fd = _STDERR if given["stream"] == "stderr" else _STDOUT
    piece = (b"x" * 65536) if given["shape"] == "line" else (b"flood!\n" * 9362)
    left = int(given["flood_bytes"])
    while left > 0:
        left -= os.write(fd, piece[:left])
    os.write(fd, b"\n")
    return found(False)
