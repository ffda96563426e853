"""Images that others made: found on the engine, or pulled."""

from collections.abc import Iterator
from typing import Any
from weakref import WeakKeyDictionary

import docker
import orjson
from docker.auth import get_config_header, resolve_repository_name
from docker.errors import APIError
from docker.utils import parse_repository_tag

from pacabench.errors import ImageError
from pacabench.events import Listener
from pacabench.sandbox.docker.engine import Engine
from pacabench.sandbox.docker.images.build import explain_failure, find_image, pull_progress
from pacabench.sandbox.docker.images.output import Narrator
from pacabench.sandbox.docker.images.stream import Messages, follow

_PULL_STALL_S = 120.0
_failed: WeakKeyDictionary[Engine, dict[str, str]] = WeakKeyDictionary()
"""Pulls that failed, with why: not tried again for the next agent."""


async def pull_image(engine: Engine, reference: str, listener: Listener) -> dict[str, Any]:
    """The image's ``inspect``, from the engine or else from its registry.

    Raises:
        ImageError: it is not here and cannot be pulled; the message is the registry's alone.
    """
    found = await find_image(engine, reference)
    if found is not None:
        return found
    failed = _failed.setdefault(engine, {})
    if reference in failed:
        raise ImageError(failed[reference])
    try:
        await _pull(engine, reference, Narrator(listener, f"pulling {reference}"))
    except ImageError as error:
        failed[reference] = str(error)
        raise
    found = await find_image(engine, reference)
    if found is None:
        raise ImageError(f"{reference} was pulled, and still there is no such image")
    return found


async def _pull(engine: Engine, reference: str, narrator: Narrator) -> None:
    errors: list[str] = []

    def handle(message: dict[str, Any]) -> None:
        if "error" in message:
            errors.append(str(message["error"]))
        elif isinstance(status := message.get("status"), str):
            narrator.progress(pull_progress(status, message))

    narrator.step("asking its registry")
    try:
        await follow(
            engine,
            lambda client: _messages(client, reference),
            handle,
            doing=f"pulling {reference}",
        )
    except APIError as error:
        errors.append(str(error.explanation or error))
    if errors:
        raise ImageError(f"pulling {reference}: {explain_failure(errors[0])}")


def _messages(client: docker.APIClient, reference: str) -> Messages:
    """``client.pull`` with a read time-out, which it does not offer."""
    repository, tag = parse_repository_tag(reference)
    registry, _ = resolve_repository_name(repository)
    header = get_config_header(client, registry)
    response = client.post(
        f"{client.base_url}/v{client.api_version}/images/create",
        params={"fromImage": repository, "tag": tag or "latest"},
        headers={"X-Registry-Auth": header} if header else {},
        stream=True,
        timeout=(30.0, _PULL_STALL_S),
    )
    if not response.ok:
        raise APIError("pull", response=response, explanation=_reason(response.content))
    return _decoded(response.iter_lines())


def _decoded(lines: Iterator[bytes]) -> Messages:
    for line in lines:
        if line.strip():
            message = orjson.loads(line)
            if isinstance(message, dict):
                yield message


def _reason(body: bytes) -> str:
    try:
        return str(orjson.loads(body)["message"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return body[:1000].decode("utf-8", "replace")
