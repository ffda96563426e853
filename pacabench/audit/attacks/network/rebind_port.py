"""Takes the proxy's port in the lane, to read what later cases send to it."""

import contextlib
import socket

from pacabench.audit.attacks.kit import Found, Given, found, outcome

_WAYS = {
    "plain": (),
    "reuse address": (socket.SO_REUSEADDR,),
    "reuse port": (socket.SO_REUSEADDR, socket.SO_REUSEPORT),
}


def attack(given: Given) -> Found:
    """See above."""
    seen = {}
    for address in ("127.0.0.1", "0.0.0.0"):  # noqa: S104 - the attack
        for name, options in _WAYS.items():
            way = f"{address}, {name}"
            seen[way] = outcome(lambda a=address, o=options: _steal(a, o, given["lane_port"]))  # type: ignore[misc]
    return found("done" in seen.values(), stolen=seen)


def _steal(address: str, options: tuple[int, ...], port: int) -> None:
    """Listen, and get a connection that was meant for the proxy."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
        for option in options:
            listener.setsockopt(socket.SOL_SOCKET, option, 1)
        listener.bind((address, port))
        listener.listen()
        listener.settimeout(0.3)
        for _ in range(8):  # with SO_REUSEPORT the kernel would share connections out
            stack.enter_context(socket.create_connection(("127.0.0.1", port), 1))
        listener.accept()
