"""What counts of the LLM calls on record, for adding up 100,000 of them."""

from typing import Literal, TypeAlias

import msgspec

from pacabench.billing import Billing, CallEnd, UsageSource
from pacabench.model import CaseKey, MeteredCall, Usage


class CallFacts(Billing, msgspec.Struct, frozen=True):
    """What counts of a :class:`~pacabench.model.CallRecord`; fields are named as there."""

    attempt_id: str
    provider: str
    endpoint: str
    status: int | None
    end: CallEnd
    started_at: float
    ttft_ms: float | None
    usage: Usage | None
    usage_source: UsageSource
    sent: bool = True
    repeat_of: str | None = None
    estimated: bool = False
    replay: Literal["served", "unmatched"] | None = None
    other_model: bool = False
    reserved_tokens: int | None = None
    reserved_usd: float | None = None
    count: int = 1


class MeteredFacts(msgspec.Struct, frozen=True):
    """What counts of a :class:`~pacabench.model.MeteredCall`.

    Read from the same lines as those, in half the time: 20 of 38 fields, and msgspec's own kind
    of class.
    """

    key: CaseKey
    call: CallFacts
    cost_usd: float | None


Metered: TypeAlias = MeteredCall | MeteredFacts
"""A call in full or in what counts of it."""
