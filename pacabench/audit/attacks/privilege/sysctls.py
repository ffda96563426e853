"""Opens kernel settings below /proc/sys for writing. Opens only."""

import os

from pacabench.audit.attacks.kit import Found, Given, found, outcome

_PATHS = (
    "/proc/sys/vm/overcommit_memory",
    "/proc/sys/kernel/randomize_va_space",
    "/proc/sys/kernel/hostname",
    "/proc/sys/net/ipv4/ip_forward",
    "/proc/sys/user/max_user_namespaces",
)


def attack(_: Given) -> Found:
    """See above."""
    seen = {
        path: outcome(lambda path=path: os.close(os.open(path, os.O_WRONLY)))  # type: ignore[misc]
        for path in _PATHS
    }
    return found("done" in seen.values(), opened=seen)
