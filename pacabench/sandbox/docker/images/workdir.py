"""The step that keeps a copy of an image's own WORKDIR, for agents that may write to theirs."""

from dataclasses import dataclass

from pacabench.sandbox.docker.images.resources import content_key, read_resource
from pacabench.sandbox.docker.images.steps import Context, Inspect, Site, build_step

WORKDIR_COPY = "/opt/workdir"
"""A tmpfs hides the original, which is read-only anyway; containers fill it from here."""
_DOCKERFILE = "agent-python/workdir.Dockerfile"


@dataclass(frozen=True, slots=True)
class WorkdirStep:
    """The directory that the image itself says its programs work in."""

    key: str
    user: str | None
    kind: str = "agent"

    async def build(self, base: Inspect, site: Site) -> None:
        """See :class:`~pacabench.sandbox.docker.images.steps.Step`."""
        await build_step(self, base, Context(dockerfile=_DOCKERFILE), site)


def workdir_step(before: str, *, user: str | None) -> WorkdirStep:
    """The step on whatever ``before`` stands for."""
    return WorkdirStep(content_key(before, read_resource(_DOCKERFILE), user or ""), user)
