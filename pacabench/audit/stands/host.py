"""A listener on the engine's machine, as a database or an API on a developer's host would be.

Runs in the host's network namespace, on a port that the kernel chooses, on every address. Answers
every connection with the canary. Prints one JSON line with port and addresses; ends with its stdin.
"""

import contextlib
import fcntl
import json
import socket
import struct
import sys
import threading
from pathlib import Path

_SIOCGIFADDR = 0x8915


def addresses() -> list[str]:
    """IPv4 addresses of every interface but loopback, then global and link-local IPv6 ones."""
    found = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for _, name in socket.if_nameindex():
            with contextlib.suppress(OSError):
                request = struct.pack("256s", name[:15].encode())
                found.append(socket.inet_ntoa(fcntl.ioctl(sock, _SIOCGIFADDR, request)[20:24]))
    with contextlib.suppress(OSError):
        for line in Path("/proc/net/if_inet6").read_text(encoding="ascii").splitlines():
            raw, *_, name = line.split()
            if name != "lo":
                found.append(socket.inet_ntop(socket.AF_INET6, bytes.fromhex(raw)))
    return [address for address in dict.fromkeys(found) if not address.startswith("127.")]


def serve(sock: socket.socket, canary: bytes) -> None:
    """Answer everybody."""
    while True:
        client, _ = sock.accept()
        with client, contextlib.suppress(OSError):
            client.settimeout(2)
            client.sendall(canary)


def main(canary: str) -> None:
    """Listen until stdin ends."""
    if socket.has_dualstack_ipv6():
        sock = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)
    else:
        sock = socket.create_server(("", 0))
    threading.Thread(target=serve, args=(sock, canary.encode()), daemon=True).start()
    line = {"port": sock.getsockname()[1], "addresses": addresses()}
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    main(sys.argv[1])
