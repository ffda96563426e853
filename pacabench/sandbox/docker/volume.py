"""The volume that a sidecar and its lane holders share: their Unix socket, and the spool.

No agent ever has it mounted.
"""

import docker
from docker.errors import APIError

from pacabench.sandbox.docker.connection import explain
from pacabench.sandbox.docker.containers import discard, until_gone
from pacabench.sandbox.docker.engine import Engine
from pacabench.sandbox.docker.labels import Role, RunLabels, opaque_name


async def make_volume(engine: Engine, labels: RunLabels) -> str:
    """A volume for one sidecar; returns its name.

    Raises:
        SandboxError: the engine cannot make one.
    """
    try:
        return await engine.call(
            lambda client: str(
                client.create_volume(opaque_name(), labels=labels.of(Role.RUNTIME))["Name"]
            )
        )
    except APIError as error:
        raise explain(error, "making the sidecar's volume") from error


async def remove_volume(engine: Engine, name: str) -> None:
    """Remove a volume, and what still has it mounted. Idempotent.

    That is a holder of which nobody knows: the answer to its creation was lost.

    Raises:
        SandboxError: it stays in use.
    """

    def work(client: docker.APIClient) -> None:
        for left in client.containers(all=True, filters={"volume": name}):
            discard(client, left["Id"])
        client.remove_volume(name)

    await until_gone(engine, work, doing="removing a sidecar's volume")
