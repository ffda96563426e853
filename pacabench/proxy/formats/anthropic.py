"""Anthropic's wire format: messages, streamed or not, and the counting of tokens.

Source: https://docs.anthropic.com/en/api/messages and .../messages-streaming
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import orjson

from pacabench.proxy.body import RequestBody
from pacabench.proxy.excerpt import Excerpt
from pacabench.proxy.formats.meters import DocumentMeter, EventMeter, NoFilter
from pacabench.proxy.formats.parsing import (
    error_text,
    mapping,
    mappings,
    short_name,
)
from pacabench.proxy.texts import compact
from pacabench.proxy.tools.tables import ANTHROPIC
from pacabench.proxy.usage import anthropic_usage, bounded
from pacabench.proxy.wire import Endpoint, Filter, Meter, Reading, RequestFacts

_BETA = frozenset({"beta"})
MESSAGES = Endpoint("messages", "POST", "/messages", _BETA)
COUNT_TOKENS = Endpoint("messages.count_tokens", "POST", "/messages/count_tokens", _BETA)
MODELS = Endpoint("models", "GET", "/models", frozenset({"beta", "limit", "after_id", "before_id"}))
MODEL = Endpoint("models.retrieve", "GET", "/models/{model}", _BETA)

_ERROR_TYPES = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    529: "overloaded_error",
}
_BLOCKS: Mapping[str | None, str] = MappingProxyType(
    {"content_block_start": "content_block", "content_block_delta": "delta"}
)
"""Events that say a part of a message, and where in them it is."""
_WITHOUT_TEXT = frozenset({"message_start", "message_delta", "message_stop", "error"})


class AnthropicFormat:
    """See :class:`~pacabench.proxy.wire.WireFormat`. The base URL has no ``/v1``."""

    roots: Mapping[str, str] = MappingProxyType({"/v1": "/v1"})
    endpoints = (MESSAGES, COUNT_TOKENS, MODELS, MODEL)
    request_headers = frozenset({"anthropic-version", "anthropic-beta"})
    reply_headers = frozenset({"request-id", "anthropic-ratelimit-"})
    tool_rules = ANTHROPIC

    def claims(self, headers: Mapping[str, str], query: Mapping[str, str]) -> bool:
        """Every SDK names the version of the API."""
        del query
        return "anthropic-version" in headers or "x-api-key" in headers

    def key_headers(self, api_key: str) -> dict[str, str]:
        """The real key in a header of its own."""
        return {"x-api-key": api_key}

    def read_request(
        self, endpoint: Endpoint, params: Mapping[str, str], body: RequestBody
    ) -> RequestFacts:
        """Model, and whether a stream is asked for."""
        del endpoint
        model = short_name(body.said.get("model")) or params.get("model")
        return RequestFacts(model=model, stream=body.said.get("stream") is True)

    def refuses_usage(self, status: int, body: bytes) -> bool:
        """Usage comes unasked."""
        del status, body
        return False

    def meter(self, endpoint: Endpoint, *, events: bool) -> Meter:
        """A meter for one reply."""
        del endpoint
        reader = AnthropicReader()
        return EventMeter(reader) if events else DocumentMeter(reader)

    def usage_filter(self) -> Filter:
        """Nothing is added to a stream."""
        return NoFilter()

    def error_body(self, status: int, message: str, code: str | None) -> bytes:
        """Anthropic's error object."""
        del code
        fallback = "api_error" if status >= 500 else "invalid_request_error"  # noqa: PLR2004
        kind = _ERROR_TYPES.get(status, fallback)
        return orjson.dumps({"type": "error", "error": {"type": kind, "message": message}})


class AnthropicReader:
    """Reads a message, whole or as events.

    ``message_start`` tells the input, and an output that is no more than a placeholder;
    ``message_delta`` is cumulative and replaces what was there, field by field.
    """

    def __init__(self) -> None:
        self._raw: dict[str, Any] = {}
        self._model: str | None = None
        self._error: str | None = None
        self._broken = False
        self._output_told = False
        self._ended = False

    def take(self, message: dict[str, Any]) -> None:
        """A whole message, or one event of a stream."""
        kind = short_name(message.get("type"))
        if kind == "message_start":
            start = mapping(message.get("message"))
            self._model = short_name(start.get("model"))
            self._merge(start.get("usage"))
        elif kind == "message_delta":
            usage = mapping(message.get("usage"))
            self._merge(usage)
            self._output_told = self._output_told or usage.get("output_tokens") is not None
            self._ended = True
        elif kind == "message_stop":
            self._ended = self._output_told
        elif kind == "error":
            self._error, self._broken = error_text(message.get("error")), True
        elif kind not in _BLOCKS:
            self._take_document(message)

    def say(self, message: dict[str, Any], excerpt: Excerpt) -> None:
        """Its text."""
        kind = short_name(message.get("type"))
        if kind in _BLOCKS:
            _say(mapping(message.get(_BLOCKS[kind])), excerpt)
        elif kind not in _WITHOUT_TEXT:
            for block in mappings(message.get("content")):
                _say(block, excerpt)

    def end(self) -> None:
        """A document is whole."""
        self._ended = True

    def state(self) -> object:
        """See :class:`~pacabench.proxy.formats.meters.Reader`."""
        told = (self._raw, self._model, self._error)
        return (*told, self._broken, self._output_told, self._ended)

    def reading(self) -> Reading:
        """What was said so far."""
        told = self._raw if self._output_told else {**self._raw, "output_tokens": None}
        usage = anthropic_usage(told)
        return Reading(
            usage=usage,
            raw_usage=bounded(self._raw) if usage is not None else None,
            model=self._model,
            error=self._error,
            broken=self._broken,
            ended=self._ended,
            service_tier=short_name(self._raw.get("service_tier")),
        )

    def _merge(self, usage: Any) -> None:
        fields = mapping(usage)
        told = {key: value for key, value in fields.items() if value is not None}
        self._raw = {**self._raw, **told}

    def _take_document(self, message: dict[str, Any]) -> None:
        if "usage" in message:
            self._merge(message["usage"])
            self._output_told = True
        self._model = short_name(message.get("model")) or self._model
        self._error = error_text(message.get("error")) or self._error


def _say(block: dict[str, Any], excerpt: Excerpt) -> None:
    for key in ("text", "partial_json", "thinking", "name"):
        excerpt.add(block.get(key))
    if block.get("input"):
        excerpt.add(compact(block["input"]))
