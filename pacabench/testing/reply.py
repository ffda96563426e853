"""What the fake provider is told to answer, and the bytes that this makes."""

import base64
import hashlib
import struct
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from pacabench.proxy.replies import openai as replies
from pacabench.proxy.replies.completion import Completion, Tokens, count_tokens
from pacabench.proxy.texts import prompt_text

DIMENSIONS = 8
_DOCUMENT = "application/json"
_EVENTS = "text/event-stream; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer, with whatever goes wrong on its way."""

    text: str = "ok"
    model: str | None = None
    """Answers under another name than was asked for."""
    tokens: Tokens | None = None
    """What it is billed as; counted where it is left out."""
    status: int = 200
    message: str = "simulated failure"
    """Of the error, where ``status`` is one. Errors are not billed."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """On top of the usual ones, for example ``Retry-After``."""
    delay_s: float = 0.0
    """Before the head of the reply."""
    pause_s: float = 0.0
    """Between the events of a stream."""
    silent: bool = False
    """Takes the request and never answers."""
    reset_after: int | None = None
    """Break the connection after this many events (0: before the head of the reply)."""
    split_bytes: int | None = None
    """Write the body in pieces of this size."""
    line_end: bytes = b"\n"
    """Of a stream's lines."""
    refuses_usage_option: bool = False
    """Answers 400 to ``stream_options``, as some servers do."""
    body: bytes | None = None
    """Sent as it is in place of what the format would have."""
    content_type: str | None = None
    content_encoding: str | None = None


@dataclass(frozen=True, slots=True)
class Rendered:
    """A reply as bytes. ``parts`` are written one by one."""

    status: int
    headers: dict[str, str]
    parts: Sequence[bytes]
    tokens: Tokens | None
    """What is billed."""


def render(reply: Reply, operation: str, request: dict[str, Any]) -> Rendered:
    """``reply`` to ``request``, in the format of ``operation`` (``/chat/completions``, ...)."""
    refused = reply.refuses_usage_option and "stream_options" in request
    if refused or reply.status != 200:  # noqa: PLR2004 - HTTP OK
        message = "Unrecognized request argument: stream_options" if refused else reply.message
        return _error(400 if refused else reply.status, message, reply)
    tokens = reply.tokens or Tokens(
        prompt=count_tokens(prompt_text(request)),
        completion=0 if operation == "/embeddings" else count_tokens(reply.text),
    )
    streamed = request.get("stream") is True and operation != "/embeddings"
    parts = [reply.body] if reply.body is not None else _parts(reply, operation, request, tokens)
    if reply.line_end != b"\n":
        parts = [part.replace(b"\n", reply.line_end) for part in parts]
    headers = {"Content-Type": reply.content_type or (_EVENTS if streamed else _DOCUMENT)}
    if not streamed:
        headers["Content-Length"] = str(sum(map(len, parts)))
    if reply.content_encoding is not None:
        headers["Content-Encoding"] = reply.content_encoding
    return Rendered(200, headers | dict(reply.headers), _split(parts, reply), tokens)


def _parts(
    reply: Reply, operation: str, request: dict[str, Any], tokens: Tokens
) -> Sequence[bytes]:
    model = reply.model or str(request.get("model"))
    if operation == "/embeddings":
        return [_embeddings(request, model, tokens)]
    completion = Completion(
        reply_id=hashlib.blake2b(orjson.dumps(request), digest_size=8).hexdigest(),
        model=model,
        text=reply.text,
        tokens=tokens,
        created=int(time.time()),
    )
    streamed = request.get("stream") is True
    if operation == "/chat/completions":
        options = request.get("stream_options") or {}
        asked = options.get("include_usage") is True
        if streamed:
            return list(replies.chat_events(completion, include_usage=asked))
        return [replies.chat_body(completion)]
    if streamed:
        return list(replies.response_events(completion))
    return [replies.response_body(completion)]


def _embeddings(request: dict[str, Any], model: str, tokens: Tokens) -> bytes:
    given = request.get("input")
    count = len(given) if isinstance(given, list) else 1
    vector = [1.0] + [0.0] * (DIMENSIONS - 1)
    packed = base64.b64encode(struct.pack(f"<{DIMENSIONS}f", *vector)).decode()
    encoded = packed if request.get("encoding_format") == "base64" else vector
    return replies.embeddings_body(model, [encoded] * count, tokens.prompt)


def _error(status: int, message: str, reply: Reply) -> Rendered:
    body = reply.body
    if body is None:
        error = {"message": message, "type": "fake_error", "param": None, "code": None}
        body = orjson.dumps({"error": error})
    headers = {"Content-Type": _DOCUMENT, "Content-Length": str(len(body)), **reply.headers}
    return Rendered(status, headers, [body], None)


def _split(parts: Sequence[bytes], reply: Reply) -> Sequence[bytes]:
    if reply.split_bytes is None:
        return parts
    whole, size = b"".join(parts), reply.split_bytes
    return [whole[start : start + size] for start in range(0, len(whole), size)]
