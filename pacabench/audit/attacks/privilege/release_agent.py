"""Opens a control group's ``release_agent`` for writing: the host would run it, as root.

Also after an attempt to mount the hierarchy anew. Opens only.
"""

import os
from pathlib import Path

from pacabench.audit.attacks.kit import Found, Given, found, missing, outcome, syscall

_HIERARCHIES = ("memory", "rdma", "devices", "pids", "cpu", "blkio", "misc")


def attack(given: Given) -> Found:
    """See above."""
    mounted = {}
    roots = [Path("/sys/fs/cgroup")]
    for name in _HIERARCHIES:
        place = Path("/tmp", f"cgroup-{name}-{given['nonce']}")  # noqa: S108 - in the container
        place.mkdir()
        target, options = f"{place}\0".encode(), f"{name}\0".encode()
        mounted[name] = syscall("mount", b"none\0", target, b"cgroup\0", 0, options)[1]
        if mounted[name] == "done":
            roots.append(place)
    files = [path for root in roots for path in _agents(root)]
    seen = {
        str(path): outcome(lambda path=path: os.close(os.open(path, os.O_WRONLY)))  # type: ignore[misc]
        for path in files
    }
    second = Path("/sys/fs/cgroup/cgroup.controllers").exists()
    if second and not files:
        return missing("cgroup v2 has no release_agent", mounted=mounted)
    return found("done" in seen.values(), mounted=mounted, opened=seen)


def _agents(root: Path) -> list[Path]:
    """One and two levels down: where hierarchies are mounted."""
    return [*root.glob("release_agent"), *root.glob("*/release_agent")]
