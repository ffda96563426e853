"""OpenAI's wire format: chat completions, responses, embeddings, the list of models.

Also that of everybody who speaks it. How they differ in what they say of usage:

    mistral, openrouter   on a chunk of every stream, unasked; so they are not asked
    groq                  ``x_groq.usage`` on the last chunk besides
    deepseek              ``prompt_cache_hit_tokens`` beside the usual details
    openrouter            ``cost`` in dollars; comments while it looks for a model
    together, ollama, vllm   as OpenAI; together on the last chunk with a choice as well
"""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import orjson

from pacabench.model import Usage
from pacabench.proxy.additions import Addition
from pacabench.proxy.body import RequestBody
from pacabench.proxy.excerpt import Excerpt
from pacabench.proxy.formats.faults import PROVIDER_GAVE_UP
from pacabench.proxy.formats.meters import DocumentMeter, EventMeter
from pacabench.proxy.formats.parsing import (
    error_text,
    json_object,
    mapping,
    mappings,
    short_name,
)
from pacabench.proxy.sse import SseEvent, SseSplitter, event_data
from pacabench.proxy.tools.tables import OPENAI
from pacabench.proxy.usage import bounded, openai_usage
from pacabench.proxy.wire import Endpoint, Filter, Meter, Reading, RequestFacts

CHAT = Endpoint("chat.completions", "POST", "/chat/completions")
RESPONSES = Endpoint("responses", "POST", "/responses")
EMBEDDINGS = Endpoint("embeddings", "POST", "/embeddings")
MODELS = Endpoint("models", "GET", "/models")
MODEL = Endpoint("models.retrieve", "GET", "/models/{model}")

_MOST_CHOICES = 128
"""OpenAI's own most for ``n``."""
_ASKING = Addition(("stream_options", "include_usage"), value=True)
_ASKING_FIRST = replace(_ASKING, is_new=True)
_LAST_EVENTS = frozenset({"response.completed", "response.incomplete", "response.failed"})
_ERROR_TYPES = {
    401: "authentication_error",
    402: "insufficient_quota",
    403: "permission_error",
    429: "rate_limit_error",
} | dict.fromkeys(range(500, 600), "server_error")


class OpenAIFormat:
    """See :class:`~pacabench.proxy.wire.WireFormat`.

    Args:
        roots: where the endpoints stand, beside ``/v1``.
        ask_usage: a chat stream has usage only where ``stream_options`` asks for it.
    """

    endpoints: tuple[Endpoint, ...] = (CHAT, RESPONSES, EMBEDDINGS, MODELS, MODEL)
    request_headers = frozenset({"openai-beta"})
    reply_headers = frozenset({"openai-processing-ms", "openai-version"})
    tool_rules = OPENAI

    def __init__(self, roots: tuple[str, ...] = (), *, ask_usage: bool = True) -> None:
        self.roots: Mapping[str, str] = MappingProxyType(dict.fromkeys(("/v1", *roots), ""))
        self._ask_usage = ask_usage

    def claims(self, headers: Mapping[str, str], query: Mapping[str, str]) -> bool:
        """Everybody else's requests have a header of their own."""
        del query
        return "Authorization" in headers and "anthropic-version" not in headers

    def key_headers(self, api_key: str) -> dict[str, str]:
        """The real key as bearer token."""
        return {"Authorization": f"Bearer {api_key}"}

    def read_request(
        self, endpoint: Endpoint, params: Mapping[str, str], body: RequestBody
    ) -> RequestFacts:
        """Model, and whether a stream is asked for."""
        request = body.said
        stream = request.get("stream") is True
        is_chat = endpoint.name == CHAT.name
        ask = stream and is_chat and self._ask_usage
        return RequestFacts(
            model=short_name(request.get("model")) or params.get("model"),
            stream=stream,
            asks_usage=_asking(request) if ask else None,
        )

    def refuses_usage(self, status: int, body: bytes) -> bool:
        """Servers that do not know ``stream_options`` name it in their refusal."""
        return status in {400, 422} and (b"stream_options" in body or b"include_usage" in body)

    def meter(self, endpoint: Endpoint, *, events: bool) -> Meter:
        """A meter for one reply."""
        reader = OpenAIReader(embeddings=endpoint.name == EMBEDDINGS.name)
        return EventMeter(reader) if events else DocumentMeter(reader)

    def usage_filter(self) -> Filter:
        """Drops the one chunk that ``include_usage`` adds to a chat stream."""
        return UsageChunkFilter()

    def error_body(self, status: int, message: str, code: str | None) -> bytes:
        """OpenAI's error object."""
        kind = _ERROR_TYPES.get(status, "invalid_request_error")
        error = {"message": message, "type": kind, "param": None, "code": code}
        return orjson.dumps({"error": error})


