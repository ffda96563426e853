"""When a refused key ends a run, and what the user is told."""

from dataclasses import replace

import pytest

from pacabench.key_watch import KeyWatch
from pacabench.model import CallRecord
from pacabench.proxy.control import ProviderSpec
from pacabench.proxy.record import CallDraft

OPENAI = ProviderSpec("openai", "openai", "https://x/v1", "sk-x", key_name="OPENAI_API_KEY")
VLLM = ProviderSpec("vllm", "vllm", "http://localhost/v1", None, key_name="VLLM_API_KEY")
SCRIPTED = ProviderSpec("scripted", "scripted")


def call(status: int | None, error: str | None = None, *, provider: str = "openai") -> CallRecord:
    draft = CallDraft("a-1", provider, "chat.completions", status=status, error=error)
    draft.end = "denied" if status is None else "complete"
    return draft.record()


def told(*calls: CallRecord) -> list[str]:
    ends: list[str] = []
    watch = KeyWatch([OPENAI, VLLM, SCRIPTED], ends.append)
    for each in calls:
        watch.take(each)
    return ends


def test_the_first_refusal_ends_the_run_with_provider_variable_and_words() -> None:
    [why] = told(call(401, "Incorrect API key provided: ***"))
    assert why == (
        "provider openai refuses the key in OPENAI_API_KEY (HTTP status 401: Incorrect API key "
        "provided: ***): put a valid one there, then resume"
    )


def test_it_is_told_once() -> None:
    assert len(told(*[call(401)] * 9)) == 1


def test_who_has_no_key_is_told_where_to_put_one() -> None:
    [why] = told(call(401, provider="vllm"))
    assert why == "provider vllm wants a key (HTTP status 401): set VLLM_API_KEY, then resume"


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (400, "API key not valid. Please pass a valid API key."),
        (403, "The security token included in the request is expired"),
        (403, "The request signature we calculated does not match the signature you provided."),
    ],
)
def test_google_and_aws_say_it_in_words(status: int, words: str) -> None:
    assert len(told(call(status, words))) == 1


@pytest.mark.parametrize(
    "other",
    [
        call(403, "You may not use this model"),
        call(400, "No such parameter"),
        call(429, "insufficient_quota"),
        call(500),
        call(None, "401: This is not the attempt's key"),
        call(401, provider="scripted"),
    ],
)
def test_what_is_no_refused_key_ends_nothing(other: CallRecord) -> None:
    assert told(*[other] * 9) == []


def test_a_key_that_was_good_is_doubted_after_three_refusals_in_a_row() -> None:
    assert told(call(200), call(401), call(401)) == []
    assert told(call(200), call(401), call(401), call(200), call(401), call(401)) == []
    assert len(told(call(200), call(401), call(429), call(401), call(401))) == 1


def test_another_providers_success_is_none_of_this_ones() -> None:
    assert len(told(call(200, provider="vllm"), call(401))) == 1


def test_a_refusal_out_of_a_cassette_says_nothing_of_the_key() -> None:
    assert told(*[replace(call(401), replay="served")] * 9) == []
