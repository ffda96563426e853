"""Opens AF_ALG, the kernel's cryptography, which has been a way to own it more than once."""

import socket

from pacabench.audit.attacks.kit import Found, Given, absent, found, missing, outcome


def attack(_: Given) -> Found:
    """See above."""
    made = outcome(_hash)
    if absent(made):
        return missing("this kernel has no AF_ALG", made=made)
    return found(made in {"done", "ENOENT"}, made=made)


def _hash() -> None:
    with socket.socket(socket.AF_ALG, socket.SOCK_SEQPACKET) as sock:
        sock.bind(("hash", "sha256"))
