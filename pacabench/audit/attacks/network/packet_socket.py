"""Opens a packet socket on every protocol."""

import socket
from functools import partial

from pacabench.audit.attacks.kit import Found, Given, found, outcome

_EVERYTHING = 0x0300  # ETH_P_ALL in network byte order


def attack(_: Given) -> Found:
    """See above."""
    seen = {
        kind.name: outcome(partial(socket.socket, socket.AF_PACKET, kind, _EVERYTHING))
        for kind in (socket.SOCK_RAW, socket.SOCK_DGRAM)
    }
    return found("done" in seen.values(), made=seen)
