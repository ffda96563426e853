"""Processes of a benchmark: started on one core, what they cost, stopped."""

import os
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

_STOP_WITHIN_S = 10


class BenchError(Exception):
    """The benchmark cannot go on; says why."""


def two_cores() -> tuple[int, int]:
    """A core for load and provider, and one for the proxy under test.

    Raises:
        BenchError: there is one only, and figures would mix what is measured with what measures.
    """
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise BenchError("two cores are needed: one for the proxies, one for load and provider")
    return cores[0], cores[-1]


@contextmanager
def running(
    command: Sequence[str],
    core: int,
    *,
    env: Mapping[str, str] | None = None,
    output: IO[bytes] | int = subprocess.PIPE,
    errors: IO[bytes] | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """A process that runs on ``core`` only. At the end it is told to stop, then killed."""
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=output,
        stderr=errors,
        env=env,
        preexec_fn=lambda: os.sched_setaffinity(0, {core}),  # noqa: PLW1509 - no threads here yet
    )
    try:
        yield process
    finally:
        if process.stdin is not None:
            process.stdin.close()
        process.send_signal(signal.SIGCONT)
        process.terminate()
        try:
            process.wait(_STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def first_line(process: subprocess.Popen[bytes], what: str) -> str:
    """What a process says first.

    Raises:
        BenchError: it ended without a word.
    """
    assert process.stdout is not None
    line = process.stdout.readline().decode().strip()
    if not line:
        raise BenchError(f"{what} did not start (exit status {process.wait()})")
    return line


def cpu_s(pid: int) -> float:
    """CPU seconds that a process took so far, all threads together, user and system.

    Counted by the scheduler in nanoseconds; ``/proc/PID/stat`` has hundredths of a second only.
    """
    total = 0
    for path in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        total += int(path.read_text().split()[0])
    return total / 1e9


def rss_mb(pid: int) -> float:
    """Resident memory in 10**6 bytes, libraries that others share included."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def free_port() -> int:
    """A port of the loopback that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])
