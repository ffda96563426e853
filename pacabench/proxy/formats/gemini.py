"""Google's Gemini wire format: content, streamed or not, embeddings, the counting of tokens.

A stream is server-sent events with ``alt=sse``, and otherwise one JSON array that grows.
Source: https://ai.google.dev/api/generate-content and https://ai.google.dev/api/embeddings
"""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import orjson

from pacabench.billing import EMBEDDING_ENDPOINTS
from pacabench.model import Usage
from pacabench.proxy.body import RequestBody
from pacabench.proxy.excerpt import Excerpt
from pacabench.proxy.formats.meters import DocumentMeter, EventMeter, NoFilter
from pacabench.proxy.formats.parsing import error_text, mapping, mappings, short_name
from pacabench.proxy.texts import compact
from pacabench.proxy.tools.tables import GEMINI
from pacabench.proxy.usage import bounded, gemini_usage
from pacabench.proxy.wire import Endpoint, Filter, Meter, Reading, RequestFacts

_ALT = frozenset({"alt", "$alt"})
_JSON = frozenset({"json", "sse", "json;enum-encoding=int"})
_ALT_VALUES: Mapping[str, frozenset[str]] = MappingProxyType({"alt": _JSON, "$alt": _JSON})
"""Google also speaks protocol buffers, which nobody here could meter."""


def _operation(name: str) -> Endpoint:
    return Endpoint(name, "POST", f"/models/{{model}}:{name}", _ALT, _ALT_VALUES)


GENERATE = _operation("generateContent")
STREAM = _operation("streamGenerateContent")
EMBED = _operation("embedContent")
EMBED_BATCH = _operation("batchEmbedContents")
COUNT_TOKENS = _operation("countTokens")
MODELS = Endpoint("models", "GET", "/models", _ALT | {"pageSize", "pageToken"}, _ALT_VALUES)
MODEL = Endpoint("models.retrieve", "GET", "/models/{model}", _ALT, _ALT_VALUES)

_STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    402: "FAILED_PRECONDITION",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    408: "DEADLINE_EXCEEDED",
    429: "RESOURCE_EXHAUSTED",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
}


class GeminiFormat:
    """See :class:`~pacabench.proxy.wire.WireFormat`. The base URL has no version."""

    roots: Mapping[str, str] = MappingProxyType(
        {"/v1beta": "/v1beta", "/v1": "/v1", "/v1alpha": "/v1alpha", "": "/v1beta"}
    )
    endpoints = (GENERATE, STREAM, EMBED, EMBED_BATCH, COUNT_TOKENS, MODELS, MODEL)
    request_headers: frozenset[str] = frozenset()
    reply_headers = frozenset({"x-gemini-service-tier"})
    tool_rules = GEMINI

    def claims(self, headers: Mapping[str, str], query: Mapping[str, str]) -> bool:
        """The key's place tells."""
        return "x-goog-api-key" in headers or "key" in query or "x-goog-api-client" in headers

    def key_headers(self, api_key: str) -> dict[str, str]:
        """The real key in a header of its own, and never in a URL."""
        return {"x-goog-api-key": api_key}

    def read_request(
        self, endpoint: Endpoint, params: Mapping[str, str], body: RequestBody
    ) -> RequestFacts:
        """The path says it all."""
        del body
        return RequestFacts(model=params.get("model"), stream=endpoint.name == STREAM.name)

    def refuses_usage(self, status: int, body: bytes) -> bool:
        """Usage comes unasked."""
        del status, body
        return False

    def meter(self, endpoint: Endpoint, *, events: bool) -> Meter:
        """A meter for one reply."""
        reader = GeminiReader(embeddings=endpoint.name in EMBEDDING_ENDPOINTS)
        return EventMeter(reader) if events else DocumentMeter(reader)

    def usage_filter(self) -> Filter:
        """Nothing is added to a stream."""
        return NoFilter()

    def error_body(self, status: int, message: str, code: str | None) -> bytes:
        """Google's error object."""
        del code
        kind = _STATUSES.get(status, "INTERNAL" if status >= 500 else "FAILED_PRECONDITION")  # noqa: PLR2004
        return orjson.dumps({"error": {"code": status, "message": message, "status": kind}})


class GeminiReader:
    """Reads replies and chunks of streams. Each chunk's usage is a snapshot: the last one holds."""

    def __init__(self, *, embeddings: bool = False) -> None:
        self._embeddings = embeddings
        self._reading = Reading(ended=False)
        self._ended = False
        self._is_cut = False

    def take(self, message: dict[str, Any]) -> None:
        """A whole reply or one chunk."""
        known = self._reading
        raw = mapping(message.get("usageMetadata"))
        usage, note = gemini_usage(raw)
        if usage is not None and self._embeddings:
            usage = Usage(usage.input_tokens, usage.cached_tokens, None, 0, None)
        error = error_text(message.get("error"))
        tier = raw.get("serviceTier") or message.get("serviceTier")
        self._reading = Reading(
            usage=usage or known.usage,
            raw_usage=bounded(raw) if usage is not None else known.raw_usage,
            model=short_name(message.get("modelVersion")) or known.model,
            error=error or known.error,
            broken=error is not None or known.broken,
            ended=False,
            service_tier=(short_name(tier) or "").lower() or known.service_tier,
            note=note if usage is not None else known.note,
        )
        if mapping(message.get("promptFeedback")).get("blockReason"):
            self._ended = True
        for candidate in mappings(message.get("candidates")):
            if why := candidate.get("finishReason"):
                self._ended = True
                self._is_cut = self._is_cut or why == "MAX_TOKENS"

    def say(self, message: dict[str, Any], excerpt: Excerpt) -> None:
        """Its text."""
        for candidate in mappings(message.get("candidates")):
            for part in mappings(mapping(candidate.get("content")).get("parts")):
                excerpt.add(part.get("text"))
                if part.get("functionCall"):
                    excerpt.add(compact(part["functionCall"]))

    def end(self) -> None:
        """A document is whole."""
        self._ended = True

    def state(self) -> object:
        """See :class:`~pacabench.proxy.formats.meters.Reader`."""
        return self._reading, self._ended, self._is_cut

    def reading(self) -> Reading:
        """What was said so far."""
        usage = self._reading.usage
        if usage is not None and not self._ended and usage.output_tokens == 0:
            # Of a chunk with no count for the answer yet, which is on its way or lost.
            usage = replace(usage, output_tokens=None)
        return replace(self._reading, usage=usage, ended=self._ended, is_cut=self._is_cut)
