"""Asks resolvers over UDP: a public one, and those that this container is told of."""

from pacabench.audit.attacks.kit import (
    Found,
    Given,
    dns_query,
    found,
    left,
    nameservers,
    reach_udp,
)


def attack(given: Given) -> Found:
    """See above."""
    query = dns_query(f"{given['nonce']}.example.invalid")
    addresses = dict.fromkeys([given["resolver"], *nameservers()])
    if given.get("only_stand_in"):
        addresses = dict.fromkeys([given["resolver"]])
    seen = {address: reach_udp(address, 53, query) for address in addresses}
    # Nobody on the own loopback is no packet that left.
    away = {
        address: result
        for address, result in seen.items()
        if not (address.startswith("127.") and result in {"ECONNREFUSED", "sent"})
    }
    return found(left(away), asked=seen)
