"""Fills files that live in memory and have no directory (memfd), each below the file limit."""

import os

from pacabench.audit.attacks.kit import Found, Given, found, grow

_BLOCK = 8 * 1024**2


def attack(given: Given) -> Found:
    """See above."""
    blocks, end = grow(_memfd, given["try_bytes"] // _BLOCK)
    return found(blocks * _BLOCK > given["memory_bytes"], taken=blocks * _BLOCK, ended=end)


def _memfd() -> int:
    fd = os.memfd_create("m")
    if os.write(fd, b"x" * _BLOCK) < _BLOCK:
        raise OSError("short")
    return fd
