"""What a call on record is charged."""

from typing import Any

import pytest

from pacabench.amounts import NOTHING, Amount, Ceiling, charge_of, pico_of
from pacabench.config.budget import Limits
from pacabench.model import Usage
from pacabench.testing.records import fake_metered, fake_result

RESERVED = {"reserved_tokens": 1000, "reserved_usd": 0.01}


def charge(cost_usd: float | None = 0.002, **changes: Any) -> Amount:
    return charge_of(fake_metered(fake_result(), cost_usd, **{**RESERVED, **changes}))


class TestCharge:
    def test_what_the_provider_told_however_much_was_reserved(self) -> None:
        assert charge() == Amount(1, 15, pico_of(0.002))

    def test_more_than_was_reserved_in_full(self) -> None:
        usage = Usage(input_tokens=900, cached_tokens=50, cache_write_tokens=50, output_tokens=5000)
        assert charge(0.5, usage=usage) == Amount(1, 6000, pico_of(0.5))

    @pytest.mark.parametrize(
        "changes",
        [
            {"end": "interrupted", "status": None, "usage": None, "usage_source": "none"},
            {"end": "client_gone", "status": None, "usage": None, "usage_source": "none"},
            {"usage": None, "usage_source": "none"},
            {"usage": Usage(input_tokens=10), "usage_source": "partial_provider"},
            {"usage_source": "estimated", "estimated": True},
        ],
    )
    def test_what_was_reserved_where_the_provider_did_not_tell_all(
        self, changes: dict[str, Any]
    ) -> None:
        assert charge(None, **changes) == Amount(1, 1000, pico_of(0.01))

    def test_an_estimate_above_what_was_reserved_counts(self) -> None:
        usage = Usage(input_tokens=3000, output_tokens=2)
        found = charge(0.02, usage=usage, usage_source="estimated", estimated=True)
        assert found == Amount(1, 3002, pico_of(0.02))

    def test_tokens_as_told_and_dollars_as_reserved_where_the_answer_has_no_price(self) -> None:
        assert charge(None) == Amount(1, 15, pico_of(0.01))

    def test_nothing_was_reserved(self) -> None:
        lost = {"end": "interrupted", "status": None, "usage": None, "usage_source": "none"}
        assert charge(None, **lost, reserved_tokens=None, reserved_usd=None) == Amount(1, 0, 0)

    @pytest.mark.parametrize(
        "changes",
        [
            {"end": "denied", "status": None},
            {"status": 500},
            {"status": 400},
            {"end": "upstream_error", "status": None},
            {"end": "client_gone", "status": None, "sent": False},
            {"endpoint": "models"},
            {"endpoint": "messages.count_tokens"},
        ],
    )
    def test_nothing_where_nothing_was_billed(self, changes: dict[str, Any]) -> None:
        assert charge(None, **changes) == NOTHING


def test_limits_in_whole_numbers() -> None:
    limits = Limits(usd=0.1, tokens=5, calls=2)
    assert Ceiling.of(limits) == Ceiling(calls=2, tokens=5, pico=100_000_000_000)
    assert Ceiling.of(Limits()).holds(Amount(10**9, 10**12, 10**21))
