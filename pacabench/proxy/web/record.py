"""A way out while it is being taken, and what can become of it."""

import secrets
import time
from dataclasses import dataclass, field, fields
from operator import attrgetter

from pacabench.egress import EgressRecord, EgressVerdict

MAX_TEXT = 300
"""Characters of a host or a detail that are recorded."""


class DeniedError(Exception):
    """It is not let through; ``told`` is what the agent hears of it, ``detail`` the record."""

    def __init__(self, reason: str, detail: str, *, status: int = 403, told: str = "") -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail
        self.status = status
        self.told = told or detail


class FailedError(Exception):
    """It would be let through, but nobody is reached."""

    def __init__(self, reason: str, detail: str, *, status: int = 502) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail
        self.status = status


class CutError(Exception):
    """It was let through and is ended before its end."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


@dataclass(slots=True)
class EgressDraft:
    """The fields of :class:`~pacabench.model.EgressRecord`, filled in as it goes on."""

    attempt_id: str
    egress_id: str = field(default_factory=lambda: secrets.token_hex(12))
    method: str = ""
    host: str = ""
    port: int | None = None
    address: str | None = None
    verdict: EgressVerdict = "allowed"
    reason: str | None = None
    detail: str | None = None
    status: int | None = None
    bytes_up: int = 0
    bytes_down: int = 0
    started_at: float = field(default_factory=time.time)
    duration_ms: float = 0.0
    count: int = 1

    def judge(self, error: DeniedError | FailedError | CutError) -> None:
        """Note what became of it."""
        if isinstance(error, DeniedError):
            self.verdict = "denied"
        elif isinstance(error, FailedError) or self.address is None:  # cut before it got anywhere
            self.verdict = "failed"
        self.reason, self.detail = error.reason, error.detail[:MAX_TEXT]

    def record(self) -> EgressRecord:
        """The record as things stand."""
        return EgressRecord(**dict(zip(_NAMES, _values(self), strict=True)))


_NAMES = tuple(item.name for item in fields(EgressDraft))
_values = attrgetter(*_NAMES)
