"""What counts of a call is read from the same lines as all of it, and comes to the same."""

import asyncio
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, get_type_hints

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from pacabench.amounts import charge_of
from pacabench.call_facts import CallFacts, MeteredFacts
from pacabench.figures import CallFigures
from pacabench.model import CallRecord, MeteredCall, Usage
from pacabench.stats import summarise
from pacabench.store import RunStore, load_run
from pacabench.store.reader import read_calls
from pacabench.testing.records import fake_manifest, fake_metered, fake_result

TOKENS = st.none() | st.integers(0, 10**6)
CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "provider": st.sampled_from(["openai", "scripted"]),
        "endpoint": st.sampled_from(["chat.completions", "models", "embeddings"]),
        "status": st.sampled_from([None, 200, 400, 429, 503]),
        "end": st.sampled_from(
            ["complete", "client_gone", "upstream_error", "interrupted", "denied"]
        ),
        "sent": st.booleans(),
        "usage": st.none() | st.builds(Usage, *[TOKENS] * 6),
        "usage_source": st.sampled_from(["provider", "partial_provider", "estimated", "none"]),
        "repeat_of": st.none() | st.just("earlier"),
        "estimated": st.booleans(),
        "replay": st.sampled_from([None, "served", "unmatched"]),
        "other_model": st.booleans(),
        "reserved_tokens": TOKENS,
        "reserved_usd": st.none() | st.floats(0, 10),
        "count": st.integers(1, 9),
        "ttft_ms": st.none() | st.floats(0, 1e6),
    },
)


def facts_of(metered: MeteredCall) -> MeteredFacts:
    return msgspec.json.decode(msgspec.json.encode(asdict(metered)), type=MeteredFacts)


def test_fields_are_those_of_the_whole_record() -> None:
    defaults = {field.name: field.default for field in fields(CallRecord)}
    hints = get_type_hints(CallRecord)
    for field in msgspec.structs.fields(CallFacts):
        assert field.type == hints[field.name], field.name
        if not field.required:
            assert field.default == defaults[field.name], field.name


@given(CHANGES, st.none() | st.floats(0, 10))
def test_figures_and_charges_are_the_same(changes: dict[str, Any], cost: float | None) -> None:
    metered = fake_metered(fake_result(), cost, **changes)
    facts = facts_of(metered)
    whole, counted = CallFigures(), CallFigures()
    whole.add(metered)
    counted.add(facts)
    assert counted == whole
    assert charge_of(facts) == charge_of(metered)


def test_a_run_comes_to_the_same(tmp_path: Path) -> None:
    results = [fake_result(duration_ms=float(number)) for number in range(3)]
    with RunStore.create(tmp_path, fake_manifest(), "") as store:
        for result in results:
            for status in (200, 429, 200):
                store.append_call(fake_metered(result, status=status, ttft_ms=result.duration_ms))
            asyncio.run(store.append_result(result))
        known = list(store.call_facts())
        assert known == [facts_of(call) for _, call in read_calls(store.run_dir)]
    record = load_run(tmp_path / "run-1")
    assert [facts for _, facts in record.call_facts_file()] == known
    assert len(known) == 9
    assert summarise(results, known) == summarise(results, record.calls())
