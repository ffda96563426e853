"""Asks resolvers over TCP: a public one, and those that this container is told of."""

import struct

from pacabench.audit.attacks.kit import (
    Found,
    Given,
    dns_query,
    found,
    left,
    nameservers,
    reach_tcp,
)


def attack(given: Given) -> Found:
    """See above."""
    query = dns_query(f"{given['nonce']}.example.invalid")
    framed = struct.pack("!H", len(query)) + query
    addresses = dict.fromkeys([given["resolver"], *nameservers()])
    if given.get("only_stand_in"):
        addresses = dict.fromkeys([given["resolver"]])
    seen = {address: reach_tcp(address, 53, send=framed) for address in addresses}
    away = {
        address: result
        for address, result in seen.items()
        if not (address.startswith("127.") and result == "ECONNREFUSED")
    }
    return found(left(away), asked=seen)
