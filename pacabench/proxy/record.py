"""A call record while it is being made."""

import os
import time
from dataclasses import dataclass, field, fields
from operator import attrgetter
from typing import Any, Literal

from pacabench.billing import CallEnd, UsageSource
from pacabench.model import CallRecord, FailedTry, Usage

MAX_ERROR = 500
"""Characters of an error that are recorded."""


@dataclass(slots=True)
class CallDraft:
    """The fields of :class:`~pacabench.model.CallRecord`, filled in as a call goes on."""

    attempt_id: str
    provider: str
    endpoint: str
    call_id: str = field(default_factory=lambda: os.urandom(12).hex())
    model: str | None = None
    answered_model: str | None = None
    status: int | None = None
    end: CallEnd = "interrupted"
    """As long as nothing better is known: what a reader of the spool has to assume."""
    stream: bool = False
    started_at: float = field(default_factory=time.time)
    ttft_ms: float | None = None
    duration_ms: float = 0.0
    usage: Usage | None = None
    usage_source: UsageSource = "none"
    raw_usage: dict[str, Any] | None = None
    request_digest: str = ""
    request_bytes: int = 0
    response_bytes: int = 0
    retries: int = 0
    error: str | None = None
    failed_tries: tuple[FailedTry, ...] = ()
    waited_ms: float = 0.0
    sent: bool = True
    repeat_of: str | None = None
    service_tier: str | None = None
    usage_note: str | None = None
    estimated: bool = False
    replay: Literal["served", "unmatched"] | None = None
    other_model: bool = False
    reserved_tokens: int | None = None
    reserved_usd: float | None = None
    output_limit: int | None = None
    is_cut: bool = False
    count: int = 1

    def record(self) -> CallRecord:
        """The record as things stand."""
        return CallRecord(*_values(self))


_values = attrgetter(*(item.name for item in fields(CallRecord)))
