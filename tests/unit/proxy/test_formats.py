"""What is read in the replies of Anthropic, Gemini and Bedrock, wherever their streams are cut."""

import contextlib
import itertools
import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacabench.model import Usage
from pacabench.proxy.body import read_body
from pacabench.proxy.client import Refused
from pacabench.proxy.formats import anthropic, azure_openai, bedrock, gemini, openai
from pacabench.proxy.replies import anthropic as said_by_anthropic
from pacabench.proxy.replies import gemini as said_by_gemini
from pacabench.proxy.replies import openai as said_by_openai
from pacabench.proxy.replies.completion import Completion, Tokens
from pacabench.proxy.wire import Endpoint, Reading, WireFormat

FORMATS: list[WireFormat] = [
    openai.OpenAIFormat(),
    azure_openai.AzureOpenAIFormat(),
    anthropic.AnthropicFormat(),
    gemini.GeminiFormat(),
    bedrock.BedrockFormat(),
]
TOKENS = Tokens(100, 40, cached=60, reasoning=10, cache_write=20, cache_write_1h=5)
REPLY = Completion("id", "m-1", "one two\nthree \U0001f980 é", TOKENS, 0)
KEYS = ["usage", "message", "type", "delta", "error", "content", "usageMetadata", "candidates",
        "parts", "text", "output", "input_tokens", "promptTokenCount", "x"]  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4)
    ),
    max_leaves=12,
)


def read(wire: WireFormat, endpoint: Endpoint, *parts: bytes, events: bool) -> Reading:
    meter = wire.meter(endpoint, events=events)
    for part in parts:
        meter.feed(part)
    return meter.read()


def sse(*messages: dict[str, Any]) -> bytes:
    return b"".join(b"data: " + orjson.dumps(message) + b"\n\n" for message in messages)


def anthropic_stream(*messages: dict[str, Any]) -> Reading:
    return read(FORMATS[2], anthropic.MESSAGES, sse(*messages), events=True)


def start(**usage: Any) -> dict[str, Any]:
    return {"type": "message_start", "message": {"model": "m-1", "usage": usage}}


def delta(**usage: Any) -> dict[str, Any]:
    return {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": usage}


class TestAnthropic:
    def test_the_delta_replaces_what_the_start_said_field_by_field(self) -> None:
        found = anthropic_stream(
            start(input_tokens=10, cache_read_input_tokens=5, output_tokens=1),
            delta(output_tokens=30),
            delta(output_tokens=44, input_tokens=12, cache_read_input_tokens=None),
        )
        assert found.usage == Usage(12, 5, None, 44, None)
        assert found.ended

    def test_the_output_of_the_start_is_a_placeholder(self) -> None:
        found = anthropic_stream(start(input_tokens=10, output_tokens=1))
        assert found.usage == Usage(10, None, None, None, None)
        assert not found.ended

    def test_a_delta_without_usage_does_not_make_it_the_last_word(self) -> None:
        last = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}}
        found = anthropic_stream(start(input_tokens=9, output_tokens=1), last)
        assert found.usage == Usage(9, None, None, None, None)

    def test_the_kinds_of_input_add_up(self) -> None:
        raw = {
            "input_tokens": 3,
            "cache_creation_input_tokens": 20,
            "cache_read_input_tokens": 7,
            "cache_creation": {"ephemeral_5m_input_tokens": 15, "ephemeral_1h_input_tokens": 5},
            "output_tokens": 9,
            "output_tokens_details": {"thinking_tokens": 4},
            "service_tier": "priority",
        }
        body = orjson.dumps({"type": "message", "model": "m-1", "usage": raw, "content": []})
        found = read(FORMATS[2], anthropic.MESSAGES, body, events=False)
        assert found.usage == Usage(3, 7, 20, 9, 4, 5)
        assert found.usage.total_input_tokens == 30
        assert (found.service_tier, found.raw_usage) == ("priority", raw)

    def test_an_error_inside_a_stream_is_the_providers_failure(self) -> None:
        error = {"type": "error", "error": {"type": "overloaded_error", "message": "sorry"}}
        found = anthropic_stream(start(input_tokens=1, output_tokens=1), error)
        assert (found.error, found.broken) == ("sorry", True)

    def test_an_error_document_is_a_reply(self) -> None:
        body = FORMATS[2].error_body(429, "slow down", None)
        found = read(FORMATS[2], anthropic.MESSAGES, body, events=False)
        assert (found.error, found.broken, found.usage) == ("slow down", True, None)

    def test_an_error_document_about_the_request_is_an_answer(self) -> None:
        body = FORMATS[2].error_body(400, "no such field", None)
        found = read(FORMATS[2], anthropic.MESSAGES, body, events=False)
        assert (found.error, found.broken) == ("no such field", False)


