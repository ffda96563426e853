"""Token counts out of what a provider says. What is no count is unknown, and unknown is not 0."""

from collections.abc import Mapping
from typing import Any

import orjson

from pacabench.billing import UsageSource
from pacabench.model import Usage

MAX_RAW_BYTES = 8 * 1024
_TOO_MANY = 2**53


def count(value: Any) -> int | None:
    """``value`` as a number of tokens, or None."""
    # A bool is an int as well, and no number of tokens.
    return value if type(value) is int and 0 <= value < _TOO_MANY else None


def openai_usage(raw: Mapping[str, Any]) -> Usage | None:
    """Usage of chat completions, embeddings and responses, which differ in their names only.

    What was read from a cache or written to it is part of the prompt, and ``Usage`` wants disjoint
    parts. None where ``raw`` holds no count at all.
    Source: https://platform.openai.com/docs/api-reference (``usage`` of each object);
    ``prompt_cache_hit_tokens``: https://api-docs.deepseek.com/api/create-chat-completion.
    """
    prompt = _first(raw, "prompt_tokens", "input_tokens")
    output = _first(raw, "completion_tokens", "output_tokens")
    if prompt is None and output is None:
        return None
    prompt_groups = ("prompt_tokens_details", "input_tokens_details")
    cached = _detail(raw, "cached_tokens", *prompt_groups)
    if cached is None:
        cached = count(raw.get("prompt_cache_hit_tokens"))
    written = _detail(raw, "cache_write_tokens", *prompt_groups)
    reasoning = _detail(
        raw, "reasoning_tokens", "completion_tokens_details", "output_tokens_details"
    )
    if output is not None and reasoning:
        # Some (xAI) count it beside the completion, as their total then tells.
        if prompt is not None and count(raw.get("total_tokens")) == prompt + output + reasoning:
            output += reasoning
        reasoning = min(reasoning, output)
    if prompt is not None:
        cached = None if cached is None else min(cached, prompt)
        written = None if written is None else min(written, prompt - (cached or 0))
    return Usage(
        input_tokens=None if prompt is None else prompt - (cached or 0) - (written or 0),
        cached_tokens=cached,
        cache_write_tokens=written,
        output_tokens=output,
        reasoning_tokens=reasoning,
    )


def anthropic_usage(raw: Mapping[str, Any]) -> Usage | None:
    """Usage of a message. Its three kinds of input are disjoint already.

    Source: https://docs.anthropic.com/en/docs/build-with-claude/prompt-caching
    """
    fresh, output = count(raw.get("input_tokens")), count(raw.get("output_tokens"))
    if fresh is None and output is None:
        return None
    parts = raw.get("cache_creation")
    parts = parts if isinstance(parts, dict) else {}
    hour, minutes = (count(parts.get(f"ephemeral_{ttl}_input_tokens")) for ttl in ("1h", "5m"))
    written = count(raw.get("cache_creation_input_tokens"))
    if written is None and (hour is not None or minutes is not None):
        written = (hour or 0) + (minutes or 0)
    return Usage(
        input_tokens=fresh,
        cached_tokens=count(raw.get("cache_read_input_tokens")),
        cache_write_tokens=written,
        output_tokens=output,
        reasoning_tokens=_detail(raw, "thinking_tokens", "output_tokens_details"),
        cache_write_1h_tokens=None if hour is None else min(hour, written or 0),
    )


def gemini_usage(raw: Mapping[str, Any]) -> tuple[Usage | None, str | None]:
    """Usage of generated content, and what is doubtful about it.

    ``promptTokenCount`` includes what was cached. Thoughts and the prompts of tools usually come on
    top of candidates and prompt; whether they do here is what ``totalTokenCount`` decides.
    Source: https://ai.google.dev/api/generate-content#UsageMetadata
    """
    prompt = count(raw.get("promptTokenCount"))
    total = count(raw.get("totalTokenCount"))
    thoughts = count(raw.get("thoughtsTokenCount"))
    tools = count(raw.get("toolUsePromptTokenCount")) or 0
    candidates = count(raw.get("candidatesTokenCount"))
    if prompt is None:
        if candidates is None and thoughts is None:
            return None, None
        said = (candidates or 0) + (thoughts or 0)
        return Usage(output_tokens=said, reasoning_tokens=thoughts), None
    fits = _fitting(prompt, candidates or 0, tools, thoughts or 0, total)
    asked, output, note = prompt + tools, (candidates or 0) + (thoughts or 0), None
    if fits is not None:
        asked, output = fits
    elif total is not None:
        note = f"totalTokenCount is {total}, its parts are {asked + output}"
        if candidates is None and total > asked + output:
            output = total - asked
    told = candidates is not None or thoughts is not None or total is not None
    cached = count(raw.get("cachedContentTokenCount"))
    cached = None if cached is None else min(cached, prompt)
    usage = Usage(
        input_tokens=asked - (cached or 0),
        cached_tokens=cached,
        output_tokens=output if told else None,
        reasoning_tokens=None if thoughts is None else min(thoughts, output),
    )
    return usage, note


def _fitting(
    prompt: int, candidates: int, tools: int, thoughts: int, total: int | None
) -> tuple[int, int] | None:
    """Input and output of which ``total`` is the sum, parts first taken to come on top."""
    for output in (candidates + thoughts, candidates):
        for asked in (prompt + tools, prompt):
            if asked + output == total:
                return asked, output
    return None


def bedrock_usage(raw: Mapping[str, Any]) -> tuple[Usage | None, str | None]:
    """Usage of Converse. What was read from a cache or written to it is not in ``inputTokens``.

    Source: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_TokenUsage.html
    """
    fresh, output = count(raw.get("inputTokens")), count(raw.get("outputTokens"))
    if fresh is None and output is None:
        return None, None
    usage = Usage(
        input_tokens=fresh,
        cached_tokens=count(raw.get("cacheReadInputTokens")),
        cache_write_tokens=count(raw.get("cacheWriteInputTokens")),
        output_tokens=output,
    )
    total = count(raw.get("totalTokens"))
    parts = (usage.total_input_tokens or 0) + (output or 0)
    if total is None or total in {parts, (fresh or 0) + (output or 0)}:
        return usage, None
    return usage, f"totalTokens is {total}, its parts are {parts}"


def usage_source(usage: Usage | None, *, final: bool = True) -> UsageSource:
    """``partial_provider`` where one of the two sums is missing, or the counts are not final."""
    if usage is None:
        return "none"
    if usage.input_tokens is None or usage.output_tokens is None or not final:
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
    for name in names:
        if name in raw and (found := count(raw[name])) is not None:
            return found
    return None


def _detail(raw: Mapping[str, Any], name: str, *groups: str) -> int | None:
    for group in groups:
        details = raw.get(group)
        if isinstance(details, dict) and name in details:
            found = count(details[name])
            if found is not None:
                return found
    return None
