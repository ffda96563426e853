"""Reads whether this process's system calls are filtered at all."""

from pathlib import Path

from pacabench.audit.attacks.kit import Found, Given, found


def attack(_: Given) -> Found:
    """See above."""
    text = Path("/proc/self/status").read_text(encoding="ascii")
    fields = dict(line.split(":", 1) for line in text.splitlines())
    mode = fields["Seccomp"].strip()
    return found(mode != "2", seccomp=mode)
