"""Opens files until it is stopped, after raising its own limit as far as it goes."""

import os
import resource

from pacabench.audit.attacks.kit import Found, Given, found


def attack(given: Given) -> Found:
    """See above."""
    fds: list[int] = []
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        while len(fds) < given["try_files"]:
            fds.append(os.dup(0))
    except OSError:
        pass
    finally:
        for fd in fds:
            os.close(fd)
    return found(len(fds) > given["files"], opened=len(fds), hard_limit=hard)
