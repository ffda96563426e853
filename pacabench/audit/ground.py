"""What attacks are made against: a fake internet, listeners on the host, a network for controls.

All of it is containers of the sidecar's image on the user's engine, labelled like a run's, and
nothing in it reaches beyond the engine's machine.
"""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from pacabench.aio import finish, settle
from pacabench.audit.scripts import stand_command
from pacabench.errors import SandboxError
from pacabench.sandbox.docker import containers
from pacabench.sandbox.docker.attach import attach
from pacabench.sandbox.docker.engine import Engine
from pacabench.sandbox.docker.labels import Role, RunLabels, opaque_name
from pacabench.sandbox.docker.sidecar_network import remove_network
from pacabench.sandbox.docker.volume import make_volume, remove_volume

T = TypeVar("T")

PROVIDER_PORT = 8000
SECRET_PORT = 8001
PUBLIC = "203.0.113.80"
"""Of the fake internet."""
_WEB = "11.255.255.80"
"""Public by the sidecar's rules; within the sidecar's network namespace and nowhere else."""
_LISTED = ("allowed", "private", "loopback", "metadata", "mixed", "mapped")
WEB_NAMES = tuple(
    f"{name}.audit.test" for name in (*_LISTED, "other", "xallowed", "allowed.audit.test.other")
)
WEB_ALLOWED = (*(f"{name}.audit.test:80" for name in _LISTED), "allowed.audit.test:443")
"""What attackers may reach of the web, if its address may be reached."""
STAND_DIR = "/stand"
"""Where the fake internet has the volume with its Unix socket."""


@dataclass(frozen=True, slots=True)
class Stand:
    """A running stand-in."""

    id: str
    """Container id."""
    told: Mapping[str, Any]
    """The line that it printed once it served."""


class Shared:
    """What is made when it is first needed, once, and cleared away with the ground."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self.stack = stack
        """What is entered or pushed here ends with the ground."""
        self._made: dict[str, asyncio.Task[Any]] = {}

    async def once(self, name: str, make: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """What ``make`` returned, or raised, the first time."""
        if name not in self._made:
            self._made[name] = asyncio.create_task(make())
        made: T = await asyncio.shield(self._made[name])
        return made

    async def settle(self) -> None:
        """End what is still being made."""
        await settle(set(self._made.values()))


@dataclass(frozen=True, slots=True)
class Ground:
    """Everything that attacks of one lab share."""

    engine: Engine
    labels: RunLabels
    image: str
    network: str
    """Id of the network that the fake internet, the sidecars and some controls are in."""
    volume: str
    """Holds a fake engine socket."""
    wan: Stand
    host: Stand
    canary: str
    """What the stand-ins answer; no agent is ever told it."""
    shared: "Shared"
    """What attacks of one lab make once."""

    @property
    def key_canary(self) -> str:
        """The provider's real key. Scripts know such words by their form only."""
        return f"sk-canary-key-{self.canary}"

    @property
    def expected_canary(self) -> str:
        """The expected answer of every case."""
        return f"canary-expected-{self.canary}"

    @property
    def provider_url(self) -> str:
        """Base URL of the fake internet's provider, for the sidecars."""
        return f"http://{self.wan.told['address']}:{PROVIDER_PORT}/v1"

    @property
    def web_hosts(self) -> list[str]:
        """What the names of the web lead to, for the sidecars."""
        inside = self.wan.told["address"]
        hosts = {name: [_WEB] for name in WEB_NAMES} | {
            "private.audit.test": [inside],
            "loopback.audit.test": ["127.0.0.1"],
            "metadata.audit.test": ["169.254.169.254"],
            "mixed.audit.test": [_WEB, inside],
            "mapped.audit.test": [f"::ffff:{inside}"],
        }
        return [f"{name}:{address}" for name, found in hosts.items() for address in found]

    @property
    def given(self) -> dict[str, Any]:
        """Where things are, for attack scripts."""
        return {
            "wan": self.wan.told["address"],
            "wan_name": self.wan.told["name"],
            "provider_port": PROVIDER_PORT,
            "secret_port": SECRET_PORT,
            "public": PUBLIC,
            "metadata": "169.254.169.254",
            "resolver": "198.51.100.53",
            "host_addresses": self.host.told["addresses"],
            "host_port": self.host.told["port"],
        }


@asynccontextmanager
async def open_ground(engine: Engine, labels: RunLabels, image: str) -> AsyncIterator[Ground]:
    """Put everything up; at the end all of it is gone.

    Raises:
        SandboxError: the engine cannot make it.
    """
    canary = secrets.token_hex(16)
    network = await finish(_make_network(engine, labels))
    volume = ""
    try:
        volume = await finish(make_volume(engine, labels))
        wan = stand_body(image, labels, stand_command("wan", canary))
        wan["HostConfig"] |= {
            "NetworkMode": network,
            "CapAdd": ["NET_ADMIN", "NET_BIND_SERVICE"],  # in its own network namespace only
            "Binds": [f"{volume}:{STAND_DIR}:rw"],
            "IpcMode": "shareable",
            "ExtraHosts": [f"{name}:{PUBLIC}" for name in WEB_NAMES],
        }
        host = stand_body(image, labels, stand_command("host", canary))
        host["HostConfig"]["NetworkMode"] = "host"
        async with (
            open_stand(engine, wan) as first,
            open_stand(engine, host) as second,
            AsyncExitStack() as stack,
        ):
            shared = Shared(stack)
            try:
                yield Ground(engine, labels, image, network, volume, first, second, canary, shared)
            finally:
                await shared.settle()
    finally:
        if volume:
            await finish(remove_volume(engine, volume))
        await finish(remove_network(engine, network))


@asynccontextmanager
async def open_stand(engine: Engine, body: Mapping[str, Any]) -> AsyncIterator[Stand]:
    """A stand-in that serves. At the end it is gone.

    Raises:
        SandboxError: the engine does not start it, or it ended at once.
    """
    doing = "starting a stand-in of the audit"
    container = await finish(containers.create(engine, body, doing=doing))
    try:
        attachment = await attach(engine, container)
        try:
            await containers.start(engine, container, doing=doing)
            line = await attachment.read_line()
            if line is None:
                raise SandboxError(f"{doing}: it ended at once: {attachment.stderr_tail[-500:]}")
            yield Stand(container, json.loads(line))
        finally:
            await finish(containers.remove(engine, container))
            await finish(attachment.close())
    except BaseException:
        await finish(containers.remove(engine, container))
        raise


async def _make_network(engine: Engine, labels: RunLabels) -> str:
    made = await engine.call(
        lambda client: client.create_network(
            opaque_name(), driver="bridge", labels=labels.of(Role.AUDIT)
        )
    )
    return str(made["Id"])


def stand_body(image: str, labels: RunLabels, command: Sequence[str]) -> dict[str, Any]:
    """A trusted stand-in. Its stdin ends with the harness, and it ends with its stdin."""
    return {
        "Image": image,
        "Entrypoint": list(command),
        "Cmd": [],
        "Labels": labels.of(Role.AUDIT),
        "User": "0:0",
        "OpenStdin": True,
        "StdinOnce": True,
        "AttachStdin": True,
        "AttachStdout": True,
        "AttachStderr": True,
        "Tty": False,
        "HostConfig": {
            "CapDrop": ["ALL"],
            "SecurityOpt": ["no-new-privileges:true"],
            "ReadonlyRootfs": True,
            "IpcMode": "none",
            "Memory": 128 * 1024**2,
            "PidsLimit": 128,
            "LogConfig": {"Type": "none"},
            "Init": True,
        },
    }
