"""The price list that ``genai-prices`` carries. Apart, because importing it is slow."""

from datetime import UTC, datetime

import genai_prices
from genai_prices.types import ModelPrice, PriceCalculation

from pacabench.dearest import most_of as dearest
from pacabench.model import CallRecord, Usage

_FREE = ":free"
"""Ends the names of models that OpenRouter serves for nothing; they have no price in the list."""
_ONE_EACH = genai_prices.Usage(input_tokens=1, output_tokens=1)
_STANDARD_TIERS = frozenset({"default", "standard", "auto", "on_demand", "scale"})


def price_of(call: CallRecord, model: str, provider: str, base_url: str | None) -> float | None:
    """US dollars for ``call``, of which the tokens are known; None where the list does not say.

    By the list of the provider at ``base_url``, or without one by that of ``provider``.
    """
    assert call.usage is not None
    tokens, when = _as_priced(call.usage), datetime.fromtimestamp(call.started_at, UTC)
    price = _looked_up(tokens, model, provider, base_url, when, _context(call))
    return None if price is None else float(price.total_price)


def most_of(
    model: str, provider: str, base_url: str | None, *, input_tokens: int, output_tokens: int
) -> float | None:
    """US dollars that a call of so many tokens costs now at most; otherwise as :func:`price_of`."""
    now = datetime.now(UTC)
    found = _looked_up(_ONE_EACH, model, provider, base_url, now, {})
    return None if found is None else dearest(found.model, now, input_tokens, output_tokens)


def _looked_up(
    tokens: genai_prices.Usage,
    model: str,
    provider: str,
    base_url: str | None,
    when: datetime,
    context: dict[str, str],
) -> PriceCalculation | None:
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
