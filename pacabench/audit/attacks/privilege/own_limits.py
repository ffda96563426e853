"""Lifts its own limits: opens its control group's files for writing, also mounted anew."""

import os

from pacabench.audit.attacks.kit import Found, Given, found, missing, outcome, syscall

_REMOUNT_BIND = 32 | 4096
_FILES = (
    "memory/memory.limit_in_bytes",
    "pids/pids.max",
    "cpu/cpu.cfs_quota_us",
    "memory.max",
    "pids.max",
    "cpu.max",
)


def attack(_: Given) -> Found:
    """See above."""
    root = "/sys/fs/cgroup"
    if not os.path.isdir(root):  # noqa: PTH112 - strings throughout
        return missing("no control groups are mounted here")
    for place in (root, f"{root}/memory", f"{root}/pids", f"{root}/cpu"):
        syscall("mount", b"none\0", f"{place}\0".encode(), b"none\0", _REMOUNT_BIND, None)
    paths = [f"{root}/{name}" for name in _FILES if os.path.exists(f"{root}/{name}")]  # noqa: PTH110
    seen = {
        path: outcome(lambda path=path: os.close(os.open(path, os.O_WRONLY)))  # type: ignore[misc]
        for path in paths
    }
    return found("done" in seen.values(), opened=seen)
