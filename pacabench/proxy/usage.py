"""Token counts out of what a provider says. What is no count is unknown, and unknown is not 0."""

from collections.abc import Mapping
from typing import Any

import orjson

from pacabench.model import Usage, UsageSource

MAX_RAW_BYTES = 8 * 1024
_TOO_MANY = 2**53


def count(value: Any) -> int | None:
    """``value`` as a number of tokens, or None."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _TOO_MANY:
        return value
    return None


def openai_usage(raw: Mapping[str, Any]) -> Usage | None:
    """Usage of chat completions, embeddings and responses, which differ in their names only.

    Cached tokens are part of the prompt's, and ``Usage`` wants disjoint parts. None where ``raw``
    holds no count at all.
    Source: https://platform.openai.com/docs/api-reference (``usage`` of each object).
    """
    prompt = _first(raw, "prompt_tokens", "input_tokens")
    output = _first(raw, "completion_tokens", "output_tokens")
    cached = _detail(raw, "cached_tokens", "prompt_tokens_details", "input_tokens_details")
    reasoning = _detail(
        raw, "reasoning_tokens", "completion_tokens_details", "output_tokens_details"
    )
    if prompt is None and output is None:
        return None
    if prompt is not None and cached is not None:
        cached = min(cached, prompt)
    return Usage(
        input_tokens=None if prompt is None else prompt - (cached or 0),
        cached_tokens=cached,
        output_tokens=output,
        reasoning_tokens=reasoning,
    )


def usage_source(usage: Usage | None) -> UsageSource:
    """``partial_provider`` where the provider left out one of the two sums that are billed."""
    if usage is None:
        return "none"
    if usage.input_tokens is None or usage.output_tokens is None:
        return "partial_provider"
    return "provider"


def bounded(raw: dict[str, Any]) -> dict[str, Any] | None:
    """The provider's own usage for the record, or None where it is too long or deep to keep."""
    try:
        size = len(orjson.dumps(raw))
    except orjson.JSONEncodeError:
        return None
    return raw if size <= MAX_RAW_BYTES else None


def _first(raw: Mapping[str, Any], *names: str) -> int | None:
    return next((found for name in names if (found := count(raw.get(name))) is not None), None)


def _detail(raw: Mapping[str, Any], name: str, *groups: str) -> int | None:
    for group in groups:
        details = raw.get(group)
        if isinstance(details, dict) and (found := count(details.get(name))) is not None:
            return found
    return None
