"""Asks an image, once, what its Python is."""

import asyncio
import contextlib
import secrets
from pathlib import Path
from typing import Any

import docker
import orjson
from docker.errors import APIError, NotFound
from docker.types import LogConfig
from pydantic import TypeAdapter, ValidationError

from pacabench.errors import ImageError
from pacabench.owner import current_owner
from pacabench.sandbox.docker.engine import Engine
from pacabench.sandbox.docker.images.build import explain_failure
from pacabench.sandbox.docker.images.lock import content_lock
from pacabench.sandbox.docker.images.output import clean_line
from pacabench.sandbox.docker.images.platforms import Interpreter
from pacabench.sandbox.docker.images.resources import content_key, read_resource
from pacabench.sandbox.docker.labels import Role, RunLabels, opaque_name

_SCRIPT = "agent-python/describe.py"
_SHELL = (
    "for python in python3 python; do "
    'command -v "$python" >/dev/null 2>&1 && exec "$python" -I -c "$0"; done; echo null'
)
_TIMEOUT_S = 60
_OUTPUT_BYTES = 64 * 1024
_ADAPTER: TypeAdapter[Interpreter | None] = TypeAdapter(Interpreter | None)


async def find_interpreter(engine: Engine, image_id: str, *, cache_dir: Path) -> Interpreter | None:
    """The image's ``python3`` (or ``python``), None where it has none. Kept by image id.

    Raises:
        ImageError: the image cannot be run, or says something else.
    """
    script = read_resource(_SCRIPT).decode()
    key = content_key(image_id, script, _SHELL)
    kept = cache_dir / "interpreters" / f"{key}.json"
    async with content_lock(cache_dir, key):
        said = await asyncio.to_thread(_read, kept)
        if said is not None:
            return _parse(said, image_id)
        said = await engine.call(
            lambda client: _run(client, image_id, script), timeout_s=2 * _TIMEOUT_S
        )
        interpreter = _parse(said, image_id)
        await asyncio.to_thread(_write, kept, said)
        return interpreter


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    fresh.write_bytes(data)
    fresh.replace(path)


def _parse(said: bytes, image_id: str) -> Interpreter | None:
    """Untrusted: the image may be anybody's."""
    lines = said.strip().splitlines()
    try:
        body = orjson.loads(lines[-1])
        if body is not None:
            name, major, minor = body.pop("libc")
            body |= {"libc": name, "libc_version": (major, minor)}
        return _ADAPTER.validate_python(body)
    except (IndexError, KeyError, TypeError, ValueError, AttributeError, ValidationError) as error:
        shown = clean_line(said[-400:].decode("utf-8", "replace"))
        raise ImageError(
            f"image {image_id[:19]}: its python3 does not say what it is, but: {shown!r}"
        ) from error


def _run(client: docker.APIClient, image_id: str, script: str) -> bytes:
    """What the script prints in a container without network, rights or a writable disk."""
    container = client.create_container(
        image_id,
        command=[script],
        entrypoint=["/bin/sh", "-c", _SHELL],
        user="65532:65532",
        working_dir="/",
        labels=RunLabels("(images)", "", current_owner()).of(Role.PROBE),
        name=opaque_name(),
        host_config=client.create_host_config(
            network_mode="none",
            read_only=True,
            cap_drop=["ALL"],
            security_opt=["no-new-privileges:true"],
            mem_limit="512m",
            pids_limit=64,
            log_config=LogConfig(
                type=LogConfig.types.JSON, config={"max-size": "1m", "max-file": "1"}
            ),
        ),
    )["Id"]
    try:
        client.start(container)
        client.wait(container, timeout=_TIMEOUT_S)
        said: bytes = client.logs(container, stdout=True, stderr=False, tail=20)
        return said[-_OUTPUT_BYTES:]
    except APIError as error:
        why = explain_failure(str(error.explanation or error))
        raise ImageError(f"image {image_id[:19]} has no working /bin/sh: {why}") from error
    finally:
        _remove(client, container)


def _remove(client: docker.APIClient, container: Any) -> None:
    with contextlib.suppress(NotFound):
        client.remove_container(container, force=True, v=True)
