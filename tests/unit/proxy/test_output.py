"""Where a request without a limit of its output is given one, in every format."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacabench.proxy.additions import Addition, with_member
from pacabench.proxy.output import LEAST_OUTPUT, output_of, refuses_limit

DEFAULT = 5000
CONFIG, INFERENCE, MORE = "generationConfig", "inferenceConfig", "additionalModelRequestFields"


def limited(provider: str, endpoint: str, request: dict[str, Any]) -> dict[str, Any]:
    """The request with its limit, as the provider reads it."""
    output, body = output_of(provider, endpoint, request, DEFAULT), orjson.dumps(request)
    for path in output.open_at:
        body = with_member(body, Addition(path, output.most, is_new=path[0] not in request))
    return dict(orjson.loads(body))


@pytest.mark.parametrize(
    ("provider", "endpoint", "request_", "sent"),
    [
        ("openai", "chat.completions", {}, {"max_completion_tokens": DEFAULT}),
        ("azure_openai", "chat.completions", {}, {"max_completion_tokens": DEFAULT}),
        ("mistral", "chat.completions", {}, {"max_tokens": DEFAULT}),
        ("vllm", "chat.completions", {}, {"max_tokens": DEFAULT}),
        ("openai", "responses", {}, {"max_output_tokens": DEFAULT}),
        ("gemini", "generateContent", {}, {CONFIG: {"maxOutputTokens": DEFAULT}}),
        ("gemini", "streamGenerateContent", {CONFIG: None}, {CONFIG: {"maxOutputTokens": DEFAULT}}),
        (
            "gemini",
            "generateContent",
            {"generation_config": {"seed": 1}},
            {"generation_config": {"seed": 1, "maxOutputTokens": DEFAULT}},
        ),
        ("bedrock", "converse", {}, {INFERENCE: {"maxTokens": DEFAULT}}),
        (
            "bedrock",
            "converse",
            {INFERENCE: {"topP": 1}},
            {INFERENCE: {"topP": 1, "maxTokens": DEFAULT}},
        ),
        # What limits nothing is none.
        ("openai", "chat.completions", {"max_tokens": None}, {"max_completion_tokens": DEFAULT}),
        ("ollama", "chat.completions", {"max_tokens": -1}, {"max_tokens": DEFAULT}),
        ("ollama", "chat.completions", {"max_tokens": 0}, {"max_tokens": DEFAULT}),
        (
            "vllm",
            "chat.completions",
            {"max_completion_tokens": "no"},
            {"max_completion_tokens": DEFAULT},
        ),
        ("openai", "responses", {"max_tokens": 5}, {"max_output_tokens": DEFAULT}),
        # Thoughts have a budget of their own, which a limit must not be below.
        (
            "openrouter",
            "chat.completions",
            {"reasoning": {"max_tokens": 900}},
            {"max_tokens": DEFAULT + 900},
        ),
        (
            "gemini",
            "generateContent",
            {CONFIG: {"thinkingConfig": {"thinkingBudget": 900}}},
            {CONFIG: {"maxOutputTokens": DEFAULT + 900, "thinkingConfig": {"thinkingBudget": 900}}},
        ),
        (
            "bedrock",
            "converse",
            {MORE: {"thinking": {"type": "enabled", "budget_tokens": 900}}},
            {INFERENCE: {"maxTokens": DEFAULT + 900}},
        ),
    ],
)
def test_it_stands_where_the_format_has_it(
    provider: str, endpoint: str, request_: dict[str, Any], sent: dict[str, Any]
) -> None:
    assert limited(provider, endpoint, request_) == {**request_, **sent}


@pytest.mark.parametrize(
    ("endpoint", "request_"),
    [
        ("chat.completions", {"max_tokens": 5}),
        ("chat.completions", {"max_completion_tokens": 5}),
        ("responses", {"max_output_tokens": 5}),
        ("messages", {"max_tokens": 5}),
        ("messages", {}),
        ("generateContent", {CONFIG: {"maxOutputTokens": "5"}}),
        ("generateContent", {"generation_config": {"max_output_tokens": 5}}),
        ("converse", {INFERENCE: {"maxTokens": 5}}),
        ("embeddings", {}),
        ("embedContent", {}),
    ],
)
def test_a_request_with_its_own_or_without_output_is_left_alone(
    endpoint: str, request_: dict[str, Any]
) -> None:
    output = output_of("openai", endpoint, request_, DEFAULT)
    assert not output.open_at
    assert output.least is None


def test_each_of_several_answers_has_its_share() -> None:
    output = output_of("openai", "chat.completions", {"n": 3, "prediction": "four"}, DEFAULT)
    assert output.total == 3 * (DEFAULT + 4)
    assert output.least_total == 3 * (LEAST_OUTPUT + 4)
    assert output.most_within(output.total) == DEFAULT
    assert output.most_within(output.total - 1) == DEFAULT - 1


def test_a_limit_beside_one_that_is_none_is_the_agents_own() -> None:
    request = {"max_tokens": 9000, "max_completion_tokens": -1}
    output = output_of("openai", "chat.completions", request, DEFAULT)
    assert (output.most, output.least) == (9000, None)
    assert output.open_at == [("max_completion_tokens",)]


LIMITS = st.none() | st.integers(-2, 10_000) | st.sampled_from(["7", "no", True, 0.5, [], {}])


@given(
    st.dictionaries(st.sampled_from(["max_tokens", "max_completion_tokens", "n"]), LIMITS),
    st.sampled_from(["openai", "mistral", "groq"]),
)
def test_the_limit_holds_whatever_was_said_before(request: dict[str, Any], provider: str) -> None:
    """A request that was given its limit is one with a limit of its own, and of the same size."""
    output = output_of(provider, "chat.completions", request, DEFAULT)
    after = output_of(
        provider, "chat.completions", limited(provider, "chat.completions", request), 9
    )
    assert not after.open_at
    assert after.total == output.total


@pytest.mark.parametrize(
    ("status", "said", "refuses"),
    [
        (400, "max_tokens is too large: 16384. This model supports at most 4096", True),
        (400, "Unsupported parameter: 'max_completion_tokens'", True),
        (400, "The maximum tokens you requested exceeds the model limit of 4096.", True),
        (400, "Unable to submit request because it has a maxOutputTokens value of 99999", True),
        (400, "`inputs` tokens + `max_new_tokens` must be <= 8193", True),
        (400, "This model's maximum context length is 8192 tokens.", True),
        (422, "max_tokens: extra inputs are not permitted", True),
        (400, "messages: at least one message is required", False),
        (500, "max_tokens", False),
        (429, "max_tokens", False),
    ],
)
def test_a_refusal_is_known_by_what_it_names(status: int, said: str, refuses: bool) -> None:
    assert refuses_limit(status, said.encode()) == refuses
