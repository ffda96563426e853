"""Looks other containers up by name and connects to them."""

from pacabench.audit.attacks.kit import Found, Given, found, left, reach_tcp, resolve


def attack(given: Given) -> Found:
    """See above."""
    names = {name: resolve(name) for name in (given["wan_name"], given["sidecar_name"])}
    addresses = {address for found_at in names.values() for address in found_at}
    seen = {address: reach_tcp(address, given["secret_port"]) for address in sorted(addresses)}
    return found(left(seen), names=names, reached=seen)
