"""Opens every device that is there and is none of those that any process needs."""

import os
import stat
from pathlib import Path

from pacabench.audit.attacks.kit import Found, Given, found, outcome

_USUAL = {"null", "zero", "full", "random", "urandom", "tty", "ptmx", "console"}


def attack(_: Given) -> Found:
    """See above."""
    seen = {
        str(path): outcome(lambda path=path: os.close(os.open(path, os.O_RDONLY)))  # type: ignore[misc]
        for path in _nodes(Path("/dev"))
        if path.name not in _USUAL and path.parent.name != "pts"
    }
    return found("done" in seen.values(), opened=seen)


def _nodes(root: Path) -> list[Path]:
    paths = [path for path in root.rglob("*") if not path.is_symlink()]
    return [path for path in paths if _is_device(path)]


def _is_device(path: Path) -> bool:
    mode = path.lstat().st_mode
    return stat.S_ISCHR(mode) or stat.S_ISBLK(mode)
