"""Which image everything stands on."""

from pathlib import Path
from typing import Any

from pacabench.errors import ImageError
from pacabench.events import Listener, Notice
from pacabench.sandbox.docker.engine import Engine
from pacabench.sandbox.docker.images import debian
from pacabench.sandbox.docker.images.build import find_image
from pacabench.sandbox.docker.images.lock import content_lock
from pacabench.sandbox.docker.images.pull import pull_image
from pacabench.sandbox.docker.images.resources import content_key

DEFAULT_BASE = "python:3.12-slim"
_OWN_IMAGE = (
    "bring one in (`docker pull`, or `docker load` from a machine that can) and name it as "
    "`sandbox.image`"
)


async def ensure_default_base(
    engine: Engine, *, cache_dir: Path, listener: Listener
) -> dict[str, Any]:
    """The ``inspect`` of the base: :data:`DEFAULT_BASE`, or one made of Debian packages.

    What is on the engine wins over what would have to be fetched, and the Debian base stays in use
    once made, so that the next run gets the same. First: local :data:`DEFAULT_BASE`, local Debian
    base, pull, make.

    Raises:
        ImageError: none is here and none can be had; says what to do.
    """
    architecture = await debian.engine_architecture(engine)
    tag = debian.debian_base_tag(architecture)
    async with content_lock(cache_dir, content_key("base", tag)):
        for reference in (DEFAULT_BASE, tag):
            found = await find_image(engine, reference)
            if found is not None:
                return found
        try:
            return await pull_image(engine, DEFAULT_BASE, listener)
        except ImageError as error:
            reason = debian.why_not(architecture)
            if reason is not None:
                raise ImageError(
                    f"there is no base image: {error}; and none can be made here: {reason}. "
                    f"Either {_OWN_IMAGE}, or install mmdebstrap (Debian and Ubuntu have it)"
                ) from error
            listener(Notice("warning", f"{error}; falling back to Debian packages"))
            return await _made(engine, architecture, tag, listener, error)


async def _made(
    engine: Engine, architecture: str, tag: str, listener: Listener, pull: ImageError
) -> dict[str, Any]:
    try:
        await debian.make_debian_base(engine, architecture, listener)
    except ImageError as error:
        raise ImageError(f"there is no base image: {pull}; {error}\n  Else {_OWN_IMAGE}") from error
    made = await find_image(engine, tag)
    assert made is not None
    return made


async def ensure_user_image(
    engine: Engine,
    reference: str,
    *,
    cache_dir: Path,
    listener: Listener,
    key: str = "sandbox.image",
) -> dict[str, Any]:
    """The ``inspect`` of the image that the configuration names under ``key``.

    Raises:
        ImageError: it is neither here nor can it be pulled.
    """
    try:
        async with content_lock(cache_dir, content_key("pull", reference)):
            return await pull_image(engine, reference, listener)
    except ImageError as error:
        raise ImageError(
            f"`{key}: {reference}` is not on the engine, and {error}. Check the name "
            "(`docker image ls`), `docker login` where it is private, or `docker load` it"
        ) from error
