"""Another agent at work in a lane of its own: what attackers would like to reach.

Listens on its loopback and on an abstract socket, answers with what it was given to keep, and goes
on until it is ended.
"""

import contextlib
import os
import socket
import threading

from pacabench.audit.attacks.kit import Found, Given, say

PORT = 7777
ABSTRACT = "\0pacabench-neighbour"


def attack(given: Given) -> Found | None:
    """Serve for good. Says that it does, with its key."""
    secret = str(given["secret"]).encode()
    for sock in (_tcp(), _abstract()):
        threading.Thread(target=_serve, args=(sock, secret), daemon=True).start()
    say({"broke": False, "evidence": {"key": os.environ["OPENAI_API_KEY"]}, "missing": None})
    threading.Event().wait()
    return None


def _tcp() -> socket.socket:
    return socket.create_server(("0.0.0.0", PORT))  # noqa: S104 - a careless neighbour


def _abstract() -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.bind(ABSTRACT)
    sock.listen()
    return sock


def _serve(sock: socket.socket, secret: bytes) -> None:
    while True:
        client, _ = sock.accept()
        with client, contextlib.suppress(OSError):
            client.sendall(secret)
