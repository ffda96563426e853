"""What calls use, in whole numbers: sums are exact, and the same in every order."""

from dataclasses import dataclass
from typing import Self

from pacabench.call_facts import Metered
from pacabench.config.budget import Limits

PICO = 10**12
"""In a dollar. Dollars are added up as whole picodollars."""


@dataclass(frozen=True, slots=True)
class Amount:
    """Calls, tokens of input and output together, and picodollars."""

    calls: int = 0
    tokens: int = 0
    pico: int = 0

    def __add__(self, other: Self) -> "Amount":
        return Amount(self.calls + other.calls, self.tokens + other.tokens, self.pico + other.pico)

    def __sub__(self, other: Self) -> "Amount":
        return Amount(self.calls - other.calls, self.tokens - other.tokens, self.pico - other.pico)

    @property
    def usd(self) -> float:
        """The dollars."""
        return self.pico / PICO


NOTHING = Amount()


def pico_of(usd: float) -> int:
    """``usd`` as whole picodollars."""
    return round(usd * PICO)


def reserve_of(metered: Metered) -> Amount:
    """What was set aside for a call before it went out."""
    call = metered.call
    return Amount(1, call.reserved_tokens or 0, pico_of(call.reserved_usd or 0.0))


def charge_of(metered: Metered) -> Amount:
    """What a call on record is charged.

    That is what its provider told. Where the provider did not tell all, or nobody heard of it any
    more, it is charged what was reserved for it: less may have been billed, and more not.
    """
    call = metered.call
    if not call.may_be_billed:
        return NOTHING
    reserved = reserve_of(metered)
    known = Amount(1, _known_tokens(metered), pico_of(metered.cost_usd or 0.0))
    if call.usage_source == "provider" and call.is_counted:
        return known if metered.cost_usd is not None else Amount(1, known.tokens, reserved.pico)
    return Amount(1, max(known.tokens, reserved.tokens), max(known.pico, reserved.pico))


def _known_tokens(metered: Metered) -> int:
    usage = metered.call.usage
    if usage is None:
        return 0
    return (usage.total_input_tokens or 0) + (usage.output_tokens or 0)


@dataclass(frozen=True, slots=True)
class Ceiling:
    """Limits in whole numbers; None is no limit."""

    calls: int | None = None
    tokens: int | None = None
    pico: int | None = None

    @classmethod
    def of(cls, limits: Limits) -> Self:
        """The limits of a configuration."""
        pico = None if limits.usd is None else pico_of(limits.usd)
        return cls(limits.calls, limits.tokens, pico)

    @property
    def limits_tokens(self) -> bool:
        """By their number or by what they cost."""
        return self.tokens is not None or self.pico is not None

    def holds(self, amount: Amount) -> bool:
        """``amount`` is within."""
        return not self.passed_by(amount)

    def passed_by(self, amount: Amount) -> list[str]:
        """The names of what ``amount`` is too much of."""
        pairs = (
            ("calls", amount.calls, self.calls),
            ("tokens", amount.tokens, self.tokens),
            ("usd", amount.pico, self.pico),
        )
        return [name for name, used, most in pairs if most is not None and used > most]

    def used_up_by(self, amount: Amount) -> bool:
        """After ``amount`` no call fits any more, however small."""
        return bool(self.passed_by(amount + Amount(1, 1, 1)))
