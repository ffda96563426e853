"""How providers differ in what they say of usage, for the fake one to imitate.

Each takes the events of an OpenAI chat stream (or the one document) and changes what its namesake
does otherwise. Sources: the API references of Mistral, DeepSeek, Groq, OpenRouter and Together.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import orjson

from pacabench.proxy.replies.completion import Tokens
from pacabench.proxy.replies.openai import chat_usage

Parts = Sequence[bytes]
_DONE = b"data: [DONE]\n\n"


def _chunks(parts: Parts) -> list[dict[str, Any]]:
    """What is in the events, those of usage alone left out; a document is one."""
    found = [orjson.loads(part.removeprefix(b"data: ")) for part in parts if part != _DONE]
    return [chunk for chunk in found if chunk.get("choices") != []]


def _sent(chunks: Iterable[dict[str, Any]], parts: Parts) -> list[bytes]:
    if not parts[0].startswith(b"data: "):
        return [orjson.dumps(chunk) for chunk in chunks]
    return [*(b"data: " + orjson.dumps(chunk) + b"\n\n" for chunk in chunks), _DONE]


def _on_the_last_chunk(parts: Parts, tokens: Tokens) -> Parts:
    """Mistral: usage stands beside the last choice, asked for or not."""
    chunks = _chunks(parts)
    for chunk in chunks:
        chunk.pop("usage", None)
    chunks[-1]["usage"] = chat_usage(tokens)
    return _sent(chunks, parts)


def _deepseek(parts: Parts, tokens: Tokens) -> Parts:
    """DeepSeek: hits and misses of the cache, and none of OpenAI's details of it."""
    chunks = _chunks(parts)
    usage = chat_usage(tokens)
    del usage["prompt_tokens_details"]
    usage["prompt_cache_hit_tokens"] = tokens.cached
    usage["prompt_cache_miss_tokens"] = tokens.prompt - tokens.cached
    chunks[-1]["usage"] = usage
    return _sent(chunks, parts)


def _groq(parts: Parts, tokens: Tokens) -> Parts:
    """Groq: in an object of its own on the last chunk."""
    chunks = _chunks(parts)
    for chunk in chunks:
        chunk.pop("usage", None)
    place = chunks[-1]
    if parts[0].startswith(b"data: "):
        place = place.setdefault("x_groq", {"id": "req_1"})
    place["usage"] = chat_usage(tokens) | {"queue_time": 0.01, "total_time": 0.2}
    return _sent(chunks, parts)


def _openrouter(parts: Parts, tokens: Tokens) -> Parts:
    """OpenRouter: comments while it looks for a model; usage with its cost, asked for or not."""
    chunks = _chunks(parts)
    for chunk in chunks:
        chunk.pop("usage", None)
    usage = chat_usage(tokens) | {"cost": 0.0125, "is_byok": False, "cost_details": {}}
    if not parts[0].startswith(b"data: "):
        return _sent([chunks[0] | {"usage": usage}], parts)
    last = {**chunks[-1], "choices": [], "usage": usage}
    comment = b": OPENROUTER PROCESSING\n\n"
    first, *rest = _sent([*chunks, last], parts)
    return [comment, comment, first, comment, *rest]


def _together(parts: Parts, tokens: Tokens) -> Parts:
    """Together: null on every chunk but the last, which has a choice."""
    chunks = _chunks(parts)
    for chunk in chunks:
        chunk["usage"] = None
    chunks[-1]["usage"] = chat_usage(tokens)
    return _sent(chunks, parts)


def _continuous(parts: Parts, tokens: Tokens) -> Parts:
    """VLLM with ``continuous_usage_stats``: what was said so far, on every chunk."""
    chunks = _chunks(parts)
    for number, chunk in enumerate(chunks):
        so_far = Tokens(tokens.prompt, min(number, tokens.completion))
        chunk["usage"] = chat_usage(so_far)
    chunks[-1]["usage"] = chat_usage(tokens)
    return _sent(chunks, parts)


def _null_choices(parts: Parts, tokens: Tokens) -> Parts:
    """A gateway that writes null where others write an empty list."""
    chunks = _chunks(parts)
    last = {**chunks[-1], "choices": None, "usage": chat_usage(tokens)}
    return _sent([*chunks, last], parts)


def _none(parts: Parts, tokens: Tokens) -> Parts:
    """A server that never says."""
    del tokens
    chunks = _chunks(parts)
    for chunk in chunks:
        chunk.pop("usage", None)
    return _sent(chunks, parts)


VARIANTS: Mapping[str, Callable[[Parts, Tokens], Parts]] = MappingProxyType(
    {
        "mistral": _on_the_last_chunk,
        "deepseek": _deepseek,
        "groq": _groq,
        "openrouter": _openrouter,
        "together": _together,
        "continuous": _continuous,
        "null choices": _null_choices,
        "none": _none,
    }
)
