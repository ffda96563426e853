"""OpenAI's replies, written.

Source: https://platform.openai.com/docs/api-reference
"""

from collections.abc import Iterator, Sequence
from typing import Any

import orjson

from pacabench.proxy.replies.completion import Completion, Tokens, event, pieces


def chat_usage(tokens: Tokens) -> dict[str, Any]:
    """``usage`` of chat completions."""
    return {
        "prompt_tokens": tokens.prompt,
        "completion_tokens": tokens.completion,
        "total_tokens": tokens.prompt + tokens.completion,
        "prompt_tokens_details": _cached(tokens) | {"audio_tokens": 0},
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
    choice = {"index": 0, "message": message, "logprobs": None}
    choice["finish_reason"] = _why_ended(reply)
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
        yield event(head | {"choices": [_chat_choice(delta, None)]})
    yield event(head | {"choices": [_chat_choice({}, _why_ended(reply))]})
    if include_usage:
        yield event(head | {"choices": [], "usage": chat_usage(reply.tokens)})
    yield b"data: [DONE]\n\n"


def response_body(reply: Completion) -> bytes:
    """A response of the Responses API in one document."""
    status = _final(reply)
    return orjson.dumps(_response(reply, status, [_message(reply, status, reply.text)]))


def response_events(reply: Completion) -> Iterator[bytes]:
    """A response of the Responses API as a stream of typed events."""
    for number, item in enumerate(_response_events(reply)):
        yield event(item | {"sequence_number": number}, name=item["type"])


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
    data = [_model(name, owner) for name in models]
    return orjson.dumps({"object": "list", "data": data})


def model_body(model: str, owner: str) -> bytes:
    """One model."""
    return orjson.dumps(_model(model, owner))


def _model(name: str, owner: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": owner}


def _why_ended(reply: Completion) -> str:
    return "length" if reply.is_cut else "stop"


def _cached(tokens: Tokens) -> dict[str, int]:
    written = {"cache_write_tokens": tokens.cache_write} if tokens.cache_write else {}
    return {"cached_tokens": tokens.cached, **written}


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
        "input_tokens_details": _cached(tokens),
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
        "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
        "instructions": None,
        "metadata": {},
        "model": reply.model,
        "output": output,
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "usage": None if status == "in_progress" else usage,
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


def _final(reply: Completion) -> str:
    return "incomplete" if reply.is_cut else "completed"


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
    status = _final(reply)
    done = _message(reply, status, reply.text)
    yield {"type": "response.output_item.done", "output_index": 0, "item": done}
    yield {"type": f"response.{status}", "response": _response(reply, status, [done])}
