"""What a call cost. The expected figures are worked out by hand from the providers' price lists."""

import socket
from typing import Any, ClassVar

import pytest

from pacabench.config.schema import PriceConfig
from pacabench.model import Usage
from pacabench.pricing import PRICES_VERSION, Pricer
from pacabench.proxy.control import ProviderSpec
from pacabench.testing import fake_call

OPENAI = ProviderSpec("openai", "openai", "https://api.openai.com/v1")
GATEWAY = ProviderSpec("openai", "openai", "http://127.0.0.1:9/v1")
SCRIPTED = ProviderSpec("scripted", "scripted")


def cost(*, provider: ProviderSpec = OPENAI, **changes: Any) -> float | None:
    # January 2026: prices of the past do not change.
    fields = {"started_at": 1_767_225_600.0, "answered_model": None} | changes
    return Pricer([provider]).cost(fake_call(provider=provider.name, **fields))


class TestKnownPrices:
    def test_input_and_output(self) -> None:
        # gpt-4o-mini: $0.15 per million in, $0.60 out.
        usage = Usage(input_tokens=1000, output_tokens=100)
        assert cost(model="gpt-4o-mini", usage=usage) == pytest.approx(0.00015 + 0.00006)

    def test_cached_input_is_cheaper(self) -> None:
        # $0.075 per million that was read from the cache.
        usage = Usage(input_tokens=600, cached_tokens=400, output_tokens=100)
        expected = (600 * 0.15 + 400 * 0.075 + 100 * 0.60) / 1e6
        assert cost(model="gpt-4o-mini", usage=usage) == pytest.approx(expected)

    def test_reasoning_is_part_of_the_output_and_not_billed_twice(self) -> None:
        # o3: $2 per million in, $8 out.
        usage = Usage(input_tokens=1000, output_tokens=100, reasoning_tokens=90)
        assert cost(model="o3", usage=usage) == pytest.approx((1000 * 2 + 100 * 8) / 1e6)

    def test_embeddings_have_no_output(self) -> None:
        # text-embedding-3-small: $0.02 per million.
        usage = Usage(input_tokens=1_000_000)
        price = cost(model="text-embedding-3-small", endpoint="embeddings", usage=usage)
        assert price == pytest.approx(0.02)

    def test_the_answered_model_is_the_one_that_is_billed(self) -> None:
        usage = Usage(input_tokens=1_000_000, output_tokens=0)
        price = cost(model="gpt-4o-mini", answered_model="gpt-4o-2024-08-06", usage=usage)
        assert price == pytest.approx(2.5)

    def test_a_made_up_answered_model_falls_back_to_the_one_asked_for(self) -> None:
        usage = Usage(input_tokens=1_000_000, output_tokens=0)
        price = cost(model="gpt-4o-mini", answered_model="our-deployment", usage=usage)
        assert price == pytest.approx(0.15)

    def test_a_gateway_is_priced_as_what_it_stands_in_for(self) -> None:
        usage = Usage(input_tokens=1_000_000, output_tokens=0)
        assert cost(provider=GATEWAY, model="gpt-4o-mini", usage=usage) == pytest.approx(0.15)


class TestUnknownIsNotZero:
    @pytest.mark.parametrize("model", ["no-such-model", "moderation", "whisper-1", "", None])
    def test_a_model_without_a_token_price(self, model: str | None) -> None:
        assert cost(model=model) is None

    @pytest.mark.parametrize(
        "usage", [None, Usage(), Usage(input_tokens=5), Usage(output_tokens=5)]
    )
    def test_a_call_whose_tokens_are_not_known(self, usage: Usage | None) -> None:
        assert cost(model="gpt-4o-mini", usage=usage) is None

    def test_counts_that_contradict_each_other(self) -> None:
        perplexity = ProviderSpec("perplexity", "perplexity", "https://api.perplexity.ai")
        sound = Usage(input_tokens=10, output_tokens=500, reasoning_tokens=5)
        assert cost(provider=perplexity, model="sonar-deep-research", usage=sound) is not None
        odd = Usage(input_tokens=10, output_tokens=5, reasoning_tokens=500)
        assert cost(provider=perplexity, model="sonar-deep-research", usage=odd) is None

    def test_an_unknown_provider(self) -> None:
        own = ProviderSpec("our-own", "our-own", "http://10.0.0.1/v1")
        assert cost(provider=own, model="gpt-4o-mini") is None

    def test_the_scripted_provider_has_no_price_at_all(self) -> None:
        assert cost(provider=SCRIPTED, model="gpt-4o-mini") is None
        renamed = ProviderSpec("rules", "scripted")
        assert cost(provider=renamed, model="gpt-4o-mini") is None


class TestNothingBilled:
    @pytest.mark.parametrize(
        "changes",
        [
            {"end": "denied", "status": None},
            {"status": 429},
            {"status": 500},
            {"end": "upstream_error", "status": None},
        ],
    )
    def test_costs_nothing(self, changes: dict[str, Any]) -> None:
        assert cost(model="no-such-model", usage=None, **changes) == 0.0


