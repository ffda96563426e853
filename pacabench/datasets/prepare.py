"""``prepare``: the user's own command that makes a data set.

It is trusted: it runs on this machine with the user's rights, in the project's directory, and what
it reads is the user's business. It runs once, and again when the command, a file that the command
names or the data themselves have changed.
"""

import contextlib
import fcntl
import hashlib
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

import psutil

from pacabench.datasets.base import printable
from pacabench.datasets.source import data_files
from pacabench.errors import DatasetError

TIMEOUT_S = 3600.0
_OUTPUT_SHOWN_BYTES = 8 * 1024
_POLL_S = 0.1
_CUT_OFF = "prepare was cut off"


def prepare(
    command: str,
    source: Path,
    project: Path,
    cache: Path,
    environ: Mapping[str, str],
    *,
    timeout_s: float = TIMEOUT_S,
    cancelled: Callable[[], bool] = lambda: False,
) -> None:
    """Run ``command`` in ``project``, unless it was run for exactly this state before.

    ``PACABENCH_DATASET_PATH`` in its environment is the absolute path of ``source``, which it may
    make, or change. Two harnesses never run it at the same time. Ctrl-C reaches it, because it
    stays in the harness's process group. Once ``cancelled`` says so it is killed.

    Raises:
        DatasetError: it failed, was killed or did not end in time; with the end of its output.
    """
    stamps = cache / "prepare"
    try:
        stamps.mkdir(parents=True, exist_ok=True)
        with _locked(
            stamps / f"{_state(command, source.absolute(), ())}.lock", timeout_s, cancelled
        ):
            if (stamps / _digest(command, source, project)).exists():
                return
            _run(command, source, project, environ, timeout_s, cancelled)
            (stamps / _digest(command, source, project)).touch()
    except OSError as error:
        raise DatasetError(f"prepare: {error}") from error


def _digest(command: str, source: Path, project: Path) -> str:
    """Stands for everything that says whether the command has to run."""
    return _state(
        command, source.absolute(), [*_named_files(command, project), *data_files(source)]
    )


def _state(command: str, source: Path, files: Sequence[Path]) -> str:
    content = hashlib.sha256(f"{command}\0{source}\0".encode())
    for file in files:
        content.update(f"{file}\0".encode(errors="surrogateescape"))
        with file.open("rb") as stream:
            content.update(hashlib.file_digest(stream, "sha256").digest())
    return content.hexdigest()[:32]


def _named_files(command: str, project: Path) -> list[Path]:
    """Files that stand in the command by name, such as its script."""
    try:
        words = shlex.split(command)
    except ValueError:
        return []
    files: list[Path] = []
    for word in words:
        with contextlib.suppress(OSError):  # a word too long for a name
            if (file := project / word).is_file():
                files.append(file)
    return files


@contextlib.contextmanager
def _locked(file: Path, timeout_s: float, cancelled: Callable[[], bool]) -> Iterator[None]:
    """Hold the lock ``file``; the kernel lets go of it when this process dies."""
    deadline = time.monotonic() + timeout_s
    with file.open("ab") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if cancelled():
                    raise DatasetError(_CUT_OFF) from None
                if time.monotonic() > deadline:
                    raise DatasetError(
                        f"prepare: another harness has been running it for {timeout_s:.0f} s"
                    ) from None
                time.sleep(_POLL_S)
        yield


def _run(
    command: str,
    source: Path,
    project: Path,
    environ: Mapping[str, str],
    timeout_s: float,
    cancelled: Callable[[], bool],
) -> None:
    with tempfile.TemporaryFile() as output:
        child = subprocess.Popen(
            ["/bin/sh", "-c", command],
            cwd=project,
            env=_environment(environ, source),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            code = _wait(child, timeout_s, cancelled)
        finally:
            _kill(child)
        if code is None:
            raise DatasetError(
                f"prepare did not end within {timeout_s:.0f} s and was killed: {command}"
                f"{_tail(output)}"
            )
        if code != 0:
            how = f"exit code {code}" if code > 0 else f"signal {-code}"
            raise DatasetError(f"prepare failed with {how}: {command}{_tail(output)}")


def _wait(
    child: "subprocess.Popen[bytes]", timeout_s: float, cancelled: Callable[[], bool]
) -> int | None:
    """The exit status; None when the time is over."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return child.wait(min(_POLL_S, timeout_s))
        if cancelled():
            raise DatasetError(_CUT_OFF)
    return None


def _environment(environ: Mapping[str, str], source: Path) -> dict[str, str]:
    """``environ``, with our own Python last on PATH: a command may say ``python`` and find none."""
    path = environ.get("PATH", os.defpath)
    return {
        **environ,
        "PATH": f"{path}{os.pathsep}{Path(sys.executable).parent}",
        "PACABENCH_DATASET_PATH": str(source.absolute()),
    }


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
    """The end of what the command wrote, indented; control characters escaped."""
    size = output.seek(0, os.SEEK_END)
    output.seek(max(0, size - _OUTPUT_SHOWN_BYTES))
    lines = output.read().decode(errors="replace").strip().splitlines()
    return "".join(f"\n    {printable(line)}" for line in lines)
