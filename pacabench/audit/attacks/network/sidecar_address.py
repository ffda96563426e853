"""Connects to the sidecar from outside its lanes: by the address that it has towards providers."""

from pacabench.audit.attacks.kit import Found, Given, found, left, reach_tcp

_PORTS = (22, 80, 443, 2375, 8080, 8081)


def attack(given: Given) -> Found:
    """See above."""
    seen = {str(port): reach_tcp(given["sidecar"], port) for port in _PORTS}
    return found(left(seen), sidecar=given["sidecar"], reached=seen)
