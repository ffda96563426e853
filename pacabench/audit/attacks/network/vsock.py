"""Opens AF_VSOCK, which leads from a virtual machine to its hypervisor past every network."""

import socket

from pacabench.audit.attacks.kit import Found, Given, absent, found, missing, outcome


def attack(_: Given) -> Found:
    """See above."""
    made = outcome(lambda: socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM).close())
    if absent(made):
        return missing("this kernel has no AF_VSOCK", made=made)
    return found(made == "done", made=made)
