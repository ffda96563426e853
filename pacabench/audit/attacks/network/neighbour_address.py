"""Connects to the port that the agent next door listens on, by loopback and wildcard addresses."""

from pacabench.audit.attacks.kit import Found, Given, found, reach_tcp

_PORT = 7777
_ADDRESSES = ("127.0.0.1", "0.0.0.0", "127.0.1.1", "::1")  # noqa: S104 - to connect to


def attack(_: Given) -> Found:
    """See above."""
    seen = {address: reach_tcp(address, _PORT) for address in _ADDRESSES}
    return found(any(result.startswith("done") for result in seen.values()), reached=seen)
