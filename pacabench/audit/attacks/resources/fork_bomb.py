"""Forks, and every child forks again. Bounded by tokens in a pipe, also where nothing else is."""

import contextlib
import os
import signal
import time

from pacabench.audit.attacks.kit import Found, Given, found

_MOST = 160
_FOR_S = 1.0


def attack(given: Given) -> Found:
    """See above."""
    tokens, put = os.pipe()
    os.set_blocking(tokens, False)
    os.write(put, b"t" * _MOST)
    births, born = os.pipe()
    os.set_blocking(births, False)
    leader = os.fork()
    if leader == 0:
        os.setpgid(0, 0)
        _bomb(tokens, born)
    time.sleep(_FOR_S)
    made = len(os.read(births, 65536))
    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)
    os.waitpid(leader, 0)
    return found(made > given["pids"], made=made, allowed=given["pids"])


def _bomb(tokens: int, born: int) -> None:
    while True:
        try:
            os.read(tokens, 1)
            if os.fork() == 0:
                os.write(born, b"b")
        except OSError:  # no token, or no process
            time.sleep(0.1)
