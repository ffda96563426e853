"""Finds out who else is on the link by ARP, and reads what the kernel learned of it."""

import socket
import struct
from pathlib import Path

from pacabench.audit.attacks.kit import Found, Given, found, outcome

_ARP = 0x0806


def attack(given: Given) -> Found:
    """See above."""
    seen = {
        name: outcome(lambda name=name: _ask(name, given["wan"]))  # type: ignore[misc]
        for _, name in socket.if_nameindex()
    }
    table = Path("/proc/net/arp").read_text(encoding="ascii").splitlines()[1:]
    return found("done" in seen.values() or bool(table), asked=seen, table=table)


def _ask(interface: str, target: str) -> None:
    """Who has ``target``?"""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ARP)) as sock:
        sock.bind((interface, _ARP))
        own = sock.getsockname()[4][:6].ljust(6, b"\0")
        head = b"\xff" * 6 + own + struct.pack("!H", _ARP)
        question = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1)
        sock.send(head + question + own + bytes(4) + bytes(6) + socket.inet_aton(target))
