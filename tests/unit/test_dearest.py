"""No call costs more than the bound that is reserved for it, at any model of the list."""

from datetime import UTC, datetime

import pytest
from genai_prices import data_snapshot
from hypothesis import given, settings
from hypothesis import strategies as st

from pacabench.config.schema import PriceConfig
from pacabench.model import Usage
from pacabench.pricing import Pricer
from pacabench.proxy.control import ProviderSpec
from pacabench.testing.sandbox import fake_call

KINDS = {
    "openai": "openai", "anthropic": "anthropic", "google": "gemini", "mistral": "mistral",
    "deepseek": "deepseek", "groq": "groq", "together": "together", "openrouter": "openrouter",
    "azure": "azure_openai", "aws": "bedrock",
}  # fmt: skip
MODELS = [
    (KINDS[provider.id], model.id)
    for provider in data_snapshot.get_snapshot().providers
    if provider.id in KINDS
    for model in provider.models
]
PRICER = Pricer([ProviderSpec(kind, kind, "http://127.0.0.1:1") for kind in KINDS.values()])
COUNTS = st.integers(0, 300_000)


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(MODELS),
    st.tuples(COUNTS, COUNTS, COUNTS, COUNTS, COUNTS),
    st.sampled_from([None, "default", "priority", "flex", "batch"]),
    st.floats(0, 1),
)
def test_a_bound_for_every_model_and_every_way_to_use_its_tokens(
    model: tuple[str, str], parts: tuple[int, int, int, int, int], tier: str | None, share: float
) -> None:
    fresh, cached, written, hour, output = parts
    usage = Usage(fresh, cached, written, output, int(output * share), min(hour, written))
    call = fake_call(
        provider=model[0],
        model=model[1],
        answered_model=None,
        usage=usage,
        service_tier=tier,
        started_at=datetime.now(UTC).timestamp(),
    )
    cost = PRICER.cost(call)
    most = PRICER.most(*model, input_tokens=fresh + cached + written, output_tokens=output)
    assert cost is None or (most is not None and cost <= most * (1 + 1e-12))


def test_the_list_was_looked_into() -> None:
    found = [PRICER.most(*model, input_tokens=10**6, output_tokens=10**6) for model in MODELS]
    assert sum(1 for most in found if most) > 0.8 * len(MODELS) > 100


def test_the_dearest_part_of_ones_own_prices() -> None:
    own = {"m": PriceConfig(input=1, output=5, cached=0.1, cache_write=3)}
    most = Pricer([ProviderSpec("vllm", "vllm")], own).most(
        "vllm", "m", input_tokens=10**6, output_tokens=10**6
    )
    assert most == pytest.approx(8)


def test_scripted_costs_nothing_and_the_unknown_is_not_free() -> None:
    pricer = Pricer(
        [ProviderSpec("scripted", "scripted"), ProviderSpec("vllm", "vllm", "http://x")]
    )
    assert pricer.most("scripted", "m", input_tokens=9, output_tokens=9) == 0
    assert pricer.most("vllm", "m", input_tokens=9, output_tokens=9) is None
    assert pricer.most("openai", "no-such-model", input_tokens=9, output_tokens=9) is None
