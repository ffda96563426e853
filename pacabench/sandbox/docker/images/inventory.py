"""Which images of ours the engine has."""

from dataclasses import dataclass

from docker.errors import APIError

from pacabench.sandbox.docker.connection import explain
from pacabench.sandbox.docker.engine import Engine
from pacabench.sandbox.docker.images.build import REPOSITORY


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """One tagged image that PacaBench made."""

    tag: str
    id: str
    kind: str
    """``base``, ``sidecar``, ``deps``, ``agent`` or ``build``."""
    size_bytes: int
    """With all layers; images share them."""
    created: float
    """Unix time, seconds."""


async def list_images(engine: Engine) -> list[ImageInfo]:
    """Images of ours, the newest first. An image that lost its tag is no longer one.

    Raises:
        SandboxError: the engine does not tell.
    """
    wanted = {"reference": f"{REPOSITORY}/*"}
    try:
        found = await engine.call(lambda client: client.images(filters=wanted), repeatable=True)
    except APIError as error:
        raise explain(error, "listing images") from error
    return sorted(
        (
            ImageInfo(
                tag=tag,
                id=str(image["Id"]),
                kind=tag.removeprefix(f"{REPOSITORY}/").partition(":")[0],
                size_bytes=int(image["Size"]),
                created=float(image["Created"]),
            )
            for image in found
            for tag in image.get("RepoTags") or ()
            if tag.startswith(f"{REPOSITORY}/")
        ),
        key=lambda image: (-image.created, image.tag),
    )
