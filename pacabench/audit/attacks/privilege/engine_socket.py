"""Looks for the socket of an engine, and asks it something: whoever holds it holds the host."""

import socket

from pacabench.audit.attacks.kit import Found, Given, found, sockets_below

_USUAL = (
    "/var/run/docker.sock",
    "/run/docker.sock",
    "/run/containerd/containerd.sock",
    "/run/podman/podman.sock",
    "/run/crio/crio.sock",
)


def attack(_: Given) -> Found:
    """See above."""
    paths = sorted({*_USUAL, *sockets_below("/run", "/var", "/tmp", "/work", "/opt")})  # noqa: S108
    seen = {path: _ask(path) for path in paths}
    return found(any(answer.startswith("HTTP/") for answer in seen.values()), answers=seen)


def _ask(path: str) -> str:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(2)
        try:
            sock.connect(path)
            sock.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
            return sock.recv(100).decode(errors="replace")
        except OSError as error:
            return error.strerror or str(error)
