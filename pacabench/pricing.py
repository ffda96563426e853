"""What a call cost, by the price list that ``genai-prices`` carries. Never touches the network.

The list's own updater is not used: the same run has the same cost on every machine that has the
same version, and that version is in the manifest.
"""

from collections.abc import Iterable
from datetime import UTC, datetime

import genai_prices
from genai_prices.types import ModelPrice

from pacabench.model import CallRecord, Usage
from pacabench.proxy.control import ProviderSpec

PRICES_VERSION = f"genai-prices {genai_prices.__version__}"
"""For the manifest: the snapshot that comes with this version."""

_FREE = ":free"
"""Ends the names of models that OpenRouter serves for nothing; they have no price in the list."""


class Pricer:
    """Knows the price lists of a run's providers.

    A provider is known by its base URL. One that has an unknown URL (a company's gateway, a test
    server) is priced as what it calls itself: by the list of the provider it stands in for.
    """

    def __init__(self, providers: Iterable[ProviderSpec]) -> None:
        self._base_urls = {provider.name: provider.base_url for provider in providers}
        self._kinds = {provider.name: provider.kind for provider in providers}

    def cost(self, call: CallRecord) -> float | None:
        """US dollars for ``call``; 0 where nothing is billed; None where nobody knows.

        Unknown: no usage, a model without a price, a provider without a list (``scripted``). A
        provider that does not say which part of the input was cached is priced as if none was.
        """
        kind = self._kinds.get(call.provider, call.provider)
        if not call.may_be_billed:
            return 0.0
        if not call.is_counted or call.usage is None:
            return None
        when = datetime.fromtimestamp(call.started_at, UTC)
        # The answered name is the more exact one, but a gateway may make up its own.
        for model in (call.answered_model, call.model):
            for url in (self._base_urls.get(call.provider), None):
                cost = _list_price(call.usage, model, kind, url, when)
                if cost is not None:
                    return cost
        return None


def _list_price(
    usage: Usage, model: str | None, provider: str, base_url: str | None, when: datetime
) -> float | None:
    if not model:
        return None
    tokens = _as_priced(usage)
    try:
        if base_url is not None:
            price = genai_prices.calc_price(
                tokens, model, provider_api_url=base_url, genai_request_timestamp=when
            )
        else:
            price = genai_prices.calc_price(
                tokens, model, provider_id=provider, genai_request_timestamp=when
            )
    except (LookupError, ValueError):  # unknown model or provider; counts that contradict
        return None
    if not _prices_tokens(price.model_price) and not price.model.id.endswith(_FREE):
        return None
    return float(price.total_price)


def _as_priced(usage: Usage) -> genai_prices.Usage:
    """In ``genai-prices`` input is the total, of which the cached parts are parts."""
    return genai_prices.Usage(
        input_tokens=usage.total_input_tokens,
        cache_read_tokens=usage.cached_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        output_tokens=usage.output_tokens or 0,
        output_reasoning_tokens=usage.reasoning_tokens,
    )


def _prices_tokens(price: ModelPrice) -> bool:
    """Some entries of the list have no price at all, or one for something that is no token."""
    return price.input_mtok is not None
