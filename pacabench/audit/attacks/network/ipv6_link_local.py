"""Speaks to whoever is on the link over IPv6, which needs no address and no route of one's own."""

import socket
import time
from collections.abc import Callable, Sequence
from functools import partial

from pacabench.audit.attacks.kit import Found, Given, found, left, outcome

_ALL_NODES = "ff02::1"
_TRIES = 20
_RETRY_EVERY_S = 0.2


def attack(given: Given) -> Found:
    """See above."""
    seen = {}
    for index, name in socket.if_nameindex():
        if name != "lo":
            seen[f"{_ALL_NODES}%{name}"] = _patiently(partial(_send, index))
            for address in _bridges(given["host_addresses"]):
                way = partial(_connect, address, given["host_port"], index)
                seen[f"{address}%{name}"] = outcome(way)
    names = [name for _, name in socket.if_nameindex()]
    return found(left(seen), interfaces=names, reached=seen)


def _patiently(work: Callable[[], None]) -> str:
    """A fresh link-local address is not usable at once: the kernel looks for its double first."""
    for _ in range(_TRIES):
        result = outcome(work)
        if result != "EADDRNOTAVAIL":
            break
        time.sleep(_RETRY_EVERY_S)
    return result


def _bridges(addresses: Sequence[str]) -> list[str]:
    """The latest few: the control's bridge was made last."""
    return [address for address in addresses if address.startswith("fe80:")][-3:]


def _send(scope: int) -> None:
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        sock.sendto(b"x", (_ALL_NODES, 5353, 0, scope))


def _connect(address: str, port: int, scope: int) -> None:
    with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as sock:
        sock.settimeout(0.3)
        sock.connect((address, port, 0, scope))
