"""Opens raw IP sockets: pings, and packets with a forged sender."""

import socket
from functools import partial

from pacabench.audit.attacks.kit import Found, Given, found, outcome

_KINDS = {
    "ICMP": (socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP),
    "raw IP": (socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW),
    "ICMPv6": (socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6),
}


def attack(_: Given) -> Found:
    """See above."""
    seen = {name: outcome(partial(socket.socket, *kind)) for name, kind in _KINDS.items()}
    return found("done" in seen.values(), made=seen)
