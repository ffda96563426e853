"""How the ``scripted`` provider words its answers in each wire format."""

import base64
import hashlib
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import orjson

from pacabench.proxy.replies import anthropic, bedrock, gemini, openai
from pacabench.proxy.replies.completion import Completion, count_tokens

DIMENSIONS = 64
"""Of an embedding, unless the request says otherwise."""
MAX_DIMENSIONS = 4096
MAX_INPUTS = 2048

Body = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Written:
    """A reply as bytes: one document, or the parts of a stream."""

    body: bytes | Iterator[bytes]
    events: bool = True
    """A stream is one of server-sent events."""


@dataclass(frozen=True, slots=True)
class Voice:
    """The writers of one format, by name of endpoint."""

    answers: Mapping[str, Callable[[Completion, Body, str], Written]]
    """Given the answer, the request, and the target of the request."""
    vectors: Mapping[str, Callable[[Body, str], bytes]] = field(default_factory=dict)
    """Given the request and a model's name. Raise ValueError where it asks for too much."""
    counts: Mapping[str, Callable[[int], bytes]] = field(default_factory=dict)
    models: Callable[[Sequence[str]], bytes] | None = None
    """None: the format lists no models, and describes none."""
    model: Callable[[str], bytes] | None = None


def _chat(reply: Completion, body: Body, target: str) -> Written:
    del target
    if body.get("stream") is not True:
        return Written(openai.chat_body(reply))
    options = body.get("stream_options")
    asked = isinstance(options, dict) and options.get("include_usage") is True
    return Written(openai.chat_events(reply, include_usage=asked))


def _response(reply: Completion, body: Body, target: str) -> Written:
    del target
    streamed = body.get("stream") is True
    return Written(openai.response_events(reply) if streamed else openai.response_body(reply))


def _message(reply: Completion, body: Body, target: str) -> Written:
    del target
    streamed = body.get("stream") is True
    return Written(anthropic.message_events(reply) if streamed else anthropic.message_body(reply))


def _content(reply: Completion, body: Body, target: str) -> Written:
    del body, target
    return Written(gemini.content_body(reply))


def _content_stream(reply: Completion, body: Body, target: str) -> Written:
    del body
    if "alt=sse" in target:
        return Written(gemini.content_events(reply))
    return Written(gemini.content_array(reply), events=False)


def _converse(reply: Completion, body: Body, target: str) -> Written:
    del body, target
    return Written(bedrock.converse_body(reply))


def _openai_vectors(body: Body, model: str) -> bytes:
    given = body.get("input")
    inputs = given if isinstance(given, list) else [given]
    # A list of numbers is one input that is tokenized already.
    if inputs and isinstance(inputs[0], int):
        inputs = [inputs]
    dimensions = _dimensions(body.get("dimensions"), "dimensions")
    if not 1 <= len(inputs) <= MAX_INPUTS or inputs[0] is None:
        raise ValueError(f"`input` has to hold 1 to {MAX_INPUTS} texts.")
    vectors = [_vector(orjson.dumps(text), dimensions) for text in inputs]
    tokens = sum(
        count_tokens(text) if isinstance(text, str) else len(text)
        for text in inputs
        if isinstance(text, str | list)
    )
    encoded: Sequence[list[float] | str] = vectors
    if body.get("encoding_format") == "base64":
        encoded = [
            base64.b64encode(struct.pack(f"<{dimensions}f", *vector)).decode() for vector in vectors
        ]
    return openai.embeddings_body(model, encoded, tokens)


def _gemini_vector(body: Body, model: str) -> bytes:
    del model
    return gemini.embedding_body(_content_vector(body))


def _gemini_vectors(body: Body, model: str) -> bytes:
    del model
    requests = body.get("requests")
    if not isinstance(requests, list) or not 1 <= len(requests) <= MAX_INPUTS:
        raise ValueError(f"`requests` has to hold 1 to {MAX_INPUTS} of them.")
    return gemini.embeddings_body(
        [_content_vector(item if isinstance(item, dict) else {}) for item in requests]
    )


def _content_vector(body: Body) -> list[float]:
    dimensions = _dimensions(body.get("outputDimensionality"), "outputDimensionality")
    return _vector(orjson.dumps(body.get("content")), dimensions)


def _dimensions(asked: Any, name: str) -> int:
    dimensions = DIMENSIONS if asked is None else asked
    if not isinstance(dimensions, int) or not 1 <= dimensions <= MAX_DIMENSIONS:
        raise ValueError(f"`{name}` has to be 1 to {MAX_DIMENSIONS}.")
    return dimensions


def _vector(text: bytes, dimensions: int) -> list[float]:
    """A vector of length 1 that depends on nothing but ``text``."""
    bits = hashlib.shake_128(text).digest(dimensions * 2)
    raw = [number / 32768 - 1 for number in struct.unpack(f"<{dimensions}H", bits)]
    norm = sum(number * number for number in raw) ** 0.5 or 1.0
    return [number / norm for number in raw]


OPENAI = Voice(
    answers={"chat.completions": _chat, "responses": _response},
    vectors={"embeddings": _openai_vectors},
    models=partial(openai.models_body, owner="pacabench"),
    model=partial(openai.model_body, owner="pacabench"),
)
ANTHROPIC = Voice(
    answers={"messages": _message},
    counts={"messages.count_tokens": anthropic.count_body},
    models=anthropic.models_body,
    model=anthropic.model_body,
)
GEMINI = Voice(
    answers={"generateContent": _content, "streamGenerateContent": _content_stream},
    vectors={"embedContent": _gemini_vector, "batchEmbedContents": _gemini_vectors},
    counts={"countTokens": gemini.count_body},
    models=gemini.models_body,
    model=gemini.model_body,
)
BEDROCK = Voice(answers={"converse": _converse})
