"""Reads the capability sets that the kernel gives this process."""

from pathlib import Path

from pacabench.audit.attacks.kit import Found, Given, found


def attack(_: Given) -> Found:
    """See above."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    sets = {
        name: value.strip()
        for name, _, value in (line.partition(":") for line in lines)
        if name.startswith("Cap")
    }
    return found(any(int(value, 16) for value in sets.values()), sets=sets)
