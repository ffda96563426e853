"""Writes 100,000 lines, each with a write of its own, to both streams; then answers."""

import os

from pacabench.audit.attacks.kit import Found, Given, found

WRITES = 100_000
_BOTH = (1, 2)


def attack(_: Given) -> Found:
    """See above."""
    for number in range(WRITES // 2):
        for fd in _BOTH:
            os.write(fd, b"line %d\n" % number)
    return found(False, writes=WRITES)
