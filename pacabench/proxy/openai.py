"""OpenAI's wire format: chat completions, responses, embeddings, the list of models."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import orjson

from pacabench.proxy.sse import SseEvent, SseSplitter
from pacabench.proxy.usage import bounded, openai_usage
from pacabench.proxy.wire import Endpoint, Filter, Meter, Reading, RequestFacts

CHAT = Endpoint("chat.completions", "POST", "/chat/completions")
RESPONSES = Endpoint("responses", "POST", "/responses")
EMBEDDINGS = Endpoint("embeddings", "POST", "/embeddings")
MODELS = Endpoint("models", "GET", "/models")

MAX_DOCUMENT_BYTES = 64 * 1024**2
"""Of a reply that is one JSON document. A longer one goes through and is not metered."""
_MAX_NAME = 256
_MAX_ERROR = 500
_PROVIDER_GAVE_UP = frozenset({"server_error", "rate_limit_exceeded"})
_ERROR_TYPES = {401: "authentication_error", 429: "rate_limit_error"} | dict.fromkeys(
    range(500, 600), "server_error"
)


class OpenAIFormat:
    """See :class:`~pacabench.proxy.wire.WireFormat`."""

    endpoints = (CHAT, RESPONSES, EMBEDDINGS, MODELS)

    def presented_key(self, headers: Mapping[str, str]) -> str | None:
        """The bearer token."""
        scheme, _, key = headers.get("Authorization", "").partition(" ")
        return key.strip() if scheme.lower() == "bearer" else None

    def key_headers(self, api_key: str) -> dict[str, str]:
        """The real key as bearer token."""
        return {"Authorization": f"Bearer {api_key}"}

    def read_request(self, endpoint: Endpoint, body: bytes) -> RequestFacts:
        """Model, and whether a stream is asked for."""
        request = _object(body)
        if request is None:
            return RequestFacts(model=None, stream=False)
        stream = request.get("stream") is True
        ask = stream and endpoint is CHAT and not _asks_for_usage(request)
        return RequestFacts(
            model=_name(request.get("model")),
            stream=stream,
            body_with_usage=_with_usage(request, body) if ask else None,
        )

    def refuses_usage(self, status: int, body: bytes) -> bool:
        """Servers that do not know ``stream_options`` name it in their refusal."""
        return status in {400, 422} and (b"stream_options" in body or b"include_usage" in body)

    def meter(self, endpoint: Endpoint, *, events: bool) -> Meter:
        """A meter for one reply."""
        return EventMeter() if events else DocumentMeter(endpoint)

    def usage_filter(self) -> Filter:
        """Drops the one chunk that ``include_usage`` adds to a chat stream."""
        return UsageChunkFilter()

    def error_body(self, status: int, message: str, code: str | None) -> bytes:
        """OpenAI's error object."""
        kind = _ERROR_TYPES.get(status, "invalid_request_error")
        error = {"message": message, "type": kind, "param": None, "code": code}
        return orjson.dumps({"error": error})


