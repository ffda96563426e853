"""A sidecar's spool, fetched out of its container when the calls in it were not delivered."""

import io
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import docker
from docker.errors import APIError, NotFound

from pacabench.errors import PacabenchError, SandboxError
from pacabench.proxy.control import SPOOL_FILE
from pacabench.sandbox.docker import containers
from pacabench.sandbox.docker.connection import explain
from pacabench.sandbox.docker.engine import Engine

_FETCH_TIMEOUT_S = 300.0
_CHUNK_BYTES = 1024**2


async def fetch_spool(engine: Engine, container_id: str, into: Path) -> bool:
    """Copy the spool of a sidecar, stopped or not, to ``into``, and sync it to the disk.

    False: there is none (it never took a call, or the container is gone or being removed: whoever
    removes a sidecar took its spool first).

    Raises:
        SandboxError: the engine cannot give it.
        OSError: it cannot be written.
    """
    try:
        await engine.call(
            lambda client: _fetch(client, container_id, into),
            timeout_s=_FETCH_TIMEOUT_S,
            repeatable=True,
        )
    except NotFound:
        return False
    except (APIError, tarfile.TarError) as error:
        if await containers.is_going(engine, container_id):
            return False
        raise _explained(error) from error
    return True


def _explained(error: APIError | tarfile.TarError) -> PacabenchError:
    if isinstance(error, APIError):
        return explain(error, "reading a sidecar's spool")
    return SandboxError(f"reading a sidecar's spool: the engine gave no archive ({error})")


def _fetch(client: docker.APIClient, container_id: str, into: Path) -> None:
    chunks, _ = client.get_archive(container_id, SPOOL_FILE)
    with tarfile.open(fileobj=_Stream(chunks), mode="r|") as archive, into.open("wb") as file:
        for member in archive:
            content = archive.extractfile(member)
            while content is not None and (data := content.read(_CHUNK_BYTES)):
                file.write(data)
        file.flush()
        os.fsync(file.fileno())


class _Stream(io.RawIOBase):
    """docker-py's chunks as the file that ``tarfile`` reads."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = iter(chunks)
        self._rest = b""

    def read(self, size: int = -1) -> bytes:
        while size < 0 or len(self._rest) < size:
            chunk = next(self._chunks, b"")
            if not chunk:
                size = len(self._rest)
                break
            self._rest += chunk
        data, self._rest = self._rest[:size], self._rest[size:]
        return data
