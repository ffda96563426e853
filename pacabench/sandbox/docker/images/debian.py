"""A Python base made of Debian packages, for engines that reach no image registry."""

import contextlib
import os
import platform
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Generator

import docker
from docker.errors import APIError

from pacabench.errors import ImageError, SandboxError
from pacabench.events import Listener, Notice
from pacabench.sandbox.docker.engine import Engine
from pacabench.sandbox.docker.images.build import (
    LABEL,
    REPOSITORY,
    explain_failure,
    find_image,
)
from pacabench.sandbox.docker.images.output import Narrator, quote
from pacabench.sandbox.docker.images.resources import content_key, images_dir, read_resource

SCRIPT = "base-debian/make-base.sh"
_CMD = 'CMD ["python3"]'
_TOTAL_S = 1800.0
_TERMINATE_S = 20.0
_CLEAN_UP_S = 120.0
"""After its output mmdebstrap still removes the tree that it was made from."""
_CHUNK_BYTES = 1024**2
_LOG_EVERY_S = 0.2
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64", "arm64": "arm64", "i686": "386"}


def debian_base_tag(architecture: str) -> str:
    """``pacabench/base:KEY`` for the script as it is and the engine's architecture."""
    return f"{REPOSITORY}/base:{content_key(read_resource(SCRIPT), architecture)}"


async def engine_architecture(engine: Engine) -> str:
    """The engine's architecture in Go's words: ``amd64``, ``arm64``."""
    return str((await engine.version())["Arch"])


def why_not(architecture: str) -> str | None:
    """What keeps this machine from making a base for ``architecture``; None when nothing does."""
    if shutil.which("mmdebstrap") is None:
        return "mmdebstrap is not installed here"
    machine = _MACHINES.get(platform.machine(), platform.machine())
    if machine != architecture:
        return f"the engine is {architecture} and this machine {machine}"
    return None


async def make_debian_base(engine: Engine, architecture: str, listener: Listener) -> str:
    """Make the base, tag it, and return its id. Takes half a minute.

    The packages flow from mmdebstrap right into the engine's import.

    Raises:
        ImageError: mmdebstrap or the import failed; quotes the end of its output.
    """
    tag = debian_base_tag(architecture)
    listener(Notice("info", f"making a Python base image out of Debian packages ({tag}), once"))
    narrator = Narrator(listener, "base image")
    maker = _Maker(narrator)

    def work(client: docker.APIClient) -> None:
        repository, _, name = tag.rpartition(":")
        labels = " ".join(f"{label}={value}" for label, value in LABEL.items())
        with contextlib.closing(maker.chunks()) as chunks:
            client.import_image_from_stream(
                chunks, repository=repository, tag=name, changes=[f"LABEL {labels}", _CMD]
            )

    try:
        await engine.call(work, timeout_s=_TOTAL_S)
    except APIError as error:
        raise ImageError(
            f"importing the base image: {explain_failure(str(error.explanation or error))}"
        ) from error
    except SandboxError as error:
        raise ImageError(f"mmdebstrap was not done after {_TOTAL_S / 60:.0f} minutes") from error
    finally:
        maker.stop()
    image = await find_image(engine, tag)
    if image is None:
        raise ImageError(f"the engine took the base image, and still there is no {tag}")
    return str(image["Id"])


class _Maker:
    """One run of the script."""

    def __init__(self, narrator: Narrator) -> None:
        self._narrator = narrator
        self._process: subprocess.Popen[bytes] | None = None
        self._stopped = False

    def chunks(self) -> Generator[bytes, None, None]:
        """The image's tar, piece by piece.

        Raises at the end when the script failed: the engine then sees a request that broke off and
        imports nothing, where a plain end would leave it with half an image.
        """
        with (
            tempfile.TemporaryFile() as log,
            subprocess.Popen(
                ["/bin/sh", str(images_dir() / SCRIPT)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            ) as process,
        ):
            self._process = process
            assert process.stdout is not None
            ended = threading.Event()
            reader = threading.Thread(target=self._follow, args=(log.fileno(), ended), daemon=True)
            reader.start()
            whole = False
            try:
                while chunk := process.stdout.read(_CHUNK_BYTES):
                    yield chunk
                whole = not self._stopped
            finally:
                _end(process, at_once=not whole)
                ended.set()
                reader.join()
        if process.returncode != 0:
            raise ImageError(
                f"mmdebstrap failed (exit status {process.returncode}); it needs root or "
                "unprivileged user namespaces, and a way to a Debian mirror\n"
                f"{quote(self._narrator.tail)}"
            )

    def _follow(self, log: int, ended: threading.Event) -> None:
        """Tell what the script writes, to the end.

        It writes to a file and not to a pipe: with its reader gone (a harness that was killed) it
        could neither report nor, for that, unmount and remove what it had made.
        """
        offset = 0
        while True:
            last = ended.wait(_LOG_EVERY_S)
            while text := os.pread(log, _CHUNK_BYTES, offset):
                offset += len(text)
                self._narrator.output(text.decode("utf-8", "replace"))
            if last:
                return

    def stop(self) -> None:
        """End the script, from another thread."""
        self._stopped = True
        if self._process is not None:
            _signal(self._process, signal.SIGTERM)


def _end(process: subprocess.Popen[bytes], *, at_once: bool) -> None:
    """Wait for the script. On SIGTERM mmdebstrap unmounts and removes its tree."""
    if at_once:
        _signal(process, signal.SIGTERM)
    try:
        process.wait(timeout=_TERMINATE_S if at_once else _CLEAN_UP_S)
    except subprocess.TimeoutExpired:
        _signal(process, signal.SIGKILL)
        process.wait()


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