class OpenAIReader:
    """Reads chat completions, responses and embeddings, whole or in chunks. The last usage wins."""

    def __init__(self, *, embeddings: bool = False) -> None:
        self._embeddings = embeddings
        self._usage: Usage | None = None
        self._raw: dict[str, Any] | None = None
        self._model: str | None = None
        self._tier: str | None = None
        self._error: str | None = None
        self._broken = False
        self._ended = False
        self._begun: frozenset[int] = frozenset()
        self._finished: frozenset[int] = frozenset()
        """Choices, by the index that they say."""
        self._is_cut = False

    def take(self, message: dict[str, Any]) -> None:
        """A document, a chunk, or an event of the Responses API, which wraps what it is about."""
        kind, body = None, message
        if "type" in message or "response" in message:
            kind, inner = short_name(message.get("type")), message.get("response")
            body = inner if isinstance(inner, dict) else message
        if "model" in body:
            self._model = short_name(body["model"]) or self._model
        if "service_tier" in body:
            self._tier = short_name(body["service_tier"]) or self._tier
        if kind is not None or "error" in body:
            self._take_error(kind, message, body)
        self._take_usage(body)
        if kind in _LAST_EVENTS:
            self._ended = True
        if "incomplete_details" in body:
            why = mapping(body["incomplete_details"]).get("reason")
            self._is_cut = self._is_cut or why == "max_output_tokens"
        if not (kind or "").endswith(".delta"):
            for choice in mappings(message.get("choices")):
                self._take_choice(choice)

    def say(self, message: dict[str, Any], excerpt: Excerpt) -> None:
        """Its text."""
        say, kind = excerpt.add, short_name(message.get("type"))
        if kind is not None and kind.endswith(".delta"):
            say(message.get("delta"))
            return
        for choice in mappings(message.get("choices")):
            said = mapping(choice.get("delta") or choice.get("message"))
            for key in ("content", "reasoning_content", "reasoning", "refusal"):
                if text := said.get(key):
                    say(text)
            for call in mappings(said.get("tool_calls")):
                function = mapping(call.get("function"))
                say(function.get("name"))
                say(function.get("arguments"))
        if kind is None:
            for item in mappings(message.get("output")):
                for part in (*mappings(item.get("content")), *mappings(item.get("summary"))):
                    say(part.get("text"))
                say(item.get("arguments"))

    def end(self) -> None:
        """A document is whole, or a stream said ``[DONE]``."""
        self._ended = True

    def state(self) -> object:
        """See :class:`~pacabench.proxy.formats.meters.Reader`."""
        told = (self._usage, self._raw, self._model, self._tier)
        choices = (self._begun, self._finished)
        return (*told, *choices, self._error, self._broken, self._ended, self._is_cut)

    def reading(self) -> Reading:
        """What was said so far."""
        usage = self._usage
        if self._embeddings and usage is not None:
            # There is no output to count; the API says so by leaving it out.
            usage = Usage(usage.input_tokens, usage.cached_tokens, None, 0, None)
        return Reading(
            usage=usage,
            raw_usage=None if self._raw is None else bounded(self._raw),
            model=self._model,
            error=self._error,
            broken=self._broken,
            ended=self._ended or bool(self._begun and self._begun == self._finished),
            service_tier=self._tier,
            is_cut=self._is_cut,
        )

    def _take_choice(self, choice: dict[str, Any]) -> None:
        index = choice.get("index")
        place = index if type(index) is int else 0
        if place not in self._begun and len(self._begun) < _MOST_CHOICES:
            self._begun |= {place}
        self._error = error_text(choice.get("error")) or self._error
        if ended := choice.get("finish_reason"):
            self._finished |= {place} & self._begun
            self._is_cut = self._is_cut or ended == "length"

    def _take_usage(self, body: dict[str, Any]) -> None:
        raw = body.get("usage")
        if not isinstance(raw, dict) and "x_groq" in body:
            raw = mapping(body["x_groq"]).get("usage")
        if isinstance(raw, dict) and (usage := openai_usage(raw)) is not None:
            self._usage, self._raw = usage, raw
            # Usage without choices comes after the last choice.
            self._ended = self._ended or body.get("choices") in ([], None)

    def _take_error(self, kind: str | None, message: dict[str, Any], body: dict[str, Any]) -> None:
        """An error inside a stream is the provider's failure, but for a response's own."""
        error = error_text(body.get("error"))
        broken = error is not None
        if kind == "error":
            error, broken = error_text(message.get("error")) or error_text(message), True
        elif kind == "response.failed":
            broken = short_name(mapping(body.get("error")).get("code")) in PROVIDER_GAVE_UP
        self._error = error or self._error
        self._broken = self._broken or broken


class UsageChunkFilter:
    """Leaves out the chunk with usage and no choices; every other byte goes on as it came."""

    def __init__(self) -> None:
        self._splitter = SseSplitter()
        self._dropped = False

    def feed(self, chunk: bytes) -> bytes:
        """The events that ``chunk`` completes, without the usage chunk."""
        # The quick way: nearly all chunks are whole events, and all but one of those have no usage.
        if self._splitter.is_whole(chunk) and b"\n\n\n" not in chunk:
            self._dropped = False
            if b'"usage"' not in chunk or _has_no_usage(chunk):
                return chunk
            events = chunk.split(b"\n\n")
            return b"\n\n".join(
                [raw for raw in events if b'"usage"' not in raw or not _is_usage_event(raw)]
            )
        return b"".join(self._kept(event) for event in self._splitter.feed(chunk))

    def finish(self) -> bytes:
        """The rest of the stream."""
        return b"".join(self._kept(event) for event in self._splitter.finish())

    def _kept(self, event: SseEvent) -> bytes:
        if not event.continues:
            self._dropped = _is_usage_chunk(event.data)
        return b"" if self._dropped else event.raw


def _has_no_usage(events: bytes) -> bool:
    """Whether none of ``events`` has any, but for what some write into each: that there is none."""
    return events.count(b'"usage"') == events.count(b'"usage":null')


def _is_usage_event(raw: bytes) -> bool:
    return _is_usage_chunk(event_data(raw))


def _is_usage_chunk(data: bytes | None) -> bool:
    chunk = None if data is None or b'"usage"' not in data else json_object(data)
    return (
        chunk is not None
        and chunk.get("choices", chunk) in ([], None)
        and isinstance(chunk.get("usage"), dict)
    )


def _asking(request: dict[str, Any]) -> Addition | None:
    """What asks for usage; None where the request does so itself, or has no place for it."""
    options = request.get("stream_options")
    if "stream_options" not in request:
        return _ASKING_FIRST
    if options is not None and not isinstance(options, dict):
        return None
    return None if mapping(options).get("include_usage") is True else _ASKING
