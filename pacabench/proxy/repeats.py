"""Which calls are repetitions that an SDK makes by itself, so that nothing is counted twice.

OpenAI's and Anthropic's SDKs say so in ``x-stainless-retry-count``; some clients send the same
``Idempotency-Key`` again. Others say nothing: then the same request after one that failed is a
repetition, while the same request after a success is a new question (an agent that samples twice).
"""

from collections.abc import Mapping

MAX_KEPT = 10_000
"""Of one attempt: requests, and keys."""


class Repeats:
    """The calls of one attempt, by what tells a repetition."""

    def __init__(self) -> None:
        self._by_key: dict[str, str] = {}
        self._by_request: dict[str, str] = {}
        self._failed: set[str] = set()

    def original(self, call_id: str, digest: str, headers: Mapping[str, str]) -> str | None:
        """The id of the first call that this one repeats, or None. ``headers`` ignore case."""
        key = headers["Idempotency-Key"][:256] if "Idempotency-Key" in headers else ""
        said = headers.get("x-stainless-retry-count", "0")
        again = said != "0" and said.strip() not in {"", "0"}
        found = self._by_key.get(key) if key else None
        if found is None and (again or digest in self._failed):
            found = self._by_request.get(digest)
        first = call_id if found is None else found
        if len(self._by_request) < MAX_KEPT:
            self._by_request[digest] = first
        if key and len(self._by_key) < MAX_KEPT:
            self._by_key[key] = first
        return found

    def ended(self, digest: str, *, well: bool) -> None:
        """How the last call with this request went."""
        if well:
            self._failed.discard(digest)
        elif digest and len(self._failed) < MAX_KEPT:
            self._failed.add(digest)
