"""Asks the engine's own resolver for another container. Before 23.0.11 it forwarded everything."""

from pacabench.audit.attacks.kit import Found, Given, dns_query, found, reach_udp

_ENGINE = "127.0.0.11"


def attack(given: Given) -> Found:
    """See above."""
    answer = reach_udp(_ENGINE, 53, dns_query(given["wan_name"]))
    return found(answer.startswith("done"), answer=answer)
