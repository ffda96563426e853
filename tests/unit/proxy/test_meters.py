"""Streams are looked at in batches, and alike events once: it brings what reading each one does."""

import json
import re
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacabench.proxy.excerpt import Excerpt
from pacabench.proxy.formats import anthropic, gemini, meters, openai
from pacabench.proxy.formats.meters import EventMeter
from pacabench.proxy.wire import Endpoint, Meter, Reading, WireFormat

DONE = b"data: [DONE]\n\n"
WORDS = st.text(max_size=4) | st.sampled_from(
    ['"', "\\", '","usage":{"prompt_tokens":7}', '\\","error":"x', "data: ", "\n\n", "é\ud800"]
)
USAGE = st.builds(
    lambda count: {"prompt_tokens": count, "completion_tokens": count}, st.integers(0, 2)
)
MODELS = st.sampled_from(["m-1", "m-1", "m-2", None])


def event(message: object) -> bytes:
    try:
        return b"data: " + orjson.dumps(message) + b"\n\n"
    except orjson.JSONEncodeError:  # half a character: alike others, and cannot be read
        return b"data: " + json.dumps(message, separators=(",", ":")).encode() + b"\n\n"


def chunk(text: str, model: str | None, finish: str | None, more: dict[str, Any]) -> bytes:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish}
    return event({"model": model, "choices": [choice], **more})


# The more often events are alike, the more there is to pass over.
PLAIN = st.builds(lambda text, model: chunk(text, model, None, {}), WORDS, MODELS)
CHAT = st.lists(
    PLAIN
    | PLAIN
    | PLAIN
    | st.builds(
        chunk,
        WORDS,
        MODELS,
        st.sampled_from([None, "stop"]),
        st.just({"usage": None})
        | st.builds(lambda usage: {"usage": usage}, USAGE)
        | st.builds(lambda text: {"error": {"text": text}}, WORDS)
        | st.builds(lambda text: {"obfuscation": text}, WORDS),
    )
    | st.sampled_from([DONE, b": ping\n\n"]),
    min_size=3,
    max_size=14,
)
RESPONSES = st.lists(
    st.builds(
        lambda text, place: event(
            {"type": "response.output_text.delta", "delta": text, "sequence_number": place}
        ),
        WORDS,
        st.integers(0, 99),
    )
    | st.builds(
        lambda kind, model, usage: event(
            {"type": kind, "response": {"model": model, "usage": usage}}
        ),
        st.sampled_from(["response.created", "response.completed", "response.failed"]),
        MODELS,
        USAGE | st.none(),
    )
    | st.builds(lambda text: event({"type": "error", "message": text}), WORDS),
    max_size=14,
)
MESSAGES = st.lists(
    st.builds(
        lambda kind, text: event(
            {"type": "content_block_delta", "index": 0, "delta": {"type": kind, "text": text}}
        ),
        st.sampled_from(["text_delta", "thinking_delta"]),
        WORDS,
    )
    | st.builds(
        lambda kind, count: event({"type": kind, "usage": {"output_tokens": count}}),
        st.sampled_from(["message_start", "message_delta", "message_stop", "ping"]),
        st.integers(0, 2),
    )
    | st.builds(lambda text: event({"type": "error", "error": {"text": text}}), WORDS),
    max_size=14,
)
CONTENT = st.lists(
    st.builds(
        lambda text, usage, finish: event(
            {
                "candidates": [{"content": {"parts": [{"text": text}]}, "finishReason": finish}],
                "usageMetadata": usage,
            }
        ),
        WORDS,
        st.none() | st.builds(lambda count: {"promptTokenCount": count}, st.integers(0, 2)),
        st.sampled_from([None, None, "STOP"]),
    ),
    max_size=14,
)
STREAMS: list[tuple[WireFormat, Endpoint, st.SearchStrategy[list[bytes]]]] = [
    (openai.OpenAIFormat(), openai.CHAT, CHAT),
    (openai.OpenAIFormat(), openai.RESPONSES, RESPONSES),
    (anthropic.AnthropicFormat(), anthropic.MESSAGES, MESSAGES),
    (gemini.GeminiFormat(), gemini.STREAM, CONTENT),
]


def found_in(meter: Meter, stream: bytes, cut: int) -> tuple[Reading, str, int]:
    meter.feed(stream[:cut])
    meter.feed(stream[cut:])
    reading, said = meter.read(), meter.said()
    return reading, said.text, said.characters


@pytest.mark.parametrize(("wire", "endpoint", "streams"), STREAMS)
@given(data=st.data(), look=st.sampled_from([10, 100, 32_000]), cut=st.integers(0, 500))
def test_batches_bring_what_events_one_by_one_do(
    wire: WireFormat,
    endpoint: Endpoint,
    streams: st.SearchStrategy[list[bytes]],
    data: st.DataObject,
    look: int,
    cut: int,
) -> None:
    stream = b"".join(data.draw(streams))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(meters, "LOOK_BYTES", look)
        patch.setattr(meters, "UNREAD_BYTES", 3 * look)
        in_batches = found_in(wire.meter(endpoint, events=True), stream, cut)
    # With other line ends each event is read by itself.
    one_by_one = stream.replace(b"\n", b"\r\n")
    assert in_batches == found_in(wire.meter(endpoint, events=True), one_by_one, cut)


class Listening:
    """Reads the texts of events, and counts what it is given."""

    def __init__(self) -> None:
        self.taken: list[dict[str, Any]] = []
        self.told: object = None

    def take(self, message: dict[str, Any]) -> None:
        self.taken.append(message)
        self.told = message.get("usage", self.told)

    def say(self, message: dict[str, Any], excerpt: Excerpt) -> None:
        excerpt.add(message["delta"])

    def end(self) -> None:
        pass

    def state(self) -> object:
        return self.told

    def reading(self) -> Reading:
        return Reading()


class TestWhatIsPassedOver:
    def test_events_that_say_nothing_new_are_read_for_their_text_alone(self) -> None:
        reader = Listening()
        meter = EventMeter(reader)
        for number in range(100):
            meter.feed(event({"sequence_number": number, "delta": f"word {number} "}))
        meter.read()
        assert len(reader.taken) == 1
        assert meter.said().text == "".join(f"word {number} " for number in range(100))

    def test_what_is_told_anew_is_read_again(self) -> None:
        reader = Listening()
        meter = EventMeter(reader)
        for usage in (1, 2, 1, 1, 2):
            meter.feed(event({"delta": "a", "usage": usage}))
        meter.read()
        assert [message["usage"] for message in reader.taken] == [1, 2, 1, 1, 2]

    def test_one_that_is_no_json_for_its_words_alone_says_nothing_of_others(self) -> None:
        reader = Listening()
        meter = EventMeter(reader)
        for delta in ("half \ud83d", "a"):
            meter.feed(event({"delta": delta, "usage": 1}))
        meter.read()
        assert reader.told == 1

    def test_text_is_not_kept_unread_without_end(self) -> None:
        meter = EventMeter(Listening())
        long = event({"delta": "word " * 200})
        for _ in range(2000):
            meter.feed(long)
        held = sum(map(len, meter._unread + meter._held))
        assert held <= meters.UNREAD_BYTES + meters.LOOK_BYTES + len(long)
        assert meter.said().characters == 2000 * len("word " * 200)


def test_words_that_look_like_members_are_none() -> None:
    text = r'{"content":"say \"content\":\"x\" and \\","usage":{"prompt_tokens":1}}'
    assert re.sub(meters._TEXTS, b"", text.encode()) == b'{,"usage":{"prompt_tokens":1}}'
