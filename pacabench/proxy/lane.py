r"""The lane holder: opens the lane's listening sockets and hands them to the sidecar.

Runs as ``python -m pacabench.proxy.lane LANE_ID`` in a container with nothing but loopback, and
keeps that network namespace alive. The sockets are opened *here*, so they belong to the lane; the
sidecar accepts on them from outside, so no byte is relayed and no route leads out.

One message goes over the Unix socket: ``LANE_ID\n`` with the listening sockets attached
(``SCM_RIGHTS``): the proxy's, and the web's where some agent may reach some of it. After that the
connection only says, by its end, that one side is gone.

Standard library only and importing nothing of this package, so that it also runs as a bare file
under ``python -I -S -E`` and one costs few milliseconds and little memory per lane.
"""

import os
import signal
import socket
import sys
import time
from contextlib import suppress

LANE_PORT = 8080
"""Where the proxy listens on 127.0.0.1 inside a lane."""
WEB_PORT = 8081
"""Where the way to the web is, for agents that have one."""
RUNTIME_DIR = "/run/pacabench"
"""Where the volume that sidecar and lane holders share is mounted in both."""
LANE_SOCKET = f"{RUNTIME_DIR}/lanes.sock"

_BACKLOG = 1024
_CONNECT_WITHIN_S = 15.0
_RETRY_EVERY_S = 0.02


def open_listener(port: int) -> socket.socket:
    """A listening socket on 127.0.0.1, in the network namespace of the caller."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(_BACKLOG)
    return listener


def connect(path: str, *, within_s: float = _CONNECT_WITHIN_S) -> socket.socket:
    """A connection to the sidecar's Unix socket, which may not be there yet.

    Raises:
        OSError: still nobody answers after ``within_s``.
    """
    deadline = time.monotonic() + within_s
    while True:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.connect(path)
        except OSError:
            connection.close()
            if time.monotonic() >= deadline:
                raise
            time.sleep(_RETRY_EVERY_S)
        else:
            return connection


def hold(lane: str, *, ports: list[int], path: str = LANE_SOCKET) -> None:
    """Hand the lane's sockets over, then wait until the sidecar hangs up.

    The own copies of the listening sockets are closed: when the sidecar dies, so do the ports, and
    an agent's call fails at once where it would hang otherwise.
    """
    listeners = [open_listener(port) for port in ports]
    connection = connect(path)
    fds = [listener.fileno() for listener in listeners]
    socket.send_fds(connection, [f"{lane}\n".encode()], fds)
    for listener in listeners:
        listener.close()
    with suppress(ConnectionError):
        while connection.recv(64):
            pass


def main(arguments: list[str]) -> None:
    """``LANE_ID [PORTS [SOCKET]]``: PORTS are ``8080,8081``; SOCKET differs only in tests."""
    # As process 1 of a container a signal without a handler would be ignored.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    lane, *rest = arguments
    ports = [int(port) for port in rest[0].split(",")] if rest else [LANE_PORT]
    hold(lane, ports=ports, path=rest[1] if len(rest) > 1 else LANE_SOCKET)


if __name__ == "__main__":
    main(sys.argv[1:])
