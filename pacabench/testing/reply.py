"""What the fake provider is told to answer, and the bytes that this makes."""

import base64
import hashlib
import struct
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import orjson

from pacabench.proxy.replies import anthropic, bedrock, gemini, openai
from pacabench.proxy.replies.completion import Completion, Tokens, count_tokens
from pacabench.proxy.texts import prompt_text
from pacabench.testing.operations import Operation
from pacabench.testing.variants import VARIANTS

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
    usage: str = "usual"
    """A name in ``variants.VARIANTS``: how a chat completion tells what it used."""
    refuses_usage_option: bool = False
    """Answers 400 to ``stream_options``, as some servers do."""
    heeds_limit: bool = False
    """Ends at the limit of the output that the request sets."""
    largest_limit: int | None = None
    """Answers 400 to a larger limit, as providers do for models that cannot say as much."""
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


_WRITERS: Mapping[
    str, tuple[Callable[[Completion], bytes], Callable[[Completion], Iterator[bytes]] | None]
] = MappingProxyType(
    {
        "/responses": (openai.response_body, openai.response_events),
        "/messages": (anthropic.message_body, anthropic.message_events),
        "/messages/count_tokens": (lambda it: anthropic.count_body(it.tokens.prompt), None),
        "/models": (lambda _: openai.models_body(["fake-model"], "fake"), None),
        "converse": (bedrock.converse_body, None),
    }
)
"""A whole reply, and one in pieces where there is such a thing."""


def render(reply: Reply, operation: Operation, request: dict[str, Any]) -> Rendered:
    """``reply`` to ``request``, in the format of ``operation``."""
    refusal = _refusal(reply, operation, request)
    if refusal is not None or reply.status != 200:  # noqa: PLR2004 - HTTP OK
        status = reply.status if refusal is None else 400
        return _error(status, refusal or reply.message, reply)
    tokens = reply.tokens or Tokens(
        prompt=count_tokens(prompt_text(request)),
        completion=count_tokens(reply.text) if operation.has_output else 0,
    )
    limit = operation.output_limit(request) if reply.heeds_limit else None
    most = None if limit is None else limit * int(request.get("n") or 1)
    is_cut = False
    if most is not None and tokens.completion > most:
        is_cut, tokens = True, replace(tokens, completion=most)
    streamed = operation.is_streamed(request)
    parts = (
        [reply.body]
        if reply.body is not None
        else _parts(reply, operation, request, tokens, is_cut=is_cut)
    )
    if reply.line_end != b"\n":
        parts = [part.replace(b"\n", reply.line_end) for part in parts]
    events = streamed and operation.events
    headers = {"Content-Type": reply.content_type or (_EVENTS if events else _DOCUMENT)}
    if not streamed:
        headers["Content-Length"] = str(sum(map(len, parts)))
    if reply.content_encoding is not None:
        headers["Content-Encoding"] = reply.content_encoding
    billed = None if operation.is_free else tokens
    return Rendered(200, headers | dict(reply.headers), _split(parts, reply), billed)


def _refusal(reply: Reply, operation: Operation, request: dict[str, Any]) -> str | None:
    """What the provider has against the request."""
    if reply.refuses_usage_option and "stream_options" in request:
        return "Unrecognized request argument: stream_options"
    limit, largest = operation.output_limit(request), reply.largest_limit
    if limit is not None and largest is not None and limit > largest:
        return f"max_tokens is too large: {limit}. This model supports at most {largest}."
    return None


def _parts(
    reply: Reply,
    operation: Operation,
    request: dict[str, Any],
    tokens: Tokens,
    *,
    is_cut: bool,
) -> Sequence[bytes]:
    model = reply.model or operation.model or str(request.get("model"))
    completion = Completion(
        reply_id=hashlib.blake2b(orjson.dumps(request), digest_size=8).hexdigest(),
        model=model,
        text=reply.text,
        tokens=tokens,
        created=int(time.time()),
        is_cut=is_cut,
    )
    if operation.name == "/embeddings":
        return [_embeddings(request, model, tokens)]
    if operation.name == "/chat/completions":
        return _chat(reply, completion, request)
    if operation.name in _WRITERS:
        whole, pieces = _WRITERS[operation.name]
        if pieces is None or not operation.is_streamed(request):
            return [whole(completion)]
        return list(pieces(completion))
    return _gemini(operation, completion, request)


def _chat(reply: Reply, completion: Completion, request: dict[str, Any]) -> Sequence[bytes]:
    parts = [openai.chat_body(completion)]
    if request.get("stream") is True:
        asked = (request.get("stream_options") or {}).get("include_usage") is True
        parts = list(openai.chat_events(completion, include_usage=asked))
    change = VARIANTS.get(reply.usage)
    return parts if change is None else change(parts, completion.tokens)


def _gemini(
    operation: Operation, completion: Completion, request: dict[str, Any]
) -> Sequence[bytes]:
    vector = [1.0] + [0.0] * (DIMENSIONS - 1)
    match operation.name:
        case "generateContent":
            return [gemini.content_body(completion)]
        case "embedContent":
            return [gemini.embedding_body(vector)]
        case "batchEmbedContents":
            return [gemini.embeddings_body([vector] * len(request.get("requests") or []))]
        case "countTokens":
            return [gemini.count_body(completion.tokens.prompt)]
        case _ if operation.events:
            return list(gemini.content_events(completion))
        case _:
            return list(gemini.content_array(completion))


def _embeddings(request: dict[str, Any], model: str, tokens: Tokens) -> bytes:
    given = request.get("input")
    count = len(given) if isinstance(given, list) else 1
    vector = [1.0] + [0.0] * (DIMENSIONS - 1)
    packed = base64.b64encode(struct.pack(f"<{DIMENSIONS}f", *vector)).decode()
    encoded = packed if request.get("encoding_format") == "base64" else vector
    return openai.embeddings_body(model, [encoded] * count, tokens.prompt)


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
