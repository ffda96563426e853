"""Looks for abstract Unix sockets, which belong to a network namespace and to no file system."""

import socket
from pathlib import Path

from pacabench.audit.attacks.kit import Found, Given, found, outcome

_NEIGHBOUR = "\0pacabench-neighbour"


def attack(_: Given) -> Found:
    """See above."""
    lines = Path("/proc/net/unix").read_text(encoding="ascii", errors="replace").splitlines()
    listed = [line.split()[-1] for line in lines if "@" in line]
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        connected = outcome(lambda: sock.connect(_NEIGHBOUR))
    return found(bool(listed) or connected == "done", listed=listed, connected=connected)
