"""The volume that a sidecar and its lane holders share: their Unix socket, and the spool.

No agent ever has it mounted.
"""

from docker.errors import APIError

from pacabench.sandbox.docker.connection import explain
from pacabench.sandbox.docker.containers import until_gone
from pacabench.sandbox.docker.engine import Engine
from pacabench.sandbox.docker.labels import Role, RunLabels, opaque_name


async def make_volume(engine: Engine, labels: RunLabels) -> str:
    """A volume for one sidecar; returns its name.

    Raises:
        SandboxError: the engine cannot make one.
    """
    try:
        made = await engine.call(
            lambda client: client.create_volume(opaque_name(), labels=labels.of(Role.RUNTIME))
        )
    except APIError as error:
        raise explain(error, "making the sidecar's volume") from error
    return str(made["Name"])


async def remove_volume(engine: Engine, name: str) -> None:
    """Remove a volume once nothing uses it. Idempotent.

    Raises:
        SandboxError: it stays in use.
    """
    await until_gone(
        engine, lambda client: client.remove_volume(name), doing="removing a sidecar's volume"
    )
