"""The step that runs an agent's ``setup``."""

from dataclasses import dataclass

from pacabench.sandbox.docker.images.resources import content_key, read_resource
from pacabench.sandbox.docker.images.steps import (
    Context,
    Inspect,
    Site,
    build_step,
    network_mark,
    online_files,
    online_key,
    proxy_arguments,
)

_DOCKERFILE = "agent-python/setup.Dockerfile"


@dataclass(frozen=True, slots=True)
class SetupStep:
    """A shell command, as root."""

    key: str
    command: str
    user: str | None
    network: str | None = None
    """None: the engine's default one."""
    kind: str = "deps"

    async def build(self, base: Inspect, site: Site) -> None:
        """See :class:`~pacabench.sandbox.docker.images.steps.Step`."""
        await build_step(
            self,
            base,
            Context(
                dockerfile=_DOCKERFILE,
                files=[
                    (
                        "pacabench/setup.sh",
                        f"{self.command}\n{network_mark(self.network)}".encode(),
                        0o755,
                    ),
                    *online_files(),
                ],
                args=proxy_arguments(),
                network=self.network,
            ),
            site,
        )


def setup_step(
    before: str, command: str, *, user: str | None, network: str | None = None
) -> SetupStep:
    """The step for ``command``. Proxies and certificates are the way there and no content."""
    offline = [network] if network is not None else []
    key = content_key(
        before, read_resource(_DOCKERFILE), online_key(), command, user or "", *offline
    )
    return SetupStep(key, command, user, network)
