"""What is read in OpenAI's requests and replies."""

import contextlib
import itertools
import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacabench.model import Usage
from pacabench.proxy.additions import with_member
from pacabench.proxy.body import read_body
from pacabench.proxy.client import Refused
from pacabench.proxy.formats.meters import EventMeter
from pacabench.proxy.formats.openai import (
    CHAT,
    EMBEDDINGS,
    RESPONSES,
    OpenAIFormat,
    OpenAIReader,
    UsageChunkFilter,
)
from pacabench.proxy.wire import Endpoint, Reading

WIRE = OpenAIFormat()
ENDPOINTS = st.sampled_from(WIRE.endpoints)
USAGE = {"prompt_tokens": 9, "completion_tokens": 4}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["usage", "response", "choices", "error", "message", "model", "type", "code", "x"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


def event(body: object, name: str | None = None) -> bytes:
    head = b"" if name is None else f"event: {name}\n".encode()
    return head + b"data: " + orjson.dumps(body) + b"\n\n"


def metered(*events: bytes) -> Reading:
    meter = EventMeter(OpenAIReader())
    for part in events:
        meter.feed(part)
    return meter.read()


def document(body: object, endpoint: Endpoint = CHAT) -> Reading:
    meter = WIRE.meter(endpoint, events=False)
    meter.feed(body if isinstance(body, bytes) else orjson.dumps(body))
    return meter.read()


def asking(body: bytes) -> bytes | None:
    """The body that asks for usage; None where it is left alone."""
    addition = WIRE.read_request(CHAT, {}, read_body(body)).asks_usage
    return None if addition is None else with_member(body, addition)


class TestRequests:
    def test_model_and_stream_are_read(self) -> None:
        facts = WIRE.read_request(RESPONSES, {}, read_body(b'{"model":"m","stream":true}'))
        assert (facts.model, facts.stream, facts.asks_usage) == ("m", True, None)

    def test_a_chat_stream_that_asks_for_usage_is_left_alone(self) -> None:
        assert asking(b'{"stream":true,"stream_options":{"include_usage":true}}') is None

    @pytest.mark.parametrize(
        "options", [None, {}, {"include_usage": False}, {"include_obfuscation": False}]
    )
    def test_other_stream_options_are_kept(self, options: dict | None) -> None:
        asked = asking(orjson.dumps({"stream": True, "stream_options": options, "n": 2}))
        wanted = {**(options or {}), "include_usage": True}
        assert orjson.loads(asked or b"") == {"stream": True, "stream_options": wanted, "n": 2}

    def test_options_that_are_none_are_the_providers_to_refuse(self) -> None:
        assert asking(b'{"stream":true,"stream_options":[1]}') is None

    def test_all_else_goes_as_it_was_written(self) -> None:
        deep = b'{"a":' * 400 + b"1e400" + b"}" * 400
        body = b'{ "stream":true,"x":' + deep + b', "stream_options" : { } }'
        asked = b'{ "stream":true,"x":' + deep + b', "stream_options" : {"include_usage":true } }'
        assert asking(body) == asked

    def test_a_model_name_is_kept_to_a_length(self) -> None:
        body = orjson.dumps({"model": "m" * 100_000})
        assert len(WIRE.read_request(CHAT, {}, read_body(body)).model) == 256

    @given(st.binary(max_size=50) | JSON.map(json.dumps).map(str.encode), ENDPOINTS)
    def test_no_body_makes_it_raise(self, body: bytes, endpoint: Endpoint) -> None:
        with contextlib.suppress(Refused):
            WIRE.read_request(endpoint, {}, read_body(body))


class TestDocuments:
    def test_usage_model_and_error(self) -> None:
        found = document({"model": "m-1", "usage": USAGE, "error": None})
        assert found == Reading(Usage(9, None, None, 4, None), USAGE, "m-1")

    def test_embeddings_have_no_output(self) -> None:
        found = document({"usage": {"prompt_tokens": 9, "total_tokens": 9}}, EMBEDDINGS)
        assert found.usage == Usage(input_tokens=9, output_tokens=0)

    @pytest.mark.parametrize("usage", [None, [], "many", 7, {}])
    def test_usage_that_is_none(self, usage: object) -> None:
        assert document({"usage": usage}) == Reading()

    @pytest.mark.parametrize(
        ("error", "text"),
        [({"message": "no"}, "no"), ("no", "no"), ({"code": 3}, "{'code': 3}"), ({}, None)],
    )
    def test_errors(self, error: object, text: str | None) -> None:
        assert document({"error": error}).error == text

    def test_an_error_is_kept_to_a_length(self) -> None:
        assert len(document({"error": "x" * 5000}).error) == 500

    def test_a_document_over_the_limit_is_not_kept(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("pacabench.proxy.formats.meters.MAX_DOCUMENT_BYTES", 20)
        assert document({"usage": USAGE}) == Reading(ended=False)

    @given(st.binary(max_size=50) | JSON.map(json.dumps).map(str.encode), ENDPOINTS, st.booleans())
    def test_no_reply_makes_it_raise(self, body: bytes, endpoint: Endpoint, events: bool) -> None:
        meter = WIRE.meter(endpoint, events=events)
        meter.feed(b"data: " + body + b"\n\n" if events else body)
        meter.read()


class TestStreams:
    @pytest.mark.parametrize("choices", [[], None, [{"index": 0, "delta": {}}]])
    def test_usage_counts_on_whichever_chunk_it_stands(self, choices: list | None) -> None:
        chunk = event({"model": "m", "choices": choices, "usage": USAGE})
        assert metered(event({"usage": None}), chunk, b"data: [DONE]\n\n").usage == Usage(
            9, None, None, 4, None
        )

    def test_the_last_usage_that_is_one_wins(self) -> None:
        first = event({"usage": {"prompt_tokens": 1, "completion_tokens": 1}})
        found = metered(
            first, event({"usage": USAGE}), event({"usage": None}), event({"usage": {}})
        )
        assert found.usage.output_tokens == 4
        assert found.raw_usage == USAGE

    def test_a_stream_has_ended_when_each_of_its_choices_has(self) -> None:
        def has_ended(*pieces: tuple[int, str | None]) -> bool:
            chunks = (
                {"choices": [{"index": index, "finish_reason": reason}],
                 "usage": {"prompt_tokens": 9, "completion_tokens": count}}
                for count, (index, reason) in enumerate(pieces)
            )  # fmt: skip
            return metered(*map(event, chunks)).ended

        first, second = (0, "stop"), (1, "length")
        assert has_ended(first)
        assert not has_ended((0, None), (1, None), first, (1, None))
        assert not has_ended((0, None), first, (1, None))
        assert has_ended((0, None), (1, None), first, (1, None), second)
        assert has_ended((0, None), (1, None), first, second, (0, None))

    @pytest.mark.parametrize("kind", ["response.completed", "response.incomplete"])
    def test_responses_tell_usage_at_their_end(self, kind: str) -> None:
        usage = {"input_tokens": 9, "output_tokens": 4}
        begun = {"type": "response.created", "response": {"model": "m", "usage": None}}
        ended = {"type": kind, "response": {"model": "m", "usage": usage, "error": None}}
        found = metered(event(begun, "response.created"), event(ended, kind))
        assert found == Reading(Usage(9, None, None, 4, None), usage, "m")

    @pytest.mark.parametrize(
        ("code", "broken"), [("server_error", True), ("invalid_prompt", False), (None, False)]
    )
    def test_a_failed_response_says_whose_fault_it_was(self, code: str, broken: bool) -> None:
        error = {"code": code, "message": "sorry"}
        usage = {"input_tokens": 9, "output_tokens": 0}
        failed = {"type": "response.failed", "response": {"error": error, "usage": usage}}
        found = metered(event(failed, "response.failed"))
        assert (found.error, found.broken) == ("sorry", broken)
        assert found.usage.input_tokens == 9

    def test_an_error_event_is_the_providers_failure(self) -> None:
        assert metered(event({"type": "error", "message": "sorry"})) == Reading(
            error="sorry", broken=True, ended=False
        )
        assert metered(event({"error": {"message": "sorry"}})).broken


class TestUsageChunkFilter:
    def test_only_a_chunk_with_usage_and_no_choices_is_dropped(self) -> None:
        kept = [
            event({"choices": [], "usage": None, "prompt_filter_results": []}),
            event({"choices": [{"delta": {"content": '"usage"'}}]}),
            event({"choices": [{"delta": {}}], "usage": USAGE}),
            event({"error": {"message": "sorry"}, "usage": USAGE}),
            b": ping\n\n",
            b"data: [DONE]\n\n",
            b'data: not json "usage"\n\n',
        ]
        sieve = UsageChunkFilter()
        dropped = event({"choices": [], "usage": USAGE}) + event({"choices": None, "usage": USAGE})
        assert sieve.feed(b"".join([*kept[:3], dropped, *kept[3:]])) == b"".join(kept)
        assert sieve.finish() == b""

    def test_a_blank_line_before_it_is_kept(self) -> None:
        usage = event({"choices": [], "usage": USAGE})
        assert UsageChunkFilter().feed(b": ping\n\n\n" + usage) == b": ping\n\n\n"

    @given(
        st.lists(st.sampled_from(["usage", "text", "ping", "blank"]), max_size=8),
        st.sampled_from([b"\n", b"\r\n", b"\r"]),
        st.lists(st.integers(0, 5000)),
    )
    def test_what_is_kept_does_not_depend_on_where_the_stream_is_cut(
        self, kinds: list[str], line_end: bytes, cuts: list[int]
    ) -> None:
        parts = {
            "usage": b'data: {"choices":[],"usage":{"prompt_tokens":1}}',
            "text": b'data: {"choices":[{"delta":{"content":"x"}}]}',
            "ping": b": ping",
        }
        written = {kind: part + line_end * 2 for kind, part in parts.items()} | {"blank": line_end}
        stream = b"".join(written[kind] for kind in kinds)
        places = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
        sieve = UsageChunkFilter()
        got = b"".join(sieve.feed(stream[start:end]) for start, end in itertools.pairwise(places))
        got += sieve.finish()
        assert got == b"".join(written[kind] for kind in kinds if kind != "usage")


class TestKeysAndErrors:
    @pytest.mark.parametrize(
        ("status", "kind"),
        [(401, "authentication_error"), (502, "server_error"), (404, "invalid_request_error")],
    )
    def test_errors_have_openais_shape(self, status: int, kind: str) -> None:
        assert orjson.loads(WIRE.error_body(status, "no", "c")) == {
            "error": {"message": "no", "type": kind, "param": None, "code": "c"}
        }

    @pytest.mark.parametrize(
        ("status", "body", "refuses"),
        [
            (400, b'{"error":"unknown field stream_options"}', True),
            (422, b'["include_usage"]', True),
            (400, b'{"error":"bad model"}', False),
            (500, b"stream_options", False),
        ],
    )
    def test_a_refused_usage_option_is_recognised(
        self, status: int, body: bytes, refuses: bool
    ) -> None:
        assert WIRE.refuses_usage(status, body) == refuses
