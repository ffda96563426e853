"""Leaves daemons: double fork, a session of their own, every signal ignored, output closed.

One listens on a port of the lane, one on an abstract socket, one keeps stdout open.
"""

import contextlib
import os
import signal
import socket
import time

from pacabench.audit.attacks.kit import Found, Given, found

PORT = 5555
_STAYS_S = 60


def attack(_: Given) -> Found:
    """See above."""
    ready, tell = os.pipe()
    for kind in ("tcp", "abstract", "stdout"):
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                _stay(kind, tell)
            os._exit(0)
    seen = b""
    while len(seen) < len("tas"):
        seen += os.read(ready, 8)
    return found(False, left=seen.decode())


def _stay(kind: str, tell: int) -> None:
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    kept = None
    if kind == "tcp":
        kept = socket.create_server(("127.0.0.1", PORT))
    elif kind == "abstract":
        kept = socket.socket(socket.AF_UNIX)
        kept.bind("\0left-behind")
        kept.listen()
    if kind != "stdout":
        with contextlib.suppress(OSError):
            os.close(1)
            os.close(2)
    os.write(tell, kind[0].encode())
    time.sleep(_STAYS_S)
    del kept
    os._exit(0)
