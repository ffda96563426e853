"""Makes device nodes: character and block, in every place that can be written to."""

import os
import stat
from functools import partial

from pacabench.audit.attacks.kit import Found, Given, found, outcome

_PLACES = ("/tmp", "/work", "/dev", "/dev/shm")  # noqa: S108 - inside the container
_KINDS = {"character": (stat.S_IFCHR, 1, 3), "block": (stat.S_IFBLK, 7, 0)}


def attack(given: Given) -> Found:
    """See above."""
    seen = {}
    for place in _PLACES:
        for kind, (mode, major, minor) in _KINDS.items():
            path = f"{place}/{kind}-{given['nonce']}"
            seen[f"{place}: {kind}"] = outcome(
                partial(os.mknod, path, mode | 0o600, os.makedev(major, minor))
            )
            outcome(partial(os.unlink, path))
    return found("done" in seen.values(), made=seen)