def gemini_usage(**counts: int) -> Reading:
    body = orjson.dumps({"usageMetadata": counts, "candidates": [{"finishReason": "STOP"}]})
    return read(FORMATS[3], gemini.GENERATE, body, events=False)


class TestGemini:
    @pytest.mark.parametrize(
        ("counts", "usage"),
        [
            # Thoughts on top of candidates, as a rule.
            ((100, 20, 30, 0, 150), Usage(100, None, None, 50, 30)),
            # Thoughts inside of them: the total says so.
            ((100, 50, 30, 0, 150), Usage(100, None, None, 50, 30)),
            # The prompts of tools on top of the prompt, and inside of it.
            ((100, 20, 0, 7, 127), Usage(107, None, None, 20, 0)),
            ((100, 20, 0, 7, 120), Usage(100, None, None, 20, 0)),
        ],
    )
    def test_the_total_decides_what_is_inside_of_what(
        self, counts: tuple[int, ...], usage: Usage
    ) -> None:
        names = ("promptTokenCount", "candidatesTokenCount", "thoughtsTokenCount",
                 "toolUsePromptTokenCount", "totalTokenCount")  # fmt: skip
        found = gemini_usage(**dict(zip(names, counts, strict=True)))
        assert found.usage == usage
        assert found.note is None

    def test_what_does_not_add_up_is_flagged(self) -> None:
        found = gemini_usage(promptTokenCount=10, candidatesTokenCount=5, totalTokenCount=99)
        assert found.usage == Usage(10, None, None, 5, None)
        assert found.note == "totalTokenCount is 99, its parts are 15"

    def test_zero_is_left_out_and_still_known_by_the_total(self) -> None:
        assert gemini_usage(promptTokenCount=10, totalTokenCount=10).usage.output_tokens == 0
        assert gemini_usage(promptTokenCount=10).usage.output_tokens is None

    def test_the_prompt_includes_what_was_cached(self) -> None:
        found = gemini_usage(
            promptTokenCount=10, cachedContentTokenCount=4, candidatesTokenCount=1,
            totalTokenCount=11,
        )  # fmt: skip
        assert found.usage == Usage(6, 4, None, 1, None)

    def test_each_chunk_is_a_snapshot(self) -> None:
        chunks = [
            {"usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": number,
                               "totalTokenCount": 9 + number}}
            for number in (1, 5, 8)
        ]  # fmt: skip
        found = read(FORMATS[3], gemini.STREAM, sse(*chunks), events=True)
        assert found.usage.output_tokens == 8
        assert not found.ended

    def test_an_array_that_breaks_off_tells_what_its_whole_objects_said(self) -> None:
        whole = b"".join(said_by_gemini.content_array(REPLY))
        for end in range(len(whole)):
            found = read(FORMATS[3], gemini.STREAM, whole[:end], events=False)
            if found.usage is not None:
                assert found.usage.total_input_tokens == TOKENS.prompt
        assert read(FORMATS[3], gemini.STREAM, whole, events=False).usage.output_tokens == 40

    def test_an_error_with_half_a_character_can_be_recorded(self) -> None:
        body = b'[{"error":{"message":"oh \\ud83d","code":500}}]'
        found = read(FORMATS[3], gemini.STREAM, body, events=False)
        assert (found.error, found.broken) == ("oh ?", True)

    def test_no_usage_of_embeddings_has_an_output(self) -> None:
        body = orjson.dumps({"usageMetadata": {"promptTokenCount": 3}})
        assert read(FORMATS[3], gemini.EMBED, body, events=False).usage == Usage(3, output_tokens=0)


