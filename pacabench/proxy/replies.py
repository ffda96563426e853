"""OpenAI's replies, written: what the ``scripted`` provider and the fake one for tests send.

The reading side (``openai.py``) shares nothing with this, and the real SDK reads both in the tests.
Source: https://platform.openai.com/docs/api-reference
"""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

_PIECE = re.compile(r"\s*\S+|\s+\Z")
_CHARACTERS_PER_TOKEN = 4


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a reply is billed as, in the API's own terms: parts are inside their sums."""

    prompt: int
    completion: int = 0
    cached: int = 0
    reasoning: int = 0


@dataclass(frozen=True, slots=True)
class Completion:
    """An answer in text, to be sent in any of the formats."""

    reply_id: str
    """Unique; the formats put their own prefix before it."""
    model: str
    text: str
    tokens: Tokens
    created: int
    """Unix time, seconds."""


def count_tokens(text: str) -> int:
    """One token per four characters, begun ones counted: simple, and the same everywhere."""
    return math.ceil(len(text) / _CHARACTERS_PER_TOKEN)


def pieces(text: str) -> list[str]:
    """``text`` cut before its words, as a model streams it."""
    return _PIECE.findall(text)


def prompt_text(request: dict[str, Any]) -> str:
    """All that a request asks: the text of its messages or of its input, and its instructions."""
    parts = [_text(request.get("instructions"))]
    parts += [_content(message) for message in _messages(request)]
    return "\n".join(part for part in parts if part)


def last_user_text(request: dict[str, Any]) -> str:
    """The text of the last message that the user (or nobody in particular) said."""
    said = [
        _content(message)
        for message in _messages(request)
        if not isinstance(message, dict) or message.get("role", "user") == "user"
    ]
    return said[-1] if said else ""


def chat_usage(tokens: Tokens) -> dict[str, Any]:
    """``usage`` of chat completions."""
    return {
        "prompt_tokens": tokens.prompt,
        "completion_tokens": tokens.completion,
        "total_tokens": tokens.prompt + tokens.completion,
        "prompt_tokens_details": {"cached_tokens": tokens.cached, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": tokens.reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def chat_body(reply: Completion) -> bytes:
    """A chat completion in one document."""
    message: dict[str, Any] = {"role": "assistant", "content": reply.text, "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    head = _chat_head(reply, "chat.completion")
    return orjson.dumps({**head, "choices": [choice], "usage": chat_usage(reply.tokens)})


def chat_events(reply: Completion, *, include_usage: bool) -> Iterator[bytes]:
    """A chat completion as a stream. Usage comes only where it was asked for, as at OpenAI."""
    head = _chat_head(reply, "chat.completion.chunk")
    if include_usage:
        head["usage"] = None
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": "", "refusal": None}]
    deltas += [{"content": piece} for piece in pieces(reply.text)]
    for delta in deltas:
        yield _event(head | {"choices": [_chat_choice(delta, None)]})
    yield _event(head | {"choices": [_chat_choice({}, "stop")]})
    if include_usage:
        yield _event(head | {"choices": [], "usage": chat_usage(reply.tokens)})
    yield b"data: [DONE]\n\n"


def response_body(reply: Completion) -> bytes:
    """A response of the Responses API in one document."""
    return orjson.dumps(_response(reply, "completed", [_message(reply, "completed", reply.text)]))


def response_events(reply: Completion) -> Iterator[bytes]:
    """A response of the Responses API as a stream of typed events."""
    for number, event in enumerate(_response_events(reply)):
        yield _event(event | {"sequence_number": number}, name=event["type"])


def embeddings_body(
    model: str, vectors: Sequence[Sequence[float] | str], prompt_tokens: int
) -> bytes:
    """Embeddings, as numbers or as base64 of little-endian float32."""
    data = [
        {"object": "embedding", "index": index, "embedding": vector}
        for index, vector in enumerate(vectors)
    ]
    usage = {"prompt_tokens": prompt_tokens, "total_tokens": prompt_tokens}
    return orjson.dumps({"object": "list", "data": data, "model": model, "usage": usage})


def models_body(models: Sequence[str], owner: str) -> bytes:
    """The list of models."""
    data = [{"id": name, "object": "model", "created": 0, "owned_by": owner} for name in models]
    return orjson.dumps({"object": "list", "data": data})


def _event(data: dict[str, Any], *, name: str | None = None) -> bytes:
    head = b"" if name is None else f"event: {name}\n".encode()
    return head + b"data: " + orjson.dumps(data) + b"\n\n"


def _chat_head(reply: Completion, kind: str) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{reply.reply_id}",
        "object": kind,
        "created": reply.created,
        "model": reply.model,
        "service_tier": "default",
        "system_fingerprint": None,
    }


def _chat_choice(delta: dict[str, Any], finish_reason: str | None) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}


def _response(reply: Completion, status: str, output: list[dict[str, Any]]) -> dict[str, Any]:
    tokens = reply.tokens
    usage = {
        "input_tokens": tokens.prompt,
        "input_tokens_details": {"cached_tokens": tokens.cached},
        "output_tokens": tokens.completion,
        "output_tokens_details": {"reasoning_tokens": tokens.reasoning},
        "total_tokens": tokens.prompt + tokens.completion,
    }
    return {
        "id": f"resp_{reply.reply_id}",
        "object": "response",
        "created_at": reply.created,
        "status": status,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "model": reply.model,
        "output": output,
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "usage": usage if status == "completed" else None,
    }


def _message(reply: Completion, status: str, text: str | None) -> dict[str, Any]:
    return {
        "id": f"msg_{reply.reply_id}",
        "type": "message",
        "status": status,
        "role": "assistant",
        "content": [] if text is None else [_part(text)],
    }


def _part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": []}


def _response_events(reply: Completion) -> Iterator[dict[str, Any]]:
    begun = _response(reply, "in_progress", [])
    yield {"type": "response.created", "response": begun}
    yield {"type": "response.in_progress", "response": begun}
    item = _message(reply, "in_progress", None)
    yield {"type": "response.output_item.added", "output_index": 0, "item": item}
    place = {"item_id": item["id"], "output_index": 0, "content_index": 0}
    yield {"type": "response.content_part.added", **place, "part": _part("")}
    for piece in pieces(reply.text):
        yield {"type": "response.output_text.delta", **place, "delta": piece, "logprobs": []}
    yield {"type": "response.output_text.done", **place, "text": reply.text, "logprobs": []}
    yield {"type": "response.content_part.done", **place, "part": _part(reply.text)}
    done = _message(reply, "completed", reply.text)
    yield {"type": "response.output_item.done", "output_index": 0, "item": done}
    yield {"type": "response.completed", "response": _response(reply, "completed", [done])}


def _messages(request: dict[str, Any]) -> list[Any]:
    found = request.get("messages", request.get("input"))
    if isinstance(found, str):
        return [found]
    return found if isinstance(found, list) else []


def _content(message: Any) -> str:
    return _text(message.get("content")) if isinstance(message, dict) else _text(message)


def _text(content: Any) -> str:
    """The text in a string, or in a list of parts as both APIs write it."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    texts = [part.get("text") for part in content if isinstance(part, dict)]
    return "".join(text for text in texts if isinstance(text, str))
