"""Looks for the sidecar's Unix socket, over which lanes are handed in, and connects to it."""

import socket
from functools import partial

from pacabench.audit.attacks.kit import Found, Given, found, outcome, sockets_below


def attack(_: Given) -> Found:
    """See above."""
    paths = {"/run/pacabench/lanes.sock", *sockets_below("/run", "/tmp", "/work")}  # noqa: S108
    seen = {path: outcome(partial(_connect, path)) for path in sorted(paths)}
    return found("done" in seen.values(), connected=seen)


def _connect(path: str) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.connect(path)
