"""The fake internet: one container that owns the addresses that attacks want to reach.

Runs in the sidecar's image, as root of its own network namespace only. In it the public address,
the cloud's metadata address and the resolver are addresses of its loopback, so that a positive
control reaches them by joining this namespace and no packet ever leaves the machine.

    PROVIDER_PORT  an OpenAI-like provider that keeps books, also of what was smuggled to it
    SECRET_PORT    an HTTP server that agents must not reach: answers the canary
    8080, 8081     in this namespace: a proxy that believes everything it is told (for controls)
    443            answers the canary to whatever comes, TLS or not
    53             UDP and TCP, a resolver that answers everything

Prints one JSON line once everything listens; ends with its stdin.
"""

import contextlib
import fcntl
import json
import os
import socket
import struct
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

PUBLIC = "203.0.113.80"
METADATA = "169.254.169.254"
RESOLVER = "198.51.100.53"
PROVIDER_PORT = 8000
SECRET_PORT = 8001
PROXY_PORT = 8080
WEB_PORT = 8081
ENGINE_SOCKET = "/stand/docker.sock"
_SIOCSIFADDR = 0x8916
_IDLE_S = 5.0

Serve = Callable[[socket.socket], None]


class Books:
    """What the provider was asked, as it understood it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: list[str] = []

    def note(self, head: str, body: bytes) -> None:
        """Keep one request."""
        with self._lock:
            line = head.split("\r\n", maxsplit=1)[0]
            self._seen.append(f"{line} {body.decode(errors='replace')}")

    def mentioning(self, word: str) -> list[str]:
        """Requests that hold ``word``."""
        with self._lock:
            return [text for text in self._seen if word in text]


def own_address(address: str, alias: str) -> None:
    """Give loopback another address."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        name = struct.pack("16s", alias.encode())
        place = struct.pack("HH4s8x", socket.AF_INET, 0, socket.inet_aton(address))
        fcntl.ioctl(sock, _SIOCSIFADDR, name + place)


def listen(port: int, serve: Serve, *, address: str = "0.0.0.0") -> None:  # noqa: S104 - a stand-in
    """Serve a TCP port in threads."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((address, port))
    _accept(sock, serve)


def listen_unix(path: str, serve: Serve) -> None:
    """Serve a Unix socket that everybody may connect to."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.bind(path)
    Path(path).chmod(0o666)
    _accept(sock, serve)


def _accept(sock: socket.socket, serve: Serve) -> None:
    sock.listen(64)

    def one(client: socket.socket) -> None:
        with client, contextlib.suppress(OSError, ValueError):
            client.settimeout(_IDLE_S)
            serve(client)

    def loop() -> None:
        while True:
            client, _ = sock.accept()
            threading.Thread(target=one, args=(client,), daemon=True).start()

    threading.Thread(target=loop, daemon=True).start()


def read_head(client: socket.socket, held: bytes) -> tuple[str, bytes]:
    """The head of a request, and what came behind it. Empty at the end."""
    while b"\r\n\r\n" not in held and b"\n\n" not in held:
        piece = client.recv(65536)
        if not piece:
            return "", b""
        held += piece
    end = b"\r\n\r\n" if b"\r\n\r\n" in held else b"\n\n"
    head, _, rest = held.partition(end)
    return head.decode("latin-1"), rest


def headers(head: str) -> dict[str, str]:
    """Headers by lower-case name."""
    lines = head.replace("\r\n", "\n").split("\n")[1:]
    pairs = (line.partition(":") for line in lines)
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


def read_body(client: socket.socket, head: str, held: bytes) -> tuple[bytes, bytes]:
    """The body, and what came behind it. Chunked coding wins over a length."""
    told = headers(head)
    if "chunked" in told.get("transfer-encoding", ""):
        body = b""
        while True:
            while b"\r\n" not in held:
                held += _more(client)
            size_text, _, held = held.partition(b"\r\n")
            size = int(size_text.split(b";")[0], 16)
            while len(held) < size + 2:
                held += _more(client)
            body, held = body + held[:size], held[size + 2 :]
            if size == 0:
                return body, held
    length = int(told.get("content-length", "0"))
    while len(held) < length:
        held += _more(client)
    return held[:length], held[length:]


def _more(client: socket.socket) -> bytes:
    piece = client.recv(65536)
    if not piece:
        raise ValueError("it ended too early")
    return piece


def reply(status: str, body: bytes, extra: str = "") -> bytes:
    """An HTTP reply."""
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\n{extra}"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def completion(text: str) -> bytes:
    """A chat completion that says ``text``."""
    message = {"role": "assistant", "content": text}
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
    whole = {"id": "x", "object": "chat.completion", "created": 1, "model": "wan"}
    return json.dumps(whole | {"choices": choices, "usage": usage}).encode()


def provider(books: Books, secret_url: str) -> Serve:
    """``redirect WORD`` is sent to the secret; ``report WORD`` gets the books; else it echoes."""

    def serve(client: socket.socket) -> None:
        held = b""
        while True:
            head, held = read_head(client, held)
            if not head:
                return
            body, held = read_body(client, head, held)
            books.note(head, body)
            try:
                text = str(json.loads(body)["messages"][-1]["content"])
            except (ValueError, LookupError, TypeError):
                text = ""
            word, _, rest = text.partition(" ")
            if word == "redirect":
                client.sendall(reply("302 Found", b"{}", f"Location: {secret_url}\r\n"))
            elif word == "report":
                said = [line for line in books.mentioning(rest) if "report " not in line]
                client.sendall(reply("200 OK", completion(json.dumps(said))))
            else:
                client.sendall(reply("200 OK", completion(text)))

    return serve


