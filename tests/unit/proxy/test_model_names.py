"""Which models a request may reach, and when another one answered."""

from typing import Any

import pytest

from pacabench.proxy.model_names import asked_models, is_allowed, is_other_model


class TestAllowed:
    @pytest.mark.parametrize(
        ("model", "pattern"),
        [
            ("gpt-4o-mini", "gpt-4o-mini"),
            ("gpt-4o-mini-2024-07-18", "gpt-4o-mini*"),
            ("openai/gpt-4o", "openai/*"),
            ("a.b", "a.b"),
            ("anything", "*"),
            ("meta-llama/Llama-3-70b", "*Llama*70b"),
        ],
    )
    def test_a_name_and_a_star_for_any_text(self, model: str, pattern: str) -> None:
        assert is_allowed(model, ["other", pattern])

    @pytest.mark.parametrize(
        ("model", "pattern"),
        [
            ("gpt-4o", "gpt-4o-mini"),
            ("gpt-4o-mini", "gpt-4o"),
            ("GPT-4o", "gpt-4o"),
            ("aXb", "a.b"),
            ("gpt-4o\nx", "gpt-4o"),
            ("gpt-4o ", "gpt-4o"),
            ("", "gpt-4o"),
            (None, "*"),
        ],
    )
    def test_nothing_else(self, model: str | None, pattern: str) -> None:
        assert not is_allowed(model, [pattern])


class TestAsked:
    @pytest.mark.parametrize(
        ("request_", "more"),
        [
            ({}, []),
            ({"models": ["b", "c"]}, ["b", "c"]),
            ({"models": "b"}, ["b"]),
            ({"models": [7, {"id": "x"}]}, [None, None]),
            ({"fallbacks": [{"model": "b"}, "c"]}, ["b", "c"]),
            ({"requests": [{"model": "models/b"}, {"content": {}}]}, ["b"]),
            ({"model": "models/b"}, ["b"]),
            ({"model": 7}, []),
        ],
    )
    def test_every_model_that_may_answer(self, request_: dict[str, Any], more: list[Any]) -> None:
        assert [*asked_models("a", request_)] == ["a", *more]


class TestOther:
    @pytest.mark.parametrize(
        ("asked", "answered"),
        [
            ("gpt-4o-mini", "gpt-4o-mini"),
            ("gpt-4o-mini", "gpt-4o-mini-2024-07-18"),
            ("gpt-4", "gpt-4-0613"),
            ("claude-3-5-sonnet-latest", "claude-3-5-sonnet-20241022"),
            ("claude-sonnet-4-0", "claude-sonnet-4-20250514"),
            ("claude-sonnet-4", "claude-sonnet-4@20250514"),
            ("gemini-2.0-flash", "gemini-2.0-flash-001"),
            ("gemini-2.5-flash", "models/gemini-2.5-flash-preview-05-20"),
            ("gemini-flash-latest", "gemini-2.5-flash-preview-09-2025"),
            ("meta-llama/Llama-3-70b", "meta-llama/llama-3-70b"),
            ("gpt-4o-mini", "openai/gpt-4o-mini"),
            ("deepseek/deepseek-chat:free", "deepseek/deepseek-chat"),
            ("llama3", "llama3:latest"),
            ("mistral-large-latest", "mistral-large-2411"),
            ("gpt-4o-2024-08-06", "gpt-4o"),
            ("text-embedding-ada-002", "text-embedding-ada-002-v2"),
            ("m-0125-0", "m-0125"),
            ("gpt-4o", None),
            (None, "gpt-4o"),
        ],
    )
    def test_another_name_of_the_same_model_is_not(
        self, asked: str | None, answered: str | None
    ) -> None:
        assert not is_other_model("openai", asked, answered)

    @pytest.mark.parametrize(
        ("asked", "answered"),
        [
            ("gpt-4o", "gpt-4o-mini"),
            ("gpt-4o-mini", "gpt-4o"),
            ("gpt-4o", "gpt-4o-mini-2024-07-18"),
            ("gpt-4", "gpt-4-turbo-2024-04-09"),
            ("gpt-4o-2024-05-13", "gpt-4o-2024-08-06"),
            ("llama3:8b", "llama3:70b"),
            ("m-20240", "m-2024051"),
            ("claude-3-5-sonnet-latest", "claude-3-5-haiku-20241022"),
            ("gemini-flash-latest", "gemini-2.5-pro"),
            ("claude-opus-4-1", "claude-opus-4-20250514"),
            ("gemini-1.5-pro", "gemini-2.5-pro"),
        ],
    )
    def test_another_model_is(self, asked: str, answered: str) -> None:
        assert is_other_model("openai", asked, answered)

    @pytest.mark.parametrize("provider", ["azure_openai", "scripted"])
    def test_a_deployment_and_a_rule_are_no_models(self, provider: str) -> None:
        assert not is_other_model(provider, "my-deployment", "gpt-4o-2024-08-06")
