"""A web server as agents may reach it: joins the sidecar's network namespace and owns an address.

The address is public by the sidecar's rules and nobody's by those of the internet; here it is one
of the loopback's. Answers ``world`` to what may arrive, and the canary to what must not: a request
whose Host is another, and on 443 anything at all, because no attack speaks TLS that is in order.

Prints one JSON line once everything listens; ends with its stdin.
"""

import contextlib
import fcntl
import json
import socket
import struct
import sys
import threading

ADDRESS = "11.255.255.80"
HOST = "allowed.audit.test"
_SIOCSIFADDR = 0x8916
_IDLE_S = 1.0


def own_address() -> None:
    """Give loopback another address."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        place = struct.pack("HH4s8x", socket.AF_INET, 0, socket.inet_aton(ADDRESS))
        fcntl.ioctl(sock, _SIOCSIFADDR, struct.pack("16s", b"lo:web") + place)


def listen(port: int, canary: str) -> None:
    """Serve a port in threads."""
    listener = socket.create_server((ADDRESS, port), backlog=64)

    def loop() -> None:
        while True:
            client, _ = listener.accept()
            threading.Thread(target=serve, args=(client, port, canary), daemon=True).start()

    threading.Thread(target=loop, daemon=True).start()


def serve(client: socket.socket, port: int, canary: str) -> None:
    """Judge each piece that comes: pieces are whole requests here."""
    with client, contextlib.suppress(OSError):
        client.settimeout(_IDLE_S)
        while piece := client.recv(65536):
            client.sendall(answer(piece.decode("latin-1"), port, canary))


def answer(text: str, port: int, canary: str) -> bytes:
    """One reply."""
    lines = text.lower().replace("\r\n", "\n").split("\n")
    hosts = {line.partition(":")[2].strip().split(":")[0] for line in lines if line[:5] == "host:"}
    in_order = port != 443 and lines[0].startswith("get /") and hosts == {HOST}  # noqa: PLR2004 - HTTPS
    extra = ""
    if in_order and lines[0].startswith("get /redirect/"):
        target = lines[0].split(" ")[1].removeprefix("/redirect/")
        extra = f"Location: http://{target}/latest\r\n"
    body = json.dumps({"said": "world"} if in_order else {"canary": canary})
    status = "302 Found" if extra else "200 OK"
    return f"HTTP/1.1 {status}\r\n{extra}Content-Length: {len(body)}\r\n\r\n{body}".encode()


def main(canary: str) -> None:
    """Listen until stdin ends."""
    own_address()
    for port in (80, 443):
        listen(port, canary)
    sys.stdout.write(json.dumps({"address": ADDRESS}) + "\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    main(sys.argv[1])