def secret(canary: str) -> Serve:
    """Answers every HTTP request with the canary."""

    def serve(client: socket.socket) -> None:
        head, _ = read_head(client, b"")
        _, _, target = head.split("\n")[0].partition(" /redirect/")
        if target:
            where = f"Location: http://{target.split(' ')[0]}/latest\r\n"
            client.sendall(reply("302 Found", b"{}", where))
        elif head:
            client.sendall(reply("200 OK", json.dumps({"canary": canary}).encode()))

    return serve


def careless(canary: str) -> Serve:
    """Answers whatever comes with the canary."""

    def serve(client: socket.socket) -> None:
        if client.recv(65536):
            client.sendall(json.dumps({"canary": canary}).encode())

    return serve


def naive_proxy(client: socket.socket) -> None:
    """Obeys CONNECT, full URLs and Host, follows redirects, and passes bytes on as they come."""
    head, rest = read_head(client, b"")
    method, target, *_ = head.replace("\r\n", "\n").split("\n")[0].split(" ")
    if method == "CONNECT":
        host, _, port = target.rpartition(":")
        with socket.create_connection((host, int(port)), _IDLE_S) as far:
            client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            _relay(client, far)
        return
    url = urlsplit(target if "://" in target else f"http://{headers(head).get('host', '')}{target}")
    host, port = url.hostname or "127.0.0.1", str(url.port or 80)
    path = url.path
    if path.startswith("/openai/"):
        host, port, path = "127.0.0.1", str(PROVIDER_PORT), path.removeprefix("/openai")
    line, _, others = head.partition("\n")
    if (host, port) == ("127.0.0.1", str(PROXY_PORT)):
        return  # to itself, for ever
    first = line.replace(target, path)
    with socket.create_connection((host, int(port)), _IDLE_S) as far:
        far.sendall((first + "\n" + others).encode("latin-1") + b"\r\n\r\n" + rest)
        answer = far.recv(65536)
        if b" 302 " in answer[:20]:
            where = urlsplit(headers(answer.decode("latin-1")).get("location", ""))
            with socket.create_connection((where.hostname or "", where.port or 80), 5) as other:
                other.sendall(f"GET {where.path} HTTP/1.0\r\n\r\n".encode())
                answer = other.recv(65536)
        client.sendall(answer)
        _relay(client, far)


def _relay(one: socket.socket, other: socket.socket) -> None:
    def pump(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    back = threading.Thread(target=pump, args=(other, one), daemon=True)
    back.start()
    pump(one, other)
    back.join(_IDLE_S)


def dns_answer(query: bytes) -> bytes:
    """An A record for whatever was asked; for other types no record."""
    if query[-4:-2] != b"\x00\x01" or query[10:12] != b"\0\0":
        end = query.index(b"\0", 12) + 5  # without extensions
        if query[end - 4 : end - 2] != b"\x00\x01":
            return query[:2] + b"\x81\x80\x00\x01\0\0\0\0\0\0" + query[12:end]
        query = query[:end]
    answer = b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x01\x00\x04" + socket.inet_aton(PUBLIC)
    return query[:2] + b"\x81\x80\x00\x01\x00\x01\x00\x00\x00\x00" + query[12:] + answer


def resolver_udp(address: str) -> None:
    """A resolver on UDP."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((address, 53))

    def loop() -> None:
        while True:
            query, client = sock.recvfrom(4096)
            sock.sendto(dns_answer(query), client)

    threading.Thread(target=loop, daemon=True).start()


def resolver_tcp(client: socket.socket) -> None:
    """A resolver on TCP."""
    (size,) = struct.unpack("!H", client.recv(2))
    answer = dns_answer(client.recv(size))
    client.sendall(struct.pack("!H", len(answer)) + answer)


def main(canary: str) -> None:
    """Serve until stdin ends."""
    for number, address in enumerate((PUBLIC, METADATA, RESOLVER)):
        own_address(address, f"lo:{number}")
    own = socket.gethostbyname(socket.gethostname())
    listen(PROVIDER_PORT, provider(Books(), f"http://{own}:{SECRET_PORT}/latest"))
    listen(SECRET_PORT, secret(canary))
    listen(80, secret(canary))
    listen(443, careless(canary))
    for port in (PROXY_PORT, WEB_PORT):
        listen(port, naive_proxy, address="127.0.0.1")
    listen(53, resolver_tcp, address=RESOLVER)
    for address in (RESOLVER, own):
        resolver_udp(address)
    if os.path.isdir(os.path.dirname(ENGINE_SOCKET)):  # noqa: PTH112, PTH120 - either way
        listen_unix(ENGINE_SOCKET, secret(canary))
    Path("/dev/shm/canary").write_text(canary, encoding="ascii")  # noqa: S108 - a stand-in
    sys.stdout.write(json.dumps({"address": own, "name": socket.gethostname()}) + "\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    main(sys.argv[1])
