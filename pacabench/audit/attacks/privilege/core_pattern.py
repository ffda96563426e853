"""Opens ``core_pattern`` and its kin for writing: a program there runs on the host, as root.

Opens only. Nothing is written, neither here nor where it would work.
"""

import os

from pacabench.audit.attacks.kit import Found, Given, found, outcome

_PATHS = (
    "/proc/sys/kernel/core_pattern",
    "/proc/sys/kernel/modprobe",
    "/proc/sys/kernel/hotplug",
    "/proc/sys/fs/binfmt_misc/register",
    "/proc/sys/vm/panic_on_oom",
)


def attack(_: Given) -> Found:
    """See above."""
    seen = {
        path: outcome(lambda path=path: os.close(os.open(path, os.O_WRONLY)))  # type: ignore[misc]
        for path in _PATHS
    }
    return found("done" in seen.values(), opened=seen)
