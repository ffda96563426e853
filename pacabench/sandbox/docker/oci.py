"""OCI runtimes: what an engine runs containers with, by name (``profile: vm``)."""

from collections.abc import Mapping, Sequence
from typing import Any

from pacabench.errors import SandboxUnavailableError
from pacabench.sandbox.base import SandboxAgent

_SHIM = "io.containerd."
"""Newer engines find containerd's shims by name and list only those that are configured."""
_SHIMS_SINCE = (1, 42)


def check_runtimes(
    agents: Sequence[SandboxAgent], info: Mapping[str, Any], api_version: str
) -> None:
    """Whether the engine has the runtime that each agent's settings name.

    ``info`` is the engine's ``GET /info``. What the runtime really does is for the probe to find.

    Raises:
        SandboxUnavailableError: says which runtimes it has.
    """
    known = sorted(info.get("Runtimes") or ())
    by_name = tuple(int(part) for part in api_version.split(".")) >= _SHIMS_SINCE
    for agent in agents:
        wanted = agent.sandbox.runtime
        if wanted is None or wanted in known or (by_name and wanted.startswith(_SHIM)):
            continue
        raise SandboxUnavailableError(
            f"agent {agent.name!r}: this engine has no OCI runtime {wanted!r} "
            f"(`sandbox.runtime`); it has: {', '.join(known) or 'none that it names'}. Register "
            "it under `runtimes` in the engine's daemon.json, name one that is there, or use "
            "`profile: strict`"
        )
