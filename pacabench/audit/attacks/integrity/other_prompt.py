"""Puts what its case says wherever something might stay for the next one."""

import contextlib
import ctypes
import os
import socket
import time
from pathlib import Path

from pacabench.audit.attacks.kit import Found, Given, found

_PLACES = ("/tmp", "/work", "/dev/shm", "/var/tmp", "/run")  # noqa: S108 - where agents may write
_CREATE = 0o1666
_SIZE = 4096
_STAYS_S = 60


def attack(given: Given) -> Found:
    """See above."""
    prompt = f"{given['form']}{given['nonce']}"
    kept = []
    for place in _PLACES:
        with contextlib.suppress(OSError):
            Path(place, prompt).write_text(prompt, encoding="ascii")
            kept.append(place)
    ready, tell = os.pipe()
    if os.fork() == 0:
        _stay(prompt, tell)
    os.read(ready, 1)
    return found(False, kept=kept)


def _stay(prompt: str, tell: int) -> None:
    """Out of its session, with the prompt in a socket's name and a shared segment."""
    os.setsid()
    sock = socket.socket(socket.AF_UNIX)
    sock.bind("\0" + prompt)
    libc = ctypes.CDLL(None)
    libc.shmat.restype = ctypes.c_void_p
    place = libc.shmat(libc.shmget(0, ctypes.c_size_t(_SIZE), _CREATE), None, 0)
    if place not in (None, ctypes.c_void_p(-1).value):
        ctypes.memmove(place, prompt.encode(), len(prompt))
    os.write(tell, b".")
    time.sleep(_STAYS_S)
    os._exit(0)
