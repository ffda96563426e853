"""What a call cost, by the price list that ``genai-prices`` carries. Never touches the network.

The list's own updater is not used: the same run has the same cost on every machine that has the
same version, and that version is in the manifest. Prices of the configuration win over the list.
"""

import hashlib
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from types import MappingProxyType

import genai_prices
import orjson
from genai_prices.types import ModelPrice, PriceCalculation

from pacabench.config.schema import PriceConfig
from pacabench.dearest import most_of
from pacabench.model import SCRIPTED_PROVIDER, CallRecord, Usage
from pacabench.proxy.control import ProviderSpec

PRICES_VERSION = f"genai-prices {genai_prices.__version__}"
"""For the manifest: the snapshot that comes with this version."""

_FREE = ":free"
"""Ends the names of models that OpenRouter serves for nothing; they have no price in the list."""
_PROVIDER_IDS = MappingProxyType({"azure_openai": "azure", "gemini": "google", "bedrock": "aws"})
"""Where the list calls a provider otherwise."""
_MILLION = 1_000_000
_ONE_EACH = genai_prices.Usage(input_tokens=1, output_tokens=1)
_STANDARD_TIERS = frozenset({"default", "standard", "auto", "on_demand", "scale"})


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
        if not call.is_counted or call.usage is None:
            return None
        when = datetime.fromtimestamp(call.started_at, UTC)
        # The answered name is the more exact one, but a gateway may make up its own.
        for model in models:
            for url in (self._base_urls.get(call.provider), None):
                cost = _list_price(call, model, _PROVIDER_IDS.get(kind, kind), url, when)
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
        now = datetime.now(UTC)
        for url in (self._base_urls.get(provider), None):
            found = _looked_up(_ONE_EACH, model, _PROVIDER_IDS.get(kind, kind), url, now, {})
            if found is not None:
                return most_of(found.model, now, input_tokens, output_tokens)
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
    if isinstance(cost, bool) or not isinstance(cost, int | float) or cost < 0:
        return None
    details = raw.get("cost_details")
    upstream = details.get("upstream_inference_cost") if isinstance(details, dict) else None
    if raw.get("is_byok") is True and isinstance(upstream, int | float):
        return float(cost + upstream)
    return float(cost)


def _list_price(
    call: CallRecord, model: str, provider: str, base_url: str | None, when: datetime
) -> float | None:
    assert call.usage is not None
    tokens = _as_priced(call.usage)
    price = _looked_up(tokens, model, provider, base_url, when, _context(call))
    return None if price is None else float(price.total_price)


def _looked_up(
    tokens: genai_prices.Usage,
    model: str,
    provider: str,
    base_url: str | None,
    when: datetime,
    context: dict[str, str],
) -> PriceCalculation | None:
    """By the list of the provider at ``base_url``, or without one by that of ``provider``."""
    try:
        if base_url is not None:
            price = genai_prices.calc_price(
                tokens,
                model,
                provider_api_url=base_url,
                genai_request_timestamp=when,
                price_context=context,
            )
        else:
            price = genai_prices.calc_price(
                tokens,
                model,
                provider_id=provider,
                genai_request_timestamp=when,
                price_context=context,
            )
    except (LookupError, ValueError):  # unknown model or provider; counts that contradict
        return None
    if not _prices_tokens(price.model_price) and not price.model.id.endswith(_FREE):
        return None
    return price


def _context(call: CallRecord) -> dict[str, str]:
    """What a variant of a price hangs on, in the list's words."""
    tier, speed = call.service_tier, (call.raw_usage or {}).get("speed")
    found: dict[str, str] = {}
    if tier == "batch":
        found["processing"] = "batch"
    elif tier is not None and tier not in _STANDARD_TIERS:
        found["service_tier"] = tier
    if isinstance(speed, str):
        found["speed"] = speed
    return found


def _as_priced(usage: Usage) -> genai_prices.Usage:
    """In ``genai-prices`` input is the total, of which the cached parts are parts."""
    return genai_prices.Usage(
        input_tokens=usage.total_input_tokens,
        cache_read_tokens=usage.cached_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        cache_write_1h_tokens=usage.cache_write_1h_tokens,
        output_tokens=usage.output_tokens or 0,
        output_reasoning_tokens=usage.reasoning_tokens,
    )


def _prices_tokens(price: ModelPrice) -> bool:
    """Some entries of the list have no price at all, or one for something that is no token."""
    return price.input_mtok is not None
