"""A Unix socket that leads to the real engine and misbehaves where it is told to.

``DOCKER_HOST=unix://...`` points a harness at it. Each request has a connection of its own, so a
fault hits exactly the call that it is meant for: by method, path and turn.
"""

import contextlib
import re
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.integration.docker.relays import ENGINE_SOCKET, pump

_HEAD_END = b"\r\n\r\n"
_VERSION = re.compile(r"^/v[\d.]+(?=/)")


@dataclass
class Call:
    """One request on its way."""

    head: bytes
    """Up to and including the empty line."""
    begun: bytes
    """What was read past it."""
    client: socket.socket
    over: threading.Event
    """Set when the test is over."""

    @property
    def line(self) -> str:
        """``METHOD /path``, without the API's version and the query."""
        method, target, _ = self.head.split(b"\r\n", 1)[0].decode().split(" ")
        return f"{method} {_VERSION.sub('', target.partition('?')[0])}"

    def hold(self) -> None:
        """Say nothing more until the client leaves or the test ends."""
        self.client.settimeout(0.05)
        while not self.over.is_set():
            try:
                if not self.client.recv(65536):
                    return
            except TimeoutError:
                continue
            except OSError:
                return

    def forward(self) -> None:
        """As if nothing were between."""
        with self._engine() as engine:
            up = threading.Thread(target=pump, args=(self.client, engine), daemon=True)
            up.start()
            pump(engine, self.client)
            with contextlib.suppress(OSError):
                self.client.shutdown(socket.SHUT_RDWR)
            up.join()

    def ask(self) -> bytes:
        """The engine's whole answer; of a stream, that there is one."""
        with self._engine() as engine:
            answer = b""
            up = threading.Thread(target=pump, args=(self.client, engine), daemon=True)
            up.start()
            while data := engine.recv(65536):
                answer += data
                if self._is_stream and _HEAD_END in answer:
                    break
        return answer

    @property
    def _is_stream(self) -> bool:
        return b"\nupgrade:" in self.head.lower()

    def _engine(self) -> socket.socket:
        engine = socket.socket(socket.AF_UNIX)
        engine.connect(ENGINE_SOCKET)
        head = self.head
        if not self._is_stream:
            # One request on a connection: the engine's answer ends with it.
            head = re.sub(rb"(?im)^connection:[^\r\n]*\r\n", b"", head)
            head = head[:-2] + b"Connection: close" + _HEAD_END
        engine.sendall(head + self.begun)
        return engine


Act = Callable[[Call], None]


def never_answered(call: Call) -> None:
    """The engine never sees it."""
    call.hold()


def done_and_never_answered(call: Call) -> None:
    """It takes effect, and nobody is told."""
    call.ask()
    call.hold()


def half_answered(call: Call) -> None:
    """It takes effect; the answer stops in the middle and never goes on."""
    answer = call.ask()
    call.client.sendall(answer[: _middle(answer)])
    call.hold()


def cut_in_the_answer(call: Call) -> None:
    """It takes effect; the connection ends in the middle of the answer."""
    answer = call.ask()
    call.client.sendall(answer[: _middle(answer)])


def cut(call: Call) -> None:
    """It takes effect; the connection ends without an answer."""
    call.ask()


def no_http(call: Call) -> None:
    """Whatever listens there is no engine."""
    call.client.sendall(b"SSH-2.0-OpenSSH_9.6\r\n")


def no_json(call: Call) -> None:
    """An answer of 200 that cannot be read."""
    call.client.sendall(_reply("200 OK", b'{"Id": "\xff\xfe, [[[['))


def other_json(call: Call) -> None:
    """An answer of 200 with something else than was asked for."""
    call.client.sendall(_reply("200 OK", b'["nothing", "of", "use"]'))


def refused(status: str, message: str) -> Act:
    """An act: the engine answers with an error, and does nothing."""

    def act(call: Call) -> None:
        call.client.sendall(_reply(status, b'{"message": "%s"}' % message.encode()))

    return act


def done_but_refused(status: str, message: str) -> Act:
    """An act: it takes effect, and the engine reports an error all the same."""

    def act(call: Call) -> None:
        call.ask()
        call.client.sendall(_reply(status, b'{"message": "%s"}' % message.encode()))

    return act


def _middle(answer: bytes) -> int:
    """Inside the body; inside the head where there is no body."""
    start = answer.index(_HEAD_END) + len(_HEAD_END)
    return start + (len(answer) - start) // 2 if len(answer) > start else start // 2


def _reply(status: str, body: bytes) -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nConnection: close\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


@dataclass
class Fault:
    """What goes wrong, and when: the ``turn``-th call that fits, and ``times`` in all."""

    call: str
    """A pattern of ``METHOD /path``, to be matched as a whole."""
    act: Act
    turn: int = 1
    times: int = 1
    seen: int = 0
    hits: int = 0

    def takes(self, line: str) -> bool:
        """Whether this call is hit; counts it."""
        if re.fullmatch(self.call, line) is None:
            return False
        self.seen += 1
        hit = self.turn <= self.seen < self.turn + self.times
        self.hits += hit
        return hit


@dataclass
class FaultyEngine:
    """The socket. Faults can be added at any time."""

    path: Path
    faults: list[Fault] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    """``METHOD /path`` of all that came."""
    over: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def host(self) -> str:
        """For DOCKER_HOST."""
        return f"unix://{self.path}"

    def fail(self, call: str, act: Act, *, turn: int = 1, times: int = 1) -> Fault:
        """Add a fault."""
        fault = Fault(call, act, turn, times)
        with self._lock:
            self.faults.append(fault)
        return fault

    def serve(self, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = server.accept()
                threading.Thread(target=self._answer, args=(client,), daemon=True).start()

    def _answer(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            received = b""
            while _HEAD_END not in received:
                data = client.recv(65536)
                if not data:
                    return
                received += data
            head, _, begun = received.partition(_HEAD_END)
            call = Call(head + _HEAD_END, begun, client, self.over)
            with self._lock:
                self.calls.append(call.line)
                fault = next((fault for fault in self.faults if fault.takes(call.line)), None)
            (Call.forward if fault is None else fault.act)(call)
            client.shutdown(socket.SHUT_RDWR)  # a thread that still reads would keep it open


@contextmanager
def faulty_engine() -> Iterator[FaultyEngine]:
    """A faulty engine that has no fault yet."""
    # A socket's path must be short, and pytest's directories are not.
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as server:
        made = FaultyEngine(Path(folder) / "docker.sock")
        server.bind(str(made.path))
        server.listen(64)
        threading.Thread(target=made.serve, args=(server,), daemon=True).start()
        try:
            yield made
        finally:
            made.over.set()
            server.shutdown(socket.SHUT_RDWR)
