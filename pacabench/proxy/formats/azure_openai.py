"""Azure's way to OpenAI's models: other paths, another header for the key, the same bodies.

Source: https://learn.microsoft.com/en-us/azure/ai-foundry/openai/reference
and .../openai/api-version-lifecycle
"""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from pacabench.proxy.body import RequestBody
from pacabench.proxy.formats import openai
from pacabench.proxy.wire import Endpoint, RequestFacts

_VERSION = frozenset({"api-version"})
_DEPLOYED = tuple(
    Endpoint(known.name, known.method, f"/deployments/{{model}}{known.path}", _VERSION)
    for known in (openai.CHAT, openai.EMBEDDINGS)
)
_DATED = tuple(
    Endpoint(known.name, known.method, known.path, _VERSION)
    for known in (openai.RESPONSES, openai.MODELS, openai.MODEL)
)
_UNDATED = tuple(
    Endpoint(known.name, known.method, f"/v1{known.path}", _VERSION)
    for known in openai.OpenAIFormat.endpoints
)


class AzureOpenAIFormat(openai.OpenAIFormat):
    """See :class:`~pacabench.proxy.wire.WireFormat`. The base URL is that of the resource."""

    endpoints = (*_DEPLOYED, *_DATED, *_UNDATED)
    reply_headers = openai.OpenAIFormat.reply_headers | {"apim-request-id", "x-ms-region"}

    def __init__(self) -> None:
        super().__init__()
        self.roots = MappingProxyType({"/openai": "/openai"})

    def claims(self, headers: Mapping[str, str], query: Mapping[str, str]) -> bool:
        """Its own header for the key, or its version of the API."""
        return "api-key" in headers or "api-version" in query

    def key_headers(self, api_key: str) -> dict[str, str]:
        """The real key in a header of its own."""
        return {"api-key": api_key}

    def read_request(
        self, endpoint: Endpoint, params: Mapping[str, str], body: RequestBody
    ) -> RequestFacts:
        """The deployment in the path is what answers, whatever the body says."""
        facts = super().read_request(endpoint, params, body)
        return replace(facts, model=params.get("model") or facts.model)
