"""Sleeps past its case's timeout, then answers all the same; prompt cases it answers at once."""

import time

from pacabench.audit.attacks.kit import Given


def attack(given: Given) -> None:
    """See above. Its answer is the case's word."""
    time.sleep(given["sleep_s"])
    print('{"output": "%s"}' % given["word"], flush=True)  # noqa: T201, UP031 - an answer
