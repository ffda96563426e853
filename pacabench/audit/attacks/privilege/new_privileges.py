"""Reads whether this process could gain rights by starting a program."""

from pathlib import Path

from pacabench.audit.attacks.kit import Found, Given, found


def attack(_: Given) -> Found:
    """See above."""
    text = Path("/proc/self/status").read_text(encoding="ascii")
    fields = dict(line.split(":", 1) for line in text.splitlines())
    flag = fields["NoNewPrivs"].strip()
    return found(flag != "1", no_new_privs=flag)
