"""Ignores every signal that can be ignored, and stays."""

import contextlib
import os
import signal
import time

from pacabench.audit.attacks.kit import Found, Given, found, say


def attack(_: Given) -> Found | None:
    """See above. Children ignore them too."""
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        with contextlib.suppress(OSError, ValueError):
            signal.signal(number, signal.SIG_IGN)
    if os.fork():
        say(found(False, ready=True))
    while True:
        time.sleep(60)