def test_never_touches_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*arguments: object) -> None:
        raise AssertionError(arguments)

    monkeypatch.setattr(socket, "getaddrinfo", refused)
    monkeypatch.setattr(socket.socket, "connect", refused)
    assert cost(model="gpt-4o-mini") is not None
    assert cost(model="no-such-model") is None


def test_the_snapshot_has_a_name() -> None:
    assert PRICES_VERSION.startswith("genai-prices ")


class TestCacheAndTiers:
    CLAUDE = ProviderSpec("anthropic", "anthropic", "https://api.anthropic.com")

    def test_what_is_kept_for_an_hour_costs_more(self) -> None:
        # claude-sonnet-4-5: $3 in, $0.30 read, $3.75 written (for an hour $6), $15 out.
        usage = Usage(
            input_tokens=100,
            cached_tokens=1000,
            cache_write_tokens=500,
            output_tokens=10,
            cache_write_1h_tokens=200,
        )
        expected = (100 * 3 + 1000 * 0.3 + 300 * 3.75 + 200 * 6 + 10 * 15) / 1e6
        found = cost(provider=self.CLAUDE, model="claude-sonnet-4-5", usage=usage)
        assert found == pytest.approx(expected)

    def test_gemini_and_azure_are_found_under_the_lists_names(self) -> None:
        usage = Usage(input_tokens=1_000_000, output_tokens=0)
        gemini = ProviderSpec("gemini", "gemini", "http://127.0.0.1:9")
        azure = ProviderSpec("azure_openai", "azure_openai", "http://127.0.0.1:9")
        assert cost(provider=gemini, model="gemini-2.0-flash", usage=usage) == pytest.approx(0.1)
        assert cost(provider=azure, model="gpt-4o-mini", usage=usage) == pytest.approx(0.15)

    def test_a_service_tier_has_its_own_price(self) -> None:
        usage = Usage(input_tokens=1_000_000, output_tokens=0)
        now = {"started_at": 1_795_000_000.0, "model": "gpt-5-mini", "usage": usage}
        standard = cost(**now, service_tier="default")
        assert standard is not None
        assert cost(**now, service_tier="flex") < standard < cost(**now, service_tier="priority")


class TestOpenRouter:
    ROUTER = ProviderSpec("openrouter", "openrouter", "https://openrouter.ai/api/v1")

    @pytest.mark.parametrize(
        ("raw", "dollars"),
        [
            ({"cost": 0.0125}, 0.0125),
            ({"cost": 0.001, "is_byok": True,
              "cost_details": {"upstream_inference_cost": 0.02}}, 0.021),
            ({"cost": 0.001, "is_byok": False,
              "cost_details": {"upstream_inference_cost": 0.02}}, 0.001),
        ],
    )  # fmt: skip
    def test_what_it_bills_is_what_it_says(self, raw: dict[str, Any], dollars: float) -> None:
        found = cost(provider=self.ROUTER, model="never/heard-of", raw_usage=raw)
        assert found == pytest.approx(dollars)

    @pytest.mark.parametrize("value", [None, "1", True, -1, 1e300, float("nan")])
    def test_what_is_no_cost_is_unknown(self, value: object) -> None:
        raw = {"cost": value}
        assert cost(provider=self.ROUTER, model="never/heard-of", raw_usage=raw) is None


class TestOwnPrices:
    PRICES: ClassVar = {"m": PriceConfig(input=2, output=8), "gpt-4o-mini": PriceConfig(
        input=1, output=1, cached=0.5, cache_write=4, cache_write_1h=9)}  # fmt: skip

    def priced(self, **changes: Any) -> float | None:
        return Pricer([OPENAI], self.PRICES).cost(
            fake_call(**{"answered_model": None, "model": "m", **changes})
        )

    def test_they_win_over_the_list(self) -> None:
        usage = Usage(100, 10, 30, 5, None, 20)
        expected = (100 * 1 + 10 * 0.5 + 10 * 4 + 20 * 9 + 5 * 1) / 1e6
        assert self.priced(model="gpt-4o-mini", usage=usage) == pytest.approx(expected)

    def test_what_is_left_out_is_priced_as_fresh_input(self) -> None:
        usage = Usage(100, 10, 30, 5, None, 20)
        assert self.priced(usage=usage) == pytest.approx((140 * 2 + 5 * 8) / 1e6)

    def test_other_models_are_priced_by_the_list(self) -> None:
        usage = Usage(input_tokens=1_000_000, output_tokens=0)
        assert self.priced(model="gpt-4o", usage=usage) == pytest.approx(2.5)
        assert self.priced(model="never-heard-of", usage=usage) is None

    def test_the_manifest_tells_them_apart(self) -> None:
        plain, own = Pricer([OPENAI]).version, Pricer([OPENAI], self.PRICES).version
        other = Pricer([OPENAI], {"m": PriceConfig(input=2, output=9)}).version
        assert plain == PRICES_VERSION
        assert own.startswith(f"{PRICES_VERSION}, own prices ")
        assert len({plain, own, other}) == 3
