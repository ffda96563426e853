"""The images of services: the user's own, by name or by a Dockerfile. Nothing is put on top."""

from dataclasses import dataclass
from pathlib import Path

from pacabench.config.services import ServiceConfig
from pacabench.errors import ImageError
from pacabench.events import Listener
from pacabench.sandbox.base import SandboxAgent
from pacabench.sandbox.docker.engine import Engine
from pacabench.sandbox.docker.images.base import ensure_user_image
from pacabench.sandbox.docker.images.steps import Inspect, Site
from pacabench.sandbox.docker.images.user_build import ensure_user_build


@dataclass(frozen=True, slots=True)
class ServiceImage:
    """What containers of a service are made from."""

    id: str
    """``sha256:...``: content and not name."""
    command: tuple[str, ...]
    """What is run in it."""
    workdir: str
    volumes: tuple[str, ...]
    """Paths that the image declares as volumes: anonymous ones would be left behind."""


async def ensure_service_image(
    engine: Engine,
    agent: SandboxAgent,
    service: ServiceConfig,
    *,
    cache_dir: Path,
    listener: Listener,
) -> ServiceImage:
    """The image of ``service``, one of those of ``agent``; pulled or built if it is not there.

    Raises:
        ImageError: it cannot be had, or nothing says what to run in it.
    """
    subject = f"service {service.name!r} of agent {agent.name!r}"
    try:
        image = await _image(Site(engine, cache_dir, listener, subject), agent, service)
    except (ImageError, OSError) as error:
        raise ImageError(f"{subject}: {error}") from error
    settings = image.get("Config") or {}
    command = [*(settings.get("Entrypoint") or ()), *(settings.get("Cmd") or ())]
    if service.command is not None:
        command = ["/bin/sh", "-c", service.command]
    if not command:
        raise ImageError(
            f"{subject}: its image has neither ENTRYPOINT nor CMD: say in `command` what to run"
        )
    return ServiceImage(
        id=str(image["Id"]),
        command=tuple(command),
        workdir=str(settings.get("WorkingDir") or "/"),
        volumes=tuple(sorted(settings.get("Volumes") or ())),
    )


async def _image(site: Site, agent: SandboxAgent, service: ServiceConfig) -> Inspect:
    if service.build is not None:
        return await ensure_user_build(
            service.build,
            agent.project,
            site,
            key=f"services.{service.name}.build",
            network=agent.sandbox.network_of_builds,
        )
    assert service.image is not None
    return await ensure_user_image(
        site.engine,
        service.image,
        cache_dir=site.cache_dir,
        listener=site.listener,
        key=f"services.{service.name}.image",
    )
