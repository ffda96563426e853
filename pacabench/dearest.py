"""The most that a model of the price list can charge for so many tokens.

The list knows prices that hold at some hours, in some tiers of service, for some kinds of text, and
above some size of the prompt. Which of them a call will get is known when it is over.
"""

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from math import ceil

from genai_prices.types import ModelInfo, ModelPrice, TieredPrices, TimeOfDateConstraint

_PER_TOKENS = "_mtok"
_INPUT = ("input_", "cache_")
_OUTPUT = ("output_",)
_REQUEST = "requests_kcount"
_MILLION, _THOUSAND = 1_000_000, 1000
_PICO = 10**12


def most_of(model: ModelInfo, when: datetime, input_tokens: int, output_tokens: int) -> float:
    """US dollars, rounded up to a picodollar.

    Searches and the like, which some providers bill beside the tokens, are not in it: they are not
    in the cost of a call either.
    """
    prices = [*_prices(model, when)]

    def rate(starts: tuple[str, ...]) -> Decimal:
        return max(
            (
                value
                for price in prices
                for name, entry in vars(price).items()
                if name.startswith(starts) and name.endswith(_PER_TOKENS)
                for value in _values(entry, input_tokens)
            ),
            default=Decimal(0),
        )

    request = max(
        (value for price in prices for value in _values(vars(price).get(_REQUEST), input_tokens)),
        default=Decimal(0),
    )
    tokens = input_tokens * rate(_INPUT) + output_tokens * rate(_OUTPUT)
    dollars = tokens / _MILLION + request / _THOUSAND
    return ceil(dollars * _PICO) / _PICO


def _prices(model: ModelInfo, when: datetime) -> Iterator[ModelPrice]:
    """All that may hold soon after ``when``: at any hour, with any of the variants on top."""
    yield model.get_prices(when)
    if not isinstance(model.prices, ModelPrice):
        yield from (
            entry.prices
            for entry in model.prices
            if isinstance(entry.constraint, TimeOfDateConstraint)
        )
    yield from (variant.prices for variant in model.price_variants or ())


def _values(entry: Decimal | TieredPrices | None, input_tokens: int) -> Iterator[Decimal]:
    """The base price, and those of tiers that a prompt of at most this size can reach."""
    if isinstance(entry, TieredPrices):
        yield entry.base
        yield from (tier.price for tier in entry.tiers if tier.start <= input_tokens)
    elif entry is not None:
        yield entry
