"""Answers a case that it never read, and then reads no more."""

import time

from pacabench.audit.attacks.kit import Found, Given, found, say


def attack(given: Given) -> Found | None:
    """Gets a first case; the next one lies in its stdin, larger than any pipe."""
    say(found(False, ready=True))
    time.sleep(given["pause_s"])
    say(found(False, unread=True))
    time.sleep(60)
    return None
