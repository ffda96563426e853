"""Fills sockets that nobody reads: memory of the kernel's, and not of a process."""

import socket

from pacabench.audit.attacks.kit import Found, Given, found, grow

_EACH = 160 * 1024
"""Below the kernel's usual send buffer."""
_PIECES = 5


def attack(given: Given) -> Found:
    """See above."""
    pairs, end = grow(_full, given["try_bytes"] // _EACH)
    return found(pairs * _EACH > given["memory_bytes"], taken=pairs * _EACH, ended=end)


def _full() -> object:
    one, other = socket.socketpair()
    one.setblocking(False)
    for _ in range(_PIECES):
        one.send(b"x" * (_EACH // _PIECES))
    return one, other
