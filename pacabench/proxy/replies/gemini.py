"""Gemini's replies, written.

Source: https://ai.google.dev/api/generate-content and https://ai.google.dev/api/embeddings
"""

from collections.abc import Iterator, Sequence
from typing import Any

import orjson

from pacabench.proxy.replies.completion import Completion, Tokens, event, pieces


def usage_metadata(tokens: Tokens) -> dict[str, Any]:
    """Thoughts come on top of candidates; what is zero is left out, as Google does."""
    counts = {
        "promptTokenCount": tokens.prompt,
        "candidatesTokenCount": tokens.completion - tokens.reasoning,
        "totalTokenCount": tokens.prompt + tokens.completion,
        "cachedContentTokenCount": tokens.cached,
        "thoughtsTokenCount": tokens.reasoning,
    }
    return {name: value for name, value in counts.items() if value}


def content_body(reply: Completion) -> bytes:
    """Generated content in one document."""
    return orjson.dumps(_chunk(reply, reply.text, last=True))


def content_events(reply: Completion) -> Iterator[bytes]:
    """Generated content as events (``alt=sse``)."""
    for chunk in _chunks(reply):
        yield event(chunk)


def content_array(reply: Completion) -> Iterator[bytes]:
    """Generated content as an array that grows, which is what a stream is without ``alt=sse``."""
    for number, chunk in enumerate(_chunks(reply)):
        yield (b",\r\n" if number else b"[") + orjson.dumps(chunk, option=orjson.OPT_INDENT_2)
    yield b"\n]\n"


def embedding_body(vector: Sequence[float]) -> bytes:
    """One embedding. The API tells no usage."""
    return orjson.dumps({"embedding": {"values": vector}})


def embeddings_body(vectors: Sequence[Sequence[float]]) -> bytes:
    """A batch of embeddings."""
    return orjson.dumps({"embeddings": [{"values": vector} for vector in vectors]})


def count_body(tokens: int) -> bytes:
    """How many tokens a request would have."""
    return orjson.dumps({"totalTokens": tokens})


def models_body(models: Sequence[str]) -> bytes:
    """The list of models."""
    return orjson.dumps({"models": [_model(name) for name in models]})


def model_body(model: str) -> bytes:
    """One model."""
    return orjson.dumps(_model(model))


def _model(name: str) -> dict[str, Any]:
    methods = ["generateContent", "countTokens"]
    return {"name": f"models/{name}", "displayName": name, "supportedGenerationMethods": methods}


def _chunks(reply: Completion) -> Iterator[dict[str, Any]]:
    """Each with a snapshot of the usage, the last one final."""
    said = pieces(reply.text) or [""]
    for number, piece in enumerate(said, start=1):
        last = number == len(said)
        chunk = _chunk(reply, piece, last=last)
        if not last:
            prompt = reply.tokens.prompt
            chunk["usageMetadata"] = {"promptTokenCount": prompt, "totalTokenCount": prompt}
        yield chunk


def _chunk(reply: Completion, text: str, *, last: bool) -> dict[str, Any]:
    candidate: dict[str, Any] = {
        "content": {"parts": [{"text": text}], "role": "model"},
        "index": 0,
    }
    if last:
        candidate["finishReason"] = "MAX_TOKENS" if reply.is_cut else "STOP"
    return {
        "candidates": [candidate],
        "usageMetadata": usage_metadata(reply.tokens),
        "modelVersion": reply.model,
        "responseId": reply.reply_id,
    }
