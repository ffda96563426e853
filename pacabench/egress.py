"""Ways out to the web that agents tried: what is recorded of them."""

from dataclasses import dataclass
from typing import Literal

from pacabench.model import CaseKey

EgressVerdict = Literal[
    "allowed",  # it was let through
    "denied",  # it was refused, or cut for what it turned out to be
    "failed",  # it would have been let through, and nobody was reached
]


@dataclass(frozen=True, slots=True)
class EgressRecord:
    """One way out to the web that an agent tried, as the sidecar saw it."""

    egress_id: str
    """Random, unique; makes recovery after a crash idempotent."""
    attempt_id: str
    method: str
    """``CONNECT``, or the method of a plain HTTP request; empty where none was understood."""
    host: str
    """As it was asked for, cut short; untrusted."""
    port: int | None
    address: str | None
    """The one that was connected to; every address of the host's was checked."""
    verdict: EgressVerdict
    reason: str | None
    """A word of ``docs/egress.md``: why it was not let through, or what ended it early."""
    detail: str | None
    """The same for people; untrusted."""
    status: int | None
    """Of the reply to a plain HTTP request."""
    bytes_up: int
    """Sent on to the host, heads and TLS included."""
    bytes_down: int
    """Sent back to the agent."""
    started_at: float
    """Unix time, seconds."""
    duration_ms: float
    count: int = 1
    """More than 1: so many were denied after those that have a record each."""


@dataclass(frozen=True, slots=True)
class CaseEgress:
    """A way out with whose it was. One line of ``egress.jsonl``."""

    key: CaseKey
    egress: EgressRecord
    recovered: bool = False
    """Read from the sidecar's spool after the harness had died."""
