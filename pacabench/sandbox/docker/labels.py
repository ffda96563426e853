"""The labels on everything that a run makes on the engine: what is ours, and whose exactly.

Only what carries them is ever removed. ``pacabench.session`` tells apart the sandboxes of one
process; the owner says whether they may still be in use.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from pacabench.owner import Owner

RUN = "pacabench.run"
ROLE = "pacabench.role"
SESSION = "pacabench.session"
RUN_DIR = "pacabench.run_dir"
_HOST = "pacabench.host"
_MACHINE = "pacabench.machine"
_BOOT = "pacabench.boot"
_PID = "pacabench.pid"
_STARTED = "pacabench.started"


class Role(StrEnum):
    """What a container, network or volume is there for."""

    AGENT = "agent"
    LANE = "lane"
    SIDECAR = "sidecar"
    PROBE = "probe"
    TEARDOWN = "teardown"
    SERVICE = "service"
    EGRESS = "egress"
    RUNTIME = "runtime"
    KEEPER = "keeper"
    """Of files that an agent left, or that a data set's ``prepare`` makes."""
    PREPARE = "prepare"
    AUDIT = "audit"
    """What ``doctor --audit`` attacks, and what it attacks from."""


@dataclass(frozen=True, slots=True)
class RunLabels:
    """Makes the labels of one opened sandbox."""

    run_id: str
    run_dir: str
    owner: Owner
    session: str = field(default_factory=lambda: secrets.token_hex(8))

    def of(self, role: Role) -> dict[str, str]:
        """The labels of something with this ``role``."""
        return {
            ROLE: role.value,
            RUN: self.run_id,
            RUN_DIR: self.run_dir,
            SESSION: self.session,
            **owner_labels(self.owner),
        }

    @property
    def filters(self) -> dict[str, list[str]]:
        """Finds exactly what this sandbox made."""
        return {"label": [f"{SESSION}={self.session}"]}


def owner_labels(owner: Owner) -> dict[str, str]:
    """``owner`` as labels; :func:`read_owner` reads them back."""
    return {
        _HOST: owner.host,
        _MACHINE: owner.machine,
        _BOOT: owner.boot,
        _PID: str(owner.pid),
        _STARTED: repr(owner.started),
    }


def read_owner(labels: Mapping[str, str]) -> Owner | None:
    """The owner in ``labels``; None when they are not ours, or not whole."""
    try:
        return Owner(
            host=labels[_HOST],
            machine=labels[_MACHINE],
            boot=labels[_BOOT],
            pid=int(labels[_PID]),
            started=float(labels[_STARTED]),
        )
    except (KeyError, ValueError):
        return None


def opaque_name() -> str:
    """A name that says nothing about run, agent or case: agents can read their host's name."""
    return f"pb-{secrets.token_hex(8)}"
