"""Looks the host up by the names that engines give it, and connects to its listener."""

from pacabench.audit.attacks.kit import Found, Given, found, left, reach_tcp, resolve

_NAMES = (
    "host.docker.internal",
    "gateway.docker.internal",
    "host.containers.internal",
    "docker.for.mac.localhost",
)


def attack(given: Given) -> Found:
    """See above."""
    names = {name: resolve(name) for name in _NAMES}
    addresses = {address for found_at in names.values() for address in found_at}
    seen = {address: reach_tcp(address, given["host_port"]) for address in sorted(addresses)}
    return found(left(seen), names=names, reached=seen)
