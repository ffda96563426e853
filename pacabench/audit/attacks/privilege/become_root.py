"""Takes another user's id."""

import os
from functools import partial

from pacabench.audit.attacks.kit import Found, Given, found, outcome


def attack(_: Given) -> Found:
    """See above."""
    seen = {
        "setgroups": outcome(partial(os.setgroups, [0])),
        "setgid": outcome(partial(os.setresgid, 0, 0, 0)),
        "setuid": outcome(partial(os.setresuid, 0, 0, 0)),
        "another's": outcome(partial(os.setresuid, 65532, 65532, 65532)),
    }
    return found("done" in seen.values(), became=seen)
