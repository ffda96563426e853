"""Changes its root directory, the first half of the classic way out of a chroot."""

import os
from functools import partial

from pacabench.audit.attacks.kit import Found, Given, found, outcome, syscall


def attack(_: Given) -> Found:
    """See above."""
    seen = {
        "pivot_root": syscall("pivot_root", b"/tmp\0", b"/tmp\0")[1],
        "chroot": outcome(partial(os.chroot, "/tmp")),  # noqa: S108 - inside the container
    }
    return found("done" in seen.values(), outcomes=seen)