class DocumentMeter:
    """Reads a reply that is one JSON document."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._parts: list[bytes] | None = []
        self._size = 0

    def feed(self, chunk: bytes) -> None:
        """Keep the bytes, up to a limit."""
        if self._parts is None:
            return
        self._size += len(chunk)
        self._parts.append(chunk)
        if self._size > MAX_DOCUMENT_BYTES:
            self._parts = None

    def read(self) -> Reading:
        """Usage, model and error of the document, where it is whole."""
        document = None if self._parts is None else _object(b"".join(self._parts))
        if document is None:
            return Reading()
        found = _reading(document)
        if self._endpoint is EMBEDDINGS and found.usage is not None:
            # There is no output to count; the API says so by leaving it out.
            found = replace(found, usage=replace(found.usage, output_tokens=0))
        return found


class EventMeter:
    """Reads a stream of chat completion chunks or of response events. The last usage wins."""

    def __init__(self) -> None:
        self._splitter = SseSplitter()
        self._reading = Reading()

    def feed(self, chunk: bytes) -> None:
        """Read the events that ``chunk`` completes."""
        for event in self._splitter.feed(chunk):
            self._take(event)

    def read(self) -> Reading:
        """What the events so far said."""
        for event in self._splitter.finish():
            self._take(event)
        return self._reading

    def _take(self, event: SseEvent) -> None:
        message = None if event.data is None else _object(event.data)
        if message is None:
            return
        inner = message.get("response")  # the Responses API wraps the object it is about
        found = _reading(inner if isinstance(inner, dict) else message)
        error, broken = found.error, found.error is not None
        if message.get("type") == "error":
            error, broken = _error(message), True
        elif message.get("type") == "response.failed":
            broken = isinstance(inner, dict) and _code(inner.get("error")) in _PROVIDER_GAVE_UP
        known = self._reading
        self._reading = Reading(
            usage=found.usage or known.usage,
            raw_usage=found.raw_usage if found.usage else known.raw_usage,
            model=found.model or known.model,
            error=error or known.error,
            broken=broken or known.broken,
        )


class UsageChunkFilter:
    """Leaves out the chunk with usage and no choices; every other byte goes on as it came."""

    def __init__(self) -> None:
        self._splitter = SseSplitter()
        self._dropped = False

    def feed(self, chunk: bytes) -> bytes:
        """The events that ``chunk`` completes, without the usage chunk."""
        return b"".join(self._kept(event) for event in self._splitter.feed(chunk))

    def finish(self) -> bytes:
        """The rest of the stream."""
        return b"".join(self._kept(event) for event in self._splitter.finish())

    def _kept(self, event: SseEvent) -> bytes:
        if not event.continues:
            self._dropped = _is_usage_chunk(event.data)
        return b"" if self._dropped else event.raw


def _is_usage_chunk(data: bytes | None) -> bool:
    chunk = None if data is None or b'"usage"' not in data else _object(data)
    return chunk is not None and chunk.get("choices") == [] and isinstance(chunk.get("usage"), dict)


def _asks_for_usage(request: dict[str, Any]) -> bool:
    options = request.get("stream_options")
    return isinstance(options, dict) and options.get("include_usage") is True


def _with_usage(request: dict[str, Any], body: bytes) -> bytes | None:
    options = request.get("stream_options")
    if "stream_options" not in request:
        # Spliced in, so that the agent's own bytes reach the provider as they are.
        start = body.index(b"{") + 1
        return body[:start] + b'"stream_options":{"include_usage":true},' + body[start:]
    if options is not None and not isinstance(options, dict):
        return None
    asked = {**(options or {}), "include_usage": True}
    try:
        return orjson.dumps({**request, "stream_options": asked})
    except orjson.JSONEncodeError:  # nested deeper than orjson writes
        return None


def _reading(document: dict[str, Any]) -> Reading:
    found = Reading(
        model=_name(document.get("model")),
        error=_error(document.get("error")),
    )
    raw = document.get("usage")
    if not isinstance(raw, dict) or (usage := openai_usage(raw)) is None:
        return found
    return replace(found, usage=usage, raw_usage=bounded(raw))


def _object(data: bytes) -> dict[str, Any] | None:
    if not data.lstrip().startswith(b"{"):
        return None
    try:
        found = orjson.loads(data)
    except orjson.JSONDecodeError:
        return None
    return found if isinstance(found, dict) else None


def _name(value: Any) -> str | None:
    return value[:_MAX_NAME] if isinstance(value, str) else None


def _error(value: Any) -> str | None:
    if not value:
        return None
    message = value.get("message") if isinstance(value, dict) else value
    return (message if isinstance(message, str) else repr(value))[:_MAX_ERROR]


def _code(error: Any) -> Any:
    return error.get("code") if isinstance(error, dict) else None
