"""Connects to a listener on the host, by each of the host's addresses and usual gateways."""

from pacabench.audit.attacks.kit import Found, Given, found, left, reach_tcp

_GATEWAYS = ("172.17.0.1", "172.18.0.1", "10.0.2.2", "192.168.65.254", "10.88.0.1")
"""Of Docker's own bridge, user networks, slirp4netns, Docker Desktop, Podman."""


def attack(given: Given) -> Found:
    """See above."""
    addresses = dict.fromkeys([*given["host_addresses"], *_GATEWAYS])
    seen = {
        address: reach_tcp(address, given["host_port"])
        for address in addresses
        if not address.startswith("fe80:")  # has an attack of its own
    }
    return found(left(seen), reached=seen)
