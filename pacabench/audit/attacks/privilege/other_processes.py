"""Looks for processes that are not its own, and for what their memory and environment say."""

import os
from pathlib import Path

from pacabench.audit.attacks.kit import Found, Given, found


def attack(_: Given) -> Found:
    """See above."""
    own = str(os.getuid())
    foreign = {}
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            try:
                lines = (path / "status").read_text(encoding="ascii", errors="replace").splitlines()
            except OSError:
                continue
            fields = dict(line.split(":", 1) for line in lines)
            if fields["Uid"].split()[0] != own:
                foreign[path.name] = fields["Name"].strip()
    return found(bool(foreign), foreign=foreign)
