"""``agents[].services``: what runs beside an agent, on its loopback."""

from pathlib import PurePosixPath
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from pacabench.config.base import BuildConfig, EnvName, Name, Section, VerbatimText
from pacabench.config.units import Bytes

PROXY_PORTS = range(8080, 8082)
"""Of the lane: the proxy's own, which no service can have."""
_KERNEL_DIRS = ("/proc", "/sys", "/dev")
_SHARED_MEMORY = "/dev/shm"  # noqa: S108 - inside the container


class HealthCheck(Section):
    """When a service is ready. Asked until then, and not once the agent runs."""

    tcp: int | None = Field(
        default=None, ge=1, le=65535, description="A port of 127.0.0.1 that takes connections then."
    )
    command: str | None = Field(
        default=None,
        min_length=1,
        description="A shell command, run in the service's container; it exits with 0 then.",
    )
    interval_seconds: float = Field(
        default=0.5, gt=0, le=600, description="From one `command` to the next."
    )
    timeout_seconds: float = Field(default=5.0, gt=0, le=600, description="Of one `command`.")
    start_within_seconds: float = Field(
        default=60.0, gt=0, le=3600, description="From its start; then the start has failed."
    )

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.tcp is None) == (self.command is None):
            raise ValueError("give one of `tcp` (a port) and `command`")
        if self.tcp in PROXY_PORTS:
            raise ValueError(
                f"port {self.tcp} is the proxy's: let the service listen on another one "
                f"(not {PROXY_PORTS[0]} to {PROXY_PORTS[-1]})"
            )
        for key in ("interval_seconds", "timeout_seconds"):
            if self.tcp is not None and key in self.model_fields_set:
                raise ValueError(f"`{key}` is for a `command`; a port is watched all the time")
        return self


def _writable_directory(path: str) -> str:
    pure = PurePosixPath(path)
    if not pure.is_absolute() or ".." in pure.parts or "\0" in path or pure == PurePosixPath("/"):
        raise ValueError(f"{path!r} is no absolute path of a directory below /")
    if str(pure) != _SHARED_MEMORY and any(pure.is_relative_to(own) for own in _KERNEL_DIRS):
        raise ValueError(f"{path!r} is the kernel's")
    return str(pure)


class ServiceConfig(Section):
    """A program that the agent reaches on 127.0.0.1: a vector store, a database, a search engine.

    Each of an agent's containers has its own, which is started before it and gone with it.
    """

    name: Name
    image: str | None = Field(
        default=None, min_length=1, description="On the engine, or else pulled."
    )
    build: BuildConfig | None = Field(default=None, description="Your own Dockerfile.")
    command: str | None = Field(
        default=None,
        min_length=1,
        description="A shell command line in place of what the image starts.",
    )
    env: dict[EnvName, VerbatimText] = Field(default_factory=dict)
    healthcheck: HealthCheck
    writable: tuple[Annotated[str, AfterValidator(_writable_directory)], ...] = Field(
        default=(),
        max_length=32,
        description="Directories, besides /tmp and the image's volumes, that it writes to; each "
        "is empty at first, in memory, and gone with the service.",
    )
    memory: Bytes = Field(
        default=512 * 1024**2, description="What it writes to its directories included."
    )
    cpus: float = Field(default=1.0, gt=0, le=1024)
    pids: int = Field(default=256, ge=32, le=100_000)
    tmp_size: Bytes = Field(
        default=256 * 1024**2, description="Of /tmp and of each directory that it may write to."
    )

    @model_validator(mode="after")
    def _one_image(self) -> Self:
        if (self.image is None) == (self.build is None):
            raise ValueError("give one of `image` and `build`")
        return self
