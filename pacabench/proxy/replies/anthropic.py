"""Anthropic's replies, written.

Source: https://docs.anthropic.com/en/api/messages and .../messages-streaming
"""

from collections.abc import Iterator, Sequence
from typing import Any

import orjson

from pacabench.proxy.replies.completion import Completion, Tokens, event, pieces


def message_usage(tokens: Tokens) -> dict[str, Any]:
    """``usage`` of a message: its kinds of input are apart."""
    hour = tokens.cache_write_1h
    return {
        "input_tokens": tokens.prompt - tokens.cached - tokens.cache_write,
        "cache_creation_input_tokens": tokens.cache_write,
        "cache_read_input_tokens": tokens.cached,
        "cache_creation": {
            "ephemeral_5m_input_tokens": tokens.cache_write - hour,
            "ephemeral_1h_input_tokens": hour,
        },
        "output_tokens": tokens.completion,
        "service_tier": "standard",
    }


def message_body(reply: Completion) -> bytes:
    """A message in one document."""
    content = [{"type": "text", "text": reply.text, "citations": None}]
    whole = _message(reply) | {"content": content, "stop_reason": _why_ended(reply)}
    return orjson.dumps({**whole, "usage": message_usage(reply.tokens)})


def message_events(reply: Completion) -> Iterator[bytes]:
    """A message as events. The output is told at the end; the start has a placeholder."""
    for item in _events(reply):
        yield event(item, name=item["type"])


def count_body(tokens: int) -> bytes:
    """How many tokens a request would have."""
    return orjson.dumps({"input_tokens": tokens})


def models_body(models: Sequence[str]) -> bytes:
    """The list of models."""
    data = [_model(name) for name in models]
    ends = {"first_id": models[0], "last_id": models[-1]} if models else {}
    return orjson.dumps({"data": data, "has_more": False, **ends})


def model_body(model: str) -> bytes:
    """One model."""
    return orjson.dumps(_model(model))


def _model(name: str) -> dict[str, Any]:
    return {
        "type": "model",
        "id": name,
        "display_name": name,
        "created_at": "2025-01-01T00:00:00Z",
    }


def _why_ended(reply: Completion) -> str:
    return "max_tokens" if reply.is_cut else "end_turn"


def _message(reply: Completion) -> dict[str, Any]:
    return {
        "id": f"msg_{reply.reply_id}",
        "type": "message",
        "role": "assistant",
        "model": reply.model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
    }


def _events(reply: Completion) -> Iterator[dict[str, Any]]:
    usage = message_usage(reply.tokens)
    started = _message(reply) | {"usage": usage | {"output_tokens": 1}}
    yield {"type": "message_start", "message": started}
    block = {"type": "text", "text": ""}
    yield {"type": "content_block_start", "index": 0, "content_block": block}
    yield {"type": "ping"}
    for piece in pieces(reply.text):
        delta = {"type": "text_delta", "text": piece}
        yield {"type": "content_block_delta", "index": 0, "delta": delta}
    yield {"type": "content_block_stop", "index": 0}
    yield {
        "type": "message_delta",
        "delta": {"stop_reason": _why_ended(reply), "stop_sequence": None},
        "usage": {"output_tokens": reply.tokens.completion},
    }
    yield {"type": "message_stop"}
