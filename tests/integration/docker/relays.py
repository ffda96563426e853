"""Other ways to this machine's engine: over TCP, over TLS with certificates of one's own."""

import contextlib
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pacabench.sandbox.docker.bridge import bridged

ENGINE_SOCKET = "/var/run/docker.sock"


@dataclass
class Relay:
    """A port of 127.0.0.1 that leads to the engine."""

    server: socket.socket
    wrap: Callable[[socket.socket], socket.socket] | None
    up: bool = True
    joined: list[socket.socket] = field(default_factory=list)

    @property
    def port(self) -> int:
        return int(self.server.getsockname()[1])

    def go_down(self) -> None:
        """As an engine that is restarted: every connection breaks, new ones are hung up on."""
        self.up = False
        for connection in self.joined:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.server.accept()
                if self.up:
                    threading.Thread(target=self.join, args=(connection,), daemon=True).start()
                else:
                    connection.close()

    def join(self, connection: socket.socket) -> None:
        with connection, socket.socket(socket.AF_UNIX) as engine:
            try:
                engine.connect(ENGINE_SOCKET)
                client = self.wrap(connection) if self.wrap is not None else connection
            except OSError:
                return
            with client:
                client.setblocking(True)
                self.joined += [client, engine]
                up = threading.Thread(target=pump, args=(client, engine), daemon=True)
                up.start()
                pump(engine, client)
                up.join()


@contextmanager
def relay(wrap: Callable[[socket.socket], socket.socket] | None = None) -> Iterator[Relay]:
    """An open relay; half-closed connections stay so."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        made = Relay(server, wrap)
        threading.Thread(target=made.serve, daemon=True).start()
        yield made
        made.go_down()
        server.shutdown(socket.SHUT_RDWR)


def pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


def make_certificates(folder: Path) -> None:
    """``ca.pem``, and ``cert.pem`` with ``key.pem`` that serve at both ends of 127.0.0.1."""

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    new = ["req", "-newkey", "rsa:2048", "-nodes"]
    openssl(
        *new, "-x509", "-days", "2", "-keyout", "ca-key.pem", "-out", "ca.pem", "-subj", "/CN=ca"
    )
    openssl(*new, "-keyout", "key.pem", "-out", "request.pem", "-subj", "/CN=localhost")
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
    openssl(
        *["x509", "-req", "-days", "2", "-in", "request.pem", "-CA", "ca.pem"],
        *["-CAkey", "ca-key.pem", "-CAcreateserial", "-out", "cert.pem", "-extfile", "names"],
    )


def tls_server(folder: Path) -> Callable[[socket.socket], socket.socket]:
    """Wraps accepted connections; clients must show the certificate in ``folder``."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    context.load_verify_locations(folder / "ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    context.options |= ssl.OP_IGNORE_UNEXPECTED_EOF  # as Go: an end of file between two records

    def wrap(connection: socket.socket) -> socket.socket:
        return bridged(context.wrap_socket(connection, server_side=True))

    return wrap
