"""Commands that a data set is made with: with an end, and with what they said."""

import contextlib
import fcntl
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import psutil

from pacabench.datasets.base import printable
from pacabench.errors import DatasetError

_OUTPUT_SHOWN_BYTES = 8 * 1024
_POLL_S = 0.1
_CHUNK_BYTES = 1024**2

Cancelled = Callable[[], bool]
"""Says so once nobody wants the result any more."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended by itself."""

    code: int
    tail: str
    """The end of what it wrote, a line each, indented; control characters escaped."""

    @property
    def how(self) -> str:
        """For a message."""
        return f"exit code {self.code}" if self.code > 0 else f"signal {-self.code}"


def run_command(
    words: Sequence[str],
    *,
    what: str,
    cwd: Path,
    env: Mapping[str, str],
    timeout_s: float,
    cancelled: Cancelled,
    hear: Callable[[bytes], None] = lambda _: None,
) -> Ended:
    """Run ``words`` to their end; ``what`` they are is for messages. Blocks.

    ``hear`` gets what it writes, soon after that. Ctrl-C reaches it, because it stays in the
    harness's process group.

    Raises:
        DatasetError: it did not end in time, or ``cancelled`` said so, and was killed.
        OSError: it cannot be started.
    """
    with tempfile.TemporaryFile() as output:
        child = subprocess.Popen(
            words,
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        ear = _Ear(output, hear)
        try:
            code = _wait(child, timeout_s, cancelled, what, ear.listen)
        finally:
            _kill(child)
            ear.listen()
        if code is None:
            raise DatasetError(
                f"{what} did not end within {timeout_s:.0f} s and was killed{_tail(output)}"
            )
        return Ended(code, _tail(output))


@contextlib.contextmanager
def locked(file: Path, what: str, timeout_s: float, cancelled: Cancelled) -> Iterator[None]:
    """Hold the lock ``file``; the kernel lets go of it when this process dies.

    Raises:
        DatasetError: another harness held it for too long, or ``cancelled`` said so.
    """
    deadline = time.monotonic() + timeout_s
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("ab") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if cancelled():
                    raise DatasetError(f"{what} was cut off") from None
                if time.monotonic() > deadline:
                    raise DatasetError(
                        f"{what}: another harness has been running it for {timeout_s:.0f} s"
                    ) from None
                time.sleep(_POLL_S)
        yield


def _wait(
    child: "subprocess.Popen[bytes]",
    timeout_s: float,
    cancelled: Cancelled,
    what: str,
    meanwhile: Callable[[], None],
) -> int | None:
    """The exit status; None when the time is over."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return child.wait(min(_POLL_S, timeout_s))
        meanwhile()
        if cancelled():
            raise DatasetError(f"{what} was cut off")
    return None


class _Ear:
    """Hands on what was written since the last time; the file's place is the child's, and stays."""

    def __init__(self, output: IO[bytes], hear: Callable[[bytes], None]) -> None:
        self._output = output
        self._hear = hear
        self._heard = 0

    def listen(self) -> None:
        while data := os.pread(self._output.fileno(), _CHUNK_BYTES, self._heard):
            self._heard += len(data)
            self._hear(data)


def _kill(child: "subprocess.Popen[bytes]") -> None:
    """End the command and what it started, where it did not end by itself."""
    if child.poll() is not None:
        return
    family: list[psutil.Process] = []
    with contextlib.suppress(psutil.Error):
        family = psutil.Process(child.pid).children(recursive=True)
    child.kill()
    for process in family:
        with contextlib.suppress(psutil.Error):
            process.kill()
    child.wait()


def _tail(output: IO[bytes]) -> str:
    size = output.seek(0, os.SEEK_END)
    output.seek(max(0, size - _OUTPUT_SHOWN_BYTES))
    return indented(output.read())


def indented(output: bytes) -> str:
    """What a command wrote, for the end of a message."""
    lines = output.decode(errors="replace").strip().splitlines()
    return "".join(f"\n    {printable(line)}" for line in lines)
