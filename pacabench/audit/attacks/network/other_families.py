"""Opens sockets of rare families, and netlink's other ends: each is kernel code to be reached."""

import socket
from functools import partial

from pacabench.audit.attacks.kit import Found, Given, found, outcome

_FAMILIES = {
    "AF_AX25": (3, socket.SOCK_DGRAM, 0),
    "AF_KEY": (15, socket.SOCK_RAW, 2),
    "AF_RDS": (21, socket.SOCK_SEQPACKET, 0),
    "AF_CAN": (29, socket.SOCK_RAW, 1),
    "AF_TIPC": (30, socket.SOCK_RDM, 0),
    "AF_BLUETOOTH": (31, socket.SOCK_RAW, 1),
    "AF_QIPCRTR": (42, socket.SOCK_DGRAM, 0),
    "AF_SMC": (43, socket.SOCK_STREAM, 0),
    "AF_XDP": (44, socket.SOCK_RAW, 0),
    "NETLINK_KOBJECT_UEVENT": (16, socket.SOCK_RAW, 15),
    "NETLINK_NETFILTER": (16, socket.SOCK_RAW, 12),
    "NETLINK_XFRM": (16, socket.SOCK_RAW, 6),
    "NETLINK_AUDIT": (16, socket.SOCK_RAW, 9),
    "NETLINK_GENERIC": (16, socket.SOCK_RAW, 16),
}


def attack(_: Given) -> Found:
    """See above."""
    seen = {name: outcome(partial(_open, *kind)) for name, kind in _FAMILIES.items()}
    return found("done" in seen.values(), made=seen)


def _open(family: int, kind: int, protocol: int) -> None:
    socket.socket(family, kind, protocol).close()
