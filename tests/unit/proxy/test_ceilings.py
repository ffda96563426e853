"""What a request can use at most, in every format."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacabench.estimate import count_tokens
from pacabench.proxy.body import RequestBody, read_body
from pacabench.proxy.ceilings import IMAGE_TOKENS, TEMPLATE_TOKENS, TOOLS_TOKENS, Bound, bound_of
from pacabench.proxy.terms import Terms

DEFAULT = 1000
TERMS = Terms(budgeted=True, default_max_output=DEFAULT)


def bound(
    endpoint: str, request: dict[str, Any], *, provider: str = "openai", terms: Terms = TERMS
) -> Bound:
    return bound_of(provider, endpoint, RequestBody(b"x" * 100, request), terms)


def output(endpoint: str, request: dict[str, Any], provider: str = "openai") -> int:
    return bound(endpoint, request, provider=provider).output.total


class TestOutput:
    @pytest.mark.parametrize(
        ("endpoint", "request_", "tokens"),
        [
            ("chat.completions", {}, DEFAULT),
            ("chat.completions", {"max_tokens": 5}, 5),
            ("chat.completions", {"max_completion_tokens": 7}, 7),
            ("chat.completions", {"max_tokens": 5, "max_completion_tokens": 7}, 7),
            ("chat.completions", {"max_tokens": None}, DEFAULT),
            ("chat.completions", {"max_tokens": 5, "n": 3}, 15),
            ("chat.completions", {"n": 3}, 3 * DEFAULT),
            ("chat.completions", {"max_tokens": 5, "best_of": 4}, 20),
            ("chat.completions", {"max_output_tokens": 5}, DEFAULT),
            ("chat.completions", {"MAX_TOKENS": 5}, DEFAULT),
            ("chat.completions", {"max_tokens": "few"}, DEFAULT),
            ("chat.completions", {"max_tokens": True}, DEFAULT),
            ("chat.completions", {"max_tokens": -5}, DEFAULT),
            ("chat.completions", {"max_tokens": 5.5}, 6),
            ("responses", {"max_output_tokens": 5}, 5),
            ("responses", {"max_tokens": 5}, DEFAULT),
            ("responses", {"max_completion_tokens": 5}, DEFAULT),
            ("messages", {"max_tokens": 5}, 5),
            ("messages", {"max_completion_tokens": 5}, DEFAULT),
            ("generateContent", {"generationConfig": {"maxOutputTokens": 5}}, 5),
            ("generateContent", {"generation_config": {"max_output_tokens": 5}}, 5),
            ("generateContent", {"generationConfig": {"maxOutputTokens": "5"}}, 5),
            ("generateContent", {"maxOutputTokens": 5}, DEFAULT),
            (
                "streamGenerateContent",
                {"generationConfig": {"maxOutputTokens": 5, "candidateCount": 2}},
                10,
            ),
            ("generateContent", {"generation_config": {"candidate_count": 2}}, 2 * DEFAULT),
            ("converse", {"inferenceConfig": {"maxTokens": 5}}, 5),
            ("converse", {"maxTokens": 5}, DEFAULT),
            (
                "converse",
                {
                    "inferenceConfig": {"maxTokens": 5},
                    "additionalModelRequestFields": {"max_tokens": 900},
                },
                900,
            ),
            ("embeddings", {"max_tokens": 5}, 0),
            ("embedContent", {}, 0),
            ("batchEmbedContents", {}, 0),
        ],
    )
    def test_is_the_limit_that_the_endpoint_heeds(
        self, endpoint: str, request_: dict[str, Any], tokens: int
    ) -> None:
        assert output(endpoint, request_) == tokens

    @pytest.mark.parametrize("provider", ["mistral", "deepseek", "together", "ollama"])
    def test_some_servers_do_not_know_the_newer_name(self, provider: str) -> None:
        request = {"max_completion_tokens": 5}
        assert output("chat.completions", request, provider) == DEFAULT
        assert output("chat.completions", {"max_tokens": 5}, provider) == 5

    def test_what_was_guessed_wrongly_is_billed_too(self) -> None:
        guess = {"type": "content", "content": "x" * 500}
        assert output("chat.completions", {"max_tokens": 5, "prediction": guess}) >= 505


class TestInput:
    def test_bytes_and_what_templates_add(self) -> None:
        assert bound("chat.completions", {}).input_tokens == 100 + TEMPLATE_TOKENS

    def test_tools_have_a_prompt_of_their_own(self) -> None:
        tools = [{"type": "function", "function": {"name": "f"}}]
        plain = 100 + TEMPLATE_TOKENS
        assert bound("chat.completions", {"tools": tools}).input_tokens == plain + TOOLS_TOKENS

    @pytest.mark.parametrize(
        "part",
        [
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,xx"}},
            {"type": "input_image", "image_url": "https://x/y.png"},
            {"type": "image", "source": {"type": "base64", "data": "xx"}},
            {"image": {"format": "png", "source": {"bytes": "xx"}}},
            {"inlineData": {"mimeType": "image/png", "data": "xx"}},
            {"inline_data": {"mime_type": "image/png", "data": "xx"}},
            {"type": "tool_result", "content": [{"type": "image", "source": {}}]},
            {"functionResponse": {"parts": [{"inlineData": {"mimeType": "image/png"}}]}},
            {
                "type": "document",
                "source": {"type": "content", "content": [{"type": "image", "source": {}}]},
            },
        ],
    )
    def test_each_image_has_a_bound_of_its_own(self, part: dict[str, Any]) -> None:
        request = {"messages": [{"role": "user", "content": [part, {"text": "what is it"}, part]}]}
        found = bound("messages", request)
        assert found.input_tokens == 100 + TEMPLATE_TOKENS + 2 * IMAGE_TOKENS

    @pytest.mark.parametrize(
        "part",
        [
            {"type": "input_file", "file_data": "x"},
            {"type": "file", "file": {"file_data": "x"}},
            {"type": "document", "source": {"type": "base64"}},
            {"document": {"source": {"bytes": "x"}}},
            {"video": {"source": {"bytes": "x"}}},
            {"audio": {"id": "audio_1"}},
            {"inlineData": {"mimeType": "application/pdf"}},
            {"inline_data": {"mime_type": "video/mp4"}},
        ],
    )
    def test_a_document_has_none(self, part: dict[str, Any]) -> None:
        request = {"messages": [{"role": "user", "content": [part]}]}
        found = bound("responses", request)
        assert found.input_tokens is None
        assert found.doubt
        configured = Terms(budgeted=True, default_max_input=5000)
        known = bound("responses", request, terms=configured)
        assert known.input_tokens == 100 + TEMPLATE_TOKENS + 5000

    def test_what_the_provider_does_by_itself_has_none(self) -> None:
        asked = RequestBody(b"x" * 100, {})
        found = bound_of("openai", "responses", asked, TERMS, ["web_search at tools[0]"])
        assert (found.input_tokens, found.doubt) == (None, "web_search at tools[0]")

    @pytest.mark.parametrize(
        "request_",
        [
            {"conversation": None},
            {"tools": [{"type": "function", "name": "web_search"}]},
            {"tools": [{"name": "fetch", "input_schema": {"type": "object"}}]},
            {"tools": [{"type": "custom", "name": "file"}]},
            {"tools": [{"type": "bash_20250124", "name": "bash"}]},
            {"tools": [{"functionDeclarations": [{"name": "file", "parameters": {"file": {}}}]}]},
            {"toolConfig": {"tools": [{"toolSpec": {"name": "x"}}, {"cachePoint": {}}]}},
            {"messages": [{"content": [{"type": "document", "source": {"type": "text"}}]}]},
            {"messages": [{"content": [{"document": {"source": {"text": "x"}}}]}]},
            {"messages": [{"content": [{"type": "tool_use", "input": {"type": "file"}}]}]},
            {"messages": [{"content": [{"toolUse": {"input": {"document": {}}}}]}]},
            {"contents": [{"parts": [{"functionCall": {"args": {"video": {}}}}]}]},
            {"contents": [{"parts": [{"inlineData": {"mimeType": "audio/wav"}}]}]},
            {"messages": [{"content": [{"type": "input_audio", "input_audio": {"data": "x"}}]}]},
            {"response_format": {"json_schema": {"properties": {"file": {"type": "file"}}}}},
        ],
    )
    def test_what_it_holds_and_the_agents_own_names_have_one(
        self, request_: dict[str, Any]
    ) -> None:
        assert bound("chat.completions", request_).input_tokens is not None

    @given(
        st.lists(st.tuples(st.sampled_from(["user", "assistant", "system"]), st.text()), max_size=8)
    )
    def test_no_tokenizer_counts_more(self, said: list[tuple[str, str]]) -> None:
        """As OpenAI's cookbook counts: three tokens around each message, three at the end."""
        messages = [
            {"role": role, "content": text.encode("utf-8", "replace").decode()}
            for role, text in said
        ]
        body = orjson.dumps({"model": "m", "messages": messages})
        counted = 3 + sum(
            3 + count_tokens(it["role"]) + count_tokens(it["content"]) for it in messages
        )
        found = bound_of("openai", "chat.completions", read_body(body), TERMS)
        assert found.input_tokens is not None
        assert counted <= found.input_tokens
