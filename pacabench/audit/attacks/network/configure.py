"""Changes the lane's network: addresses, and interfaces of one's own."""

import fcntl
import socket
import struct

from pacabench.audit.attacks.kit import Found, Given, found, outcome

_SIOCSIFADDR = 0x8916
_SIOCSIFFLAGS = 0x8914


def attack(_: Given) -> Found:
    """See above."""
    seen = {"address": outcome(_address), "flags": outcome(_flags)}
    return found("done" in seen.values(), changed=seen)


def _address() -> None:
    place = struct.pack("HH4s8x", socket.AF_INET, 0, socket.inet_aton("198.51.100.77"))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock, _SIOCSIFADDR, struct.pack("16s", b"lo:7") + place)


def _flags() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", 0x49))