class TestBedrock:
    def test_the_total_may_leave_out_the_cache(self) -> None:
        for total in (15, 45):
            usage = {"inputTokens": 10, "outputTokens": 5, "cacheReadInputTokens": 30,
                     "totalTokens": total}  # fmt: skip
            body = orjson.dumps({"output": {}, "usage": usage})
            found = read(FORMATS[4], bedrock.CONVERSE, body, events=False)
            assert (found.usage, found.note) == (Usage(10, 30, None, 5, None), None)

    def test_what_does_not_add_up_is_flagged(self) -> None:
        usage = {"inputTokens": 10, "outputTokens": 5, "totalTokens": 16}
        body = orjson.dumps({"output": {}, "usage": usage})
        found = read(FORMATS[4], bedrock.CONVERSE, body, events=False)
        assert found.note == "totalTokens is 16, its parts are 15"


STREAMS = {
    "openai": (FORMATS[0], openai.CHAT, said_by_openai.chat_events(REPLY, include_usage=True)),
    "responses": (FORMATS[0], openai.RESPONSES, said_by_openai.response_events(REPLY)),
    "anthropic": (FORMATS[2], anthropic.MESSAGES, said_by_anthropic.message_events(REPLY)),
    "gemini": (FORMATS[3], gemini.STREAM, said_by_gemini.content_events(REPLY)),
}
WHOLE = {name: (wire, to, b"".join(parts)) for name, (wire, to, parts) in STREAMS.items()}


class TestStreams:
    @given(
        st.sampled_from(sorted(WHOLE)),
        st.sampled_from([b"\n", b"\r\n", b"\r"]),
        st.lists(st.integers(0, 20_000), max_size=30),
    )
    def test_what_is_read_does_not_depend_on_where_a_stream_is_cut(
        self, name: str, line_end: bytes, cuts: list[int]
    ) -> None:
        wire, endpoint, whole = WHOLE[name]
        stream = whole.replace(b"\n", line_end)
        places = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
        parts = [stream[begin:end] for begin, end in itertools.pairwise(places)]
        meter = wire.meter(endpoint, events=True)
        for part in parts:
            meter.feed(part)
        found = meter.read()
        assert (found.usage.total_input_tokens, found.usage.output_tokens) == (100, 40)
        assert found.ended
        assert meter.said().text == REPLY.text

    @given(st.sampled_from(sorted(WHOLE)), st.integers(0, 20_000))
    def test_one_that_breaks_off_never_claims_to_be_final_with_less(
        self, name: str, end: int
    ) -> None:
        wire, endpoint, whole = WHOLE[name]
        found = read(wire, endpoint, whole[: end % len(whole)], events=True)
        if found.ended and found.usage is not None:
            assert found.usage.output_tokens in (None, 40)

    @given(
        st.sampled_from(FORMATS),
        st.binary(max_size=50) | JSON.map(json.dumps).map(str.encode),
        st.booleans(),
    )
    def test_nothing_makes_any_format_raise(
        self, wire: WireFormat, body: bytes, events: bool
    ) -> None:
        for endpoint in wire.endpoints:
            with contextlib.suppress(Refused):
                wire.read_request(endpoint, {}, read_body(body))
            for sent in (body, b"[" + body + b"]"):
                meter = wire.meter(endpoint, events=events)
                meter.feed(b"data: " + sent + b"\n\n" if events else sent)
                meter.read()
                assert meter.said().characters >= 0


class TestErrors:
    @pytest.mark.parametrize(
        ("wire", "body"),
        [
            (FORMATS[2], {"type": "error", "error": {"type": "not_found_error", "message": "no"}}),
            (FORMATS[3], {"error": {"code": 404, "message": "no", "status": "NOT_FOUND"}}),
            (FORMATS[4], {"message": "no", "code": "ResourceNotFoundException"}),
        ],
    )
    def test_they_have_the_providers_shape(self, wire: WireFormat, body: dict[str, Any]) -> None:
        assert orjson.loads(wire.error_body(404, "no", "x")) == body
