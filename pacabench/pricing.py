"""What a call cost, by the price list that ``genai-prices`` carries. Never touches the network.

The list's own updater is not used: the same run has the same cost on every machine that has the
same version, and that version is in the manifest. Prices of the configuration win over the list.
"""

import hashlib
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from types import MappingProxyType
from typing import Any, TypeGuard

import orjson

from pacabench.config.schema import PriceConfig
from pacabench.model import SCRIPTED_PROVIDER, CallRecord, Usage
from pacabench.proxy.control import ProviderSpec

PRICES_VERSION = f"genai-prices {version('genai-prices')}"
"""For the manifest: the snapshot that comes with this version."""

_PROVIDER_IDS = MappingProxyType({"azure_openai": "azure", "gemini": "google", "bedrock": "aws"})
"""Where the list calls a provider otherwise."""
_MILLION = 1_000_000


class Pricer:
    """Knows the price lists of a run's providers.

    A provider is known by its base URL. One that has an unknown URL (a company's gateway, a test
    server) is priced as what it calls itself: by the list of the provider it stands in for.

    Args:
        providers: of the run.
        own: prices of the configuration, by model.
    """

    def __init__(
        self,
        providers: Iterable[ProviderSpec],
        own: Mapping[str, PriceConfig] = MappingProxyType({}),
    ) -> None:
        specs = list(providers)
        self._base_urls = {spec.name: spec.base_url for spec in specs}
        self._kinds = {spec.name: spec.kind for spec in specs}
        self._own = own

    @property
    def version(self) -> str:
        """For the manifest: the list's snapshot, and a short hash of the configuration's prices."""
        if not self._own:
            return PRICES_VERSION
        plain = {name: price.model_dump() for name, price in self._own.items()}
        digest = hashlib.sha256(orjson.dumps(plain, option=orjson.OPT_SORT_KEYS)).hexdigest()
        return f"{PRICES_VERSION}, own prices {digest[:12]}"

    def cost(self, call: CallRecord) -> float | None:
        """US dollars for ``call``; 0 where nothing is billed; None where nobody knows.

        Unknown: no usage, a model without a price, a provider without a list (``scripted``). A
        provider that does not say which part of the input was cached is priced as if none was.
        """
        kind = self._kinds.get(call.provider, call.provider)
        if not call.may_be_billed:
            return 0.0
        models = [model for model in (call.answered_model, call.model) if model]
        for model in models:
            if model in self._own and call.is_counted and call.usage is not None:
                return _own_price(call.usage, self._own[model])
        if kind == "openrouter" and (billed := _billed_by_openrouter(call)) is not None:
            return billed
        if not call.is_counted or kind == SCRIPTED_PROVIDER:
            return None
        from pacabench.price_list import price_of  # noqa: PLC0415 - slow

        # The answered name is the more exact one, but a gateway may make up its own.
        for model in models:
            for url in (self._base_urls.get(call.provider), None):
                cost = price_of(call, model, _PROVIDER_IDS.get(kind, kind), url)
                if cost is not None:
                    return cost
        return None

    def most(
        self, provider: str, model: str, *, input_tokens: int, output_tokens: int
    ) -> float | None:
        """US dollars that a call of so many tokens costs at most; None where nobody knows.

        Whichever part of the input is written to a cache, whatever kind of text the output is, and
        in the dearest tier of service.
        """
        if (own := self._own.get(model)) is not None:
            return _own_most(own, input_tokens, output_tokens)
        kind = self._kinds.get(provider, provider)
        if kind == SCRIPTED_PROVIDER:
            return 0.0
        from pacabench.price_list import most_of  # noqa: PLC0415 - slow

        for url in (self._base_urls.get(provider), None):
            listed = _PROVIDER_IDS.get(kind, kind)
            found = most_of(
                model, listed, url, input_tokens=input_tokens, output_tokens=output_tokens
            )
            if found is not None:
                return found
        return None


def _own_price(usage: Usage, price: PriceConfig) -> float:
    cached = price.input if price.cached is None else price.cached
    written = price.input if price.cache_write is None else price.cache_write
    hour = written if price.cache_write_1h is None else price.cache_write_1h
    hour_tokens = usage.cache_write_1h_tokens or 0
    dollars = (
        (usage.input_tokens or 0) * price.input
        + (usage.cached_tokens or 0) * cached
        + ((usage.cache_write_tokens or 0) - hour_tokens) * written
        + hour_tokens * hour
        + (usage.output_tokens or 0) * price.output
    )
    return dollars / _MILLION


def _own_most(price: PriceConfig, input_tokens: int, output_tokens: int) -> float:
    kinds = (price.input, price.cached, price.cache_write, price.cache_write_1h)
    dearest = max(it for it in kinds if it is not None)
    return (input_tokens * dearest + output_tokens * price.output) / _MILLION


def _billed_by_openrouter(call: CallRecord) -> float | None:
    """What OpenRouter itself says; with the user's own key, what its provider takes comes on top.

    Source: https://openrouter.ai/docs/use-cases/usage-accounting
    """
    raw = call.raw_usage or {}
    cost = raw.get("cost")
    if not _is_cost(cost):
        return None
    details = raw.get("cost_details")
    upstream = details.get("upstream_inference_cost") if isinstance(details, dict) else None
    if raw.get("is_byok") is True and _is_cost(upstream):
        return float(cost + upstream)
    return float(cost)


def _is_cost(value: Any) -> TypeGuard[float]:
    """A number of dollars that somebody may have to pay for a call."""
    return type(value) in {int, float} and 0 <= value < _MILLION
