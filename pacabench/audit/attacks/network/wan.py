"""Speaks HTTP with a public address."""

from pacabench.audit.attacks.kit import Found, Given, found, left, reach_tcp

_REQUEST = b"GET / HTTP/1.0\r\n\r\n"


def attack(given: Given) -> Found:
    """See above."""
    seen = {
        f"{address}:{port}": reach_tcp(address, port, send=_REQUEST)
        for address in (given["public"], given["wan"])
        for port in (80, 443, given["secret_port"])
    }
    return found(left(seen), reached=seen)
