"""How long the proxy bears with a provider: what is tried again, when, and for how long."""

import random
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

_TRY_AGAIN = frozenset({408, 425, 429})
_NEVER = frozenset({501, 505})
"""Server errors that say that no repetition will help."""
_SERVER_ERROR = 500
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]*)?")
_SPENT = b"insufficient_quota"
"""OpenAI's code for a 429 that means an empty account and not a moment's hurry."""


@dataclass(frozen=True, slots=True)
class Patience:
    """The numbers of it, for one run."""

    connect_s: float = 30.0
    silence_s: float = 600.0
    """Without a single byte. A reply may take as long as it likes in all."""
    drain_s: float = 30.0
    """How long a call is read on after its client left."""
    drain_bytes: int = 16 * 1024**2
    retry_for_s: float = 120.0
    """From a call's first failure to its last try. 0: nothing is tried again."""
    backoff_s: float = 0.5
    """Before the first repetition; doubles with each."""
    backoff_cap_s: float = 15.0
    retry_after_cap_s: float = 120.0
    """A provider that asks for more is not waited for: the agent gets its answer."""
    trip_after: int = 5
    """Tries that failed one after the other until a provider counts as down."""
    probe_s: float = 1.0
    """Until it is tried again then; doubles with each failure."""
    probe_cap_s: float = 30.0

    def backoff(self, failures: int) -> float:
        """Seconds before the next try after so many ``failures`` (from 1), with full jitter.

        As in "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015), but never less than
        half, so that a provider in trouble gets some quiet.
        """
        ceiling = min(self.backoff_cap_s, self.backoff_s * 2.0 ** min(failures - 1, 32))
        return ceiling * random.uniform(0.5, 1.0)  # noqa: S311 - no secret hangs on it


def is_transient(status: int, headers: Mapping[str, str], body: bytes) -> bool:
    """Whether the same request may succeed a little later. ``headers`` ignore case.

    ``x-should-retry`` is how OpenAI and Anthropic tell their SDKs; it wins.
    """
    said = headers.get("x-should-retry", "").lower()
    if said in {"true", "false"}:
        return said == "true"
    if status == 429:  # noqa: PLR2004 - HTTP's Too Many Requests
        return _SPENT not in body
    return status in _TRY_AGAIN or (status >= _SERVER_ERROR and status not in _NEVER)


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """How long the provider asks to be left alone, in any of its forms; None where it does not.

    A date is taken relative to the provider's own ``Date``, so that no clock has to be right.
    Source: RFC 9110, section 10.2.3; ``retry-after-ms`` is OpenAI's.
    """
    if (found := _number(headers.get("retry-after-ms", ""))) is not None:
        return found / 1000
    text = headers.get("Retry-After", "")
    if (found := _number(text)) is not None:
        return found
    at = _moment(text)
    if at is None:
        return None
    now = _moment(headers.get("Date", ""))
    return max(0.0, at - (time.time() if now is None else now))


def _number(text: str) -> float | None:
    """One of very many digits is too long a time, and no missing one."""
    return float(text) if _NUMBER.fullmatch(text) else None


def _moment(text: str) -> float | None:
    try:
        return parsedate_to_datetime(text).timestamp() if text else None
    except (ValueError, OverflowError):
        return None
