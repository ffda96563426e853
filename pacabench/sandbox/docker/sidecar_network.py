"""The network that the sidecar needs for itself. No agent is ever in it."""

import ipaddress
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal
from urllib.parse import urlsplit, urlunsplit

import psutil
from docker.errors import APIError

from pacabench.errors import SandboxUnavailableError
from pacabench.proxy.control import ProviderSpec
from pacabench.sandbox.docker.connection import explain
from pacabench.sandbox.docker.containers import until_gone
from pacabench.sandbox.docker.engine import Engine
from pacabench.sandbox.docker.labels import Role, RunLabels, opaque_name

HOST_NAME = "host.docker.internal"
"""The user's machine, as seen from a container in an engine's virtual machine."""
_VIRTUAL_MACHINES = ("Docker Desktop", "OrbStack")


@dataclass(frozen=True, slots=True)
class SidecarNetwork:
    """What the sidecar needs."""

    kind: Literal["none", "bridge", "host"]
    providers: Sequence[ProviderSpec]
    """With base URLs as the sidecar has to write them."""
    notice: str | None = None
    """What the user should know."""
    existing: str | None = None
    """With ``bridge``: an existing network to use in place of an own one."""
    hosts: Sequence[str] = ()
    """``name:address`` entries that the sidecar finds before it asks a resolver."""


def plan_network(
    providers: Sequence[ProviderSpec],
    info: Mapping[str, Any],
    *,
    web: bool = False,
    platform: str = sys.platform,
) -> SidecarNetwork:
    """The least that reaches every provider, and the ``web`` where agents may reach some of it.

    ``info`` is the engine's ``GET /info``.

    Raises:
        SandboxUnavailableError: a provider on this machine is out of the engine's reach.
    """
    remote = [spec for spec in providers if spec.kind != "scripted" and not spec.sealed]
    local = [spec.name for spec in remote if _is_local(spec)]
    if not remote:
        return SidecarNetwork("bridge" if web else "none", providers)
    if not local:
        return SidecarNetwork("bridge", providers)
    names = ", ".join(local)
    in_machine = any(name in str(info.get("OperatingSystem")) for name in _VIRTUAL_MACHINES)
    if in_machine or platform != "linux":
        return SidecarNetwork(
            "bridge",
            [_moved(spec) if _is_local(spec) else spec for spec in providers],
            f"provider {names} is on this machine: the sidecar reaches it as {HOST_NAME}",
        )
    if any("rootless" in str(option) for option in info.get("SecurityOptions") or ()):
        raise SandboxUnavailableError(
            f"provider {names} listens on this machine's loopback, which a rootless engine does "
            "not reach: let it listen on another address of this machine, and name that one"
        )
    return SidecarNetwork(
        "host",
        providers,
        f"provider {names} is on this machine: the sidecar (not the agents) gets the host's "
        "network for this run",
    )


def _is_local(spec: ProviderSpec) -> bool:
    host = (urlsplit(_first_hop(spec)).hostname or "").rstrip(".")
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def _moved(spec: ProviderSpec) -> ProviderSpec:
    parts = urlsplit(_first_hop(spec))
    login, at, _ = parts.netloc.rpartition("@")
    port = f":{parts.port}" if parts.port is not None else ""
    moved = urlunsplit(parts._replace(netloc=f"{login}{at}{HOST_NAME}{port}"))
    if spec.forward_proxy is not None:
        return replace(spec, forward_proxy=moved)
    return replace(spec, base_url=moved)


def _first_hop(spec: ProviderSpec) -> str:
    """What the sidecar itself has to reach."""
    return spec.forward_proxy or spec.base_url or ""


def machine_addresses() -> list[str]:
    """This machine's own addresses, which a public name could point at.

    A firewall may trust what comes from the engine's bridges more than what comes from outside.
    """
    families = (socket.AF_INET, socket.AF_INET6)
    return sorted(
        {
            entry.address.partition("%")[0]
            for entries in psutil.net_if_addrs().values()
            for entry in entries
            if entry.family in families
        }
    )


async def make_network(engine: Engine, labels: RunLabels) -> str:
    """A network for one sidecar alone; returns its id.

    Raises:
        SandboxError: the engine cannot make one (address pools exhausted).
    """
    try:
        return await engine.call(
            lambda client: str(
                client.create_network(
                    opaque_name(),
                    driver="bridge",
                    # Nobody else is ever in it; should somebody be, they do not see each other.
                    options={"com.docker.network.bridge.enable_icc": "false"},
                    labels=labels.of(Role.EGRESS),
                )["Id"]
            )
        )
    except APIError as error:
        raise explain(error, "making the sidecar's network") from error


async def remove_network(engine: Engine, name: str) -> None:
    """Remove a network once nothing uses it. Idempotent.

    Raises:
        SandboxError: it stays in use.
    """
    await until_gone(
        engine, lambda client: client.remove_network(name), doing="removing a sidecar's network"
    )
