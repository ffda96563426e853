"""Takes plain memory, and writes to all of it."""

from pacabench.audit.attacks.kit import Found, Given, found, grow

_BLOCK = 8 * 1024**2


def attack(given: Given) -> Found:
    """See above."""
    blocks, end = grow(lambda: b"x" * _BLOCK, given["try_bytes"] // _BLOCK)
    return found(blocks * _BLOCK > given["memory_bytes"], taken=blocks * _BLOCK, ended=end)
