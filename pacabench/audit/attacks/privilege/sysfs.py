"""Opens files of /sys for writing, also after an attempt to mount it writable. Opens only."""

import os

from pacabench.audit.attacks.kit import Found, Given, found, outcome, syscall

_REMOUNT = 32
_PATHS = (
    "/sys/kernel/uevent_helper",
    "/sys/kernel/mm/transparent_hugepage/enabled",
    "/sys/power/state",
)


def attack(_: Given) -> Found:
    """See above."""
    remounted = syscall("mount", b"none\0", b"/sys\0", b"sysfs\0", _REMOUNT, None)[1]
    seen = {
        path: outcome(lambda path=path: os.close(os.open(path, os.O_WRONLY)))  # type: ignore[misc]
        for path in _PATHS
    }
    return found("done" in seen.values(), remounted=remounted, opened=seen)
