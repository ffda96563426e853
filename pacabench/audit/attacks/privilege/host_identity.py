"""Changes the name of its host."""

import socket
from functools import partial

from pacabench.audit.attacks.kit import Found, Given, found, outcome


def attack(_: Given) -> Found:
    """See above."""
    changed = outcome(partial(socket.sethostname, "audited"))
    return found(changed == "done", changed=changed)
