"""PacaBench's proxy as it runs in the sidecar, without the container around it.

The same process (``python -m pacabench.proxy.sidecar``) with its control channel on stdin and
stdout, a spool on disk, and the lane that a lane holder passes to it over the Unix socket. What is
read of the control channel is kept, so that the books can be compared with what was sent.
"""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from proxy_bench.processes import BenchError, free_port, running

from pacabench.proxy import control, lane

KEY = "pb-virtual-0123456789abcdef"
_LANE = "lane-1"
_WITHIN_S = 30
M = TypeVar("M")


class Books:
    """Reads the control channel in a thread of its own, and keeps the lines."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._lines: list[bytes] = []
        self._news = threading.Condition()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with self._news:
                self._lines.append(line)
                self._news.notify_all()

    def wait_for(self, kind: type[M]) -> M:
        """The first message of ``kind``.

        Raises:
            BenchError: none came.
        """
        start = f'{{"type":"{kind.__name__}"'.encode()
        deadline = time.monotonic() + _WITHIN_S
        with self._news:
            while time.monotonic() < deadline and self._process.poll() is None:
                for line in self._lines:
                    if line.startswith(start):
                        message = control.decode(line)
                        assert isinstance(message, kind)
                        return message
                self._news.wait(0.1)
        raise BenchError(f"the sidecar did not say {kind.__name__}: {self._lines[-3:]}")

    def take_calls(self, count: int) -> list[control.Call]:
        """The calls that were reported since the last time, once there are ``count``.

        Raises:
            BenchError: there are fewer, or more.
        """
        start = b'{"type":"Call"'
        deadline = time.monotonic() + _WITHIN_S
        with self._news:
            while (
                found := sum(line.startswith(start) for line in self._lines)
            ) < count and time.monotonic() < deadline:
                self._news.wait(0.1)
            lines, self._lines = self._lines, []
        if found != count:
            raise BenchError(f"{count} calls were made, {found} are booked")
        return [_call(line) for line in lines if line.startswith(start)]


@dataclass(eq=False)
class OwnProxy:
    """A sidecar that serves one lane, bound to one attempt."""

    process: subprocess.Popen[bytes]
    port: int
    books: Books = field(repr=False)
    ready_s: float
    """From the start of the process to ``Ready``."""
    bound_s: float
    """To a lane that is bound to an attempt."""
    key: str = KEY


@contextmanager
def open_own_proxy(core: int, base_url: str, api_key: str, folder: Path) -> Iterator[OwnProxy]:
    """A sidecar and a lane holder as processes of their own."""
    socket_path, spool = folder / "lanes.sock", folder / "calls.spool"
    command = [
        *(sys.executable, "-m", "pacabench.proxy.sidecar"),
        *("--lane-socket", str(socket_path), "--spool", str(spool)),
    ]
    port = free_port()
    holder = [sys.executable, "-I", "-S", "-E", lane.__file__, _LANE, str(port), str(socket_path)]
    began = time.monotonic()
    with running(command, core) as process:
        books = Books(process)
        provider = control.ProviderSpec("openai", "openai", base_url=base_url, api_key=api_key)
        _say(process, control.Configure([provider], "openai"))
        books.wait_for(control.Ready)
        ready_s = time.monotonic() - began
        with running(holder, core):
            books.wait_for(control.LaneUp)
            _say(process, control.Bind(1, _LANE, "attempt-1", KEY))
            books.wait_for(control.Done)
            yield OwnProxy(process, port, books, ready_s, time.monotonic() - began)


def _say(process: subprocess.Popen[bytes], message: control.Message) -> None:
    assert process.stdin is not None
    process.stdin.write(control.encode(message))
    process.stdin.flush()


def _call(line: bytes) -> control.Call:
    message = control.decode(line)
    assert isinstance(message, control.Call)
    return message
