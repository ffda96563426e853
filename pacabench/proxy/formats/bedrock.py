"""Amazon Bedrock's Converse, not streamed: its stream is no text but a binary event format.

Source: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import orjson

from pacabench.proxy.body import RequestBody
from pacabench.proxy.excerpt import Excerpt
from pacabench.proxy.formats.meters import DocumentMeter, NoFilter
from pacabench.proxy.formats.parsing import error_text, mapping, mappings, short_name
from pacabench.proxy.sigv4 import SCHEME
from pacabench.proxy.texts import compact
from pacabench.proxy.tools.tables import BEDROCK
from pacabench.proxy.usage import bedrock_usage, bounded
from pacabench.proxy.wire import Endpoint, Filter, Meter, Reading, RequestFacts

CONVERSE = Endpoint("converse", "POST", "/model/{model}/converse")

_ERROR_TYPES = {
    400: "ValidationException",
    402: "ServiceQuotaExceededException",
    404: "ResourceNotFoundException",
    429: "ThrottlingException",
    503: "ServiceUnavailableException",
}


class BedrockFormat:
    """See :class:`~pacabench.proxy.wire.WireFormat`. What is signed is signed by the upstream."""

    roots: Mapping[str, str] = MappingProxyType({"": ""})
    endpoints = (CONVERSE,)
    request_headers: frozenset[str] = frozenset()
    reply_headers = frozenset({"x-amzn-requestid", "x-amzn-errortype"})
    tool_rules = BEDROCK

    def claims(self, headers: Mapping[str, str], query: Mapping[str, str]) -> bool:
        """Signed as AWS wants it."""
        del query
        return headers.get("Authorization", "").startswith(SCHEME)

    def key_headers(self, api_key: str) -> dict[str, str]:
        """An API key of Bedrock's own kind, as bearer token."""
        return {"Authorization": f"Bearer {api_key}"}

    def read_request(
        self, endpoint: Endpoint, params: Mapping[str, str], body: RequestBody
    ) -> RequestFacts:
        """The path names the model."""
        del endpoint, body
        return RequestFacts(model=params.get("model"), stream=False)

    def refuses_usage(self, status: int, body: bytes) -> bool:
        """Usage comes unasked."""
        del status, body
        return False

    def meter(self, endpoint: Endpoint, *, events: bool) -> Meter:
        """A meter for one reply, which is always a document."""
        del endpoint, events
        return DocumentMeter(BedrockReader())

    def usage_filter(self) -> Filter:
        """Nothing is added."""
        return NoFilter()

    def error_body(self, status: int, message: str, code: str | None) -> bytes:
        """An error as AWS's SDKs read it."""
        del code
        fallback = "InternalServerException" if status >= 500 else "AccessDeniedException"  # noqa: PLR2004
        kind = _ERROR_TYPES.get(status, fallback)
        return orjson.dumps({"message": message, "code": kind})


class BedrockReader:
    """Reads one reply. It does not name the model that answered."""

    def __init__(self) -> None:
        self._reading = Reading()

    def take(self, message: dict[str, Any]) -> None:
        """The whole reply."""
        raw = mapping(message.get("usage"))
        usage, note = bedrock_usage(raw)
        latency = mapping(message.get("performanceConfig")).get("latency")
        tier = mapping(message.get("serviceTier")).get("type")
        self._reading = Reading(
            usage=usage,
            raw_usage=bounded(raw) if usage is not None else None,
            error=None if "output" in message else error_text(message),
            service_tier=short_name(tier) or short_name(latency),
            note=note,
            is_cut=message.get("stopReason") == "max_tokens",
        )

    def say(self, message: dict[str, Any], excerpt: Excerpt) -> None:
        """Its text."""
        content = mapping(mapping(message.get("output")).get("message")).get("content")
        for block in mappings(content):
            excerpt.add(block.get("text"))
            if block.get("toolUse"):
                excerpt.add(compact(block["toolUse"]))

    def end(self) -> None:
        """A document is whole."""

    def state(self) -> object:
        """See :class:`~pacabench.proxy.formats.meters.Reader`."""
        return self._reading

    def reading(self) -> Reading:
        """What was said."""
        return self._reading
