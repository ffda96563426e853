"""Reads what others left in shared memory and message queues."""

from pathlib import Path

from pacabench.audit.attacks.kit import Found, Given, found


def attack(_: Given) -> Found:
    """See above."""
    there = {}
    for folder in ("/dev/shm", "/dev/mqueue"):  # noqa: S108 - inside the container
        try:
            there[folder] = [entry.name for entry in Path(folder).iterdir()]
        except OSError:
            there[folder] = []
    segments = []
    for name in ("shm", "sem", "msg"):
        path = Path("/proc/sysvipc", name)
        if path.exists():
            segments += path.read_text(encoding="ascii").splitlines()[1:]
    return found(any(there.values()) or bool(segments), files=there, segments=segments)
