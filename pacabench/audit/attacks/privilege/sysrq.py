"""Opens ``sysrq-trigger`` for writing: one letter restarts the machine. Opens only."""

import os

from pacabench.audit.attacks.kit import Found, Given, found, missing, outcome

_PATHS = ("/proc/sysrq-trigger", "/proc/sys/kernel/sysrq")


def attack(_: Given) -> Found:
    """See above."""
    seen = {
        path: outcome(lambda path=path: os.close(os.open(path, os.O_WRONLY)))  # type: ignore[misc]
        for path in _PATHS
    }
    if set(seen.values()) == {"ENOENT"}:
        return missing("this kernel has no sysrq", opened=seen)
    return found("done" in seen.values(), opened=seen)
