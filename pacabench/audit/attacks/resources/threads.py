"""Starts threads that wait: to the kernel they are processes too."""

import threading

from pacabench.audit.attacks.kit import Found, Given, found

_MOST = 160


def attack(given: Given) -> Found:
    """See above."""
    threading.stack_size(64 * 1024)
    done = threading.Event()
    threads = []
    try:
        for _ in range(_MOST):
            thread = threading.Thread(target=done.wait, daemon=True)
            thread.start()
            threads.append(thread)
    except RuntimeError:  # "can't start new thread"
        pass
    finally:
        done.set()
        for thread in threads:
            thread.join()
    return found(len(threads) > given["pids"], made=len(threads), allowed=given["pids"])
