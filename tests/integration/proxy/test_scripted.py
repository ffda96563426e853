"""The scripted provider through the gateway, read by the real SDK."""

import time

import openai
import orjson
import pytest

from pacabench.model import Usage
from pacabench.proxy.control import ProviderSpec
from tests.integration.proxy.conftest import OpenBench

RULES = [
    {"match": r"(\d+) times (\d+)", "reply": r"\1 x \2", "cached_tokens": 4},
    {"contains": "slow", "reply": "done", "delay_ms": 150},
    {"contains": "limit", "status": 429, "reply": "too fast"},
    {
        "contains": "priced",
        "reply": "ok",
        "usage": {"prompt_tokens": 1000, "completion_tokens": 500, "reasoning_tokens": 400},
    },
    {"model": "wise", "reply": "wisdom"},
]


def scripted(rules: list | None = None) -> ProviderSpec:
    return ProviderSpec("scripted", "scripted", rules=RULES if rules is None else rules)


def say(text: str) -> dict:
    return {"model": "gpt-x", "messages": [{"role": "user", "content": text}]}


class TestAnswers:
    async def test_a_rule_answers_and_says_that_it_is_scripted(self, open_bench: OpenBench) -> None:
        async with open_bench(scripted()) as it, it.client() as client:
            reply = await client.chat.completions.create(**say("What is 6 times 7?"))
            [record] = await it.settled()
        assert reply.choices[0].message.content == "6 x 7"
        assert reply.model == record.answered_model == "scripted"
        assert record.model == "gpt-x"
        assert record.provider == "scripted"
        # 18 characters asked, 5 answered, four to a token.
        assert record.usage == Usage(1, 4, None, 2, 0)

    async def test_without_a_rule_the_last_user_message_is_echoed(
        self, open_bench: OpenBench
    ) -> None:
        messages = [
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": "first"},
            {"role": "assistant", "content": "yes?"},
            {
                "role": "user",
                "content": [{"type": "text", "text": "sec"}, {"type": "text", "text": "ond"}],
            },
            {"role": "assistant", "content": "go on"},
        ]
        async with open_bench(scripted([])) as it, it.client() as client:
            reply = await client.chat.completions.create(model="m", messages=messages)
        assert reply.choices[0].message.content == "second"
        assert reply.model == "scripted-echo"

    async def test_usage_can_be_set(self, open_bench: OpenBench) -> None:
        async with open_bench(scripted()) as it, it.client() as client:
            await client.chat.completions.create(**say("priced"))
            [record] = await it.settled()
        assert record.usage == Usage(1000, 0, None, 500, 400)

    async def test_a_rule_can_fail(self, open_bench: OpenBench) -> None:
        async with open_bench(scripted()) as it, it.client() as client:
            with pytest.raises(openai.RateLimitError, match="too fast"):
                await client.chat.completions.create(**say("limit"))
            [record] = await it.settled()
        assert record.status == 429
        assert record.is_provider_failure

    async def test_a_rule_can_take_its_time(self, open_bench: OpenBench) -> None:
        async with open_bench(scripted()) as it, it.client() as client:
            begun = time.monotonic()
            await client.chat.completions.create(**say("slow"))
            assert time.monotonic() - begun > 0.14

    async def test_a_rule_can_be_for_one_model(self, open_bench: OpenBench) -> None:
        async with open_bench(scripted()) as it, it.client() as client:
            reply = await client.chat.completions.create(**{**say("hm"), "model": "wise"})
        assert reply.choices[0].message.content == "wisdom"


class TestFormats:
    async def test_streams_read_the_same_as_documents(self, open_bench: OpenBench) -> None:
        text = "  Zwölf Boxkämpfer\n\njagen  Viktor 🥊 "
        async with open_bench(scripted([])) as it, it.client() as client:
            document = await client.chat.completions.create(**say(text))
            stream = await client.chat.completions.create(**say(text), stream=True)
            parts = [chunk.choices[0].delta.content or "" async for chunk in stream]
            response = await client.responses.create(model="m", input=text)
            events = [
                event
                async for event in await client.responses.create(model="m", input=text, stream=True)
            ]
            records = await it.settled(4)
        assert document.choices[0].message.content == text
        assert "".join(parts) == text
        assert response.output_text == text
        assert events[-1].response.output_text == text
        deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
        assert "".join(deltas) == text
        assert [event.sequence_number for event in events] == list(range(len(events)))
        assert len({record.usage for record in records}) == 1

    async def test_include_usage_is_honoured_as_the_real_api_does(
        self, open_bench: OpenBench
    ) -> None:
        async with open_bench(scripted([])) as it, it.client() as client:
            stream = await client.chat.completions.create(
                **say("hello there"), stream=True, stream_options={"include_usage": True}
            )
            chunks = [chunk async for chunk in stream]
        assert [chunk.usage is None for chunk in chunks] == [True] * (len(chunks) - 1) + [False]
        assert chunks[-1].usage.total_tokens == 6

    @pytest.mark.parametrize("encoding", ["float", "base64"])
    async def test_embeddings_depend_on_the_text_alone(
        self, open_bench: OpenBench, encoding: str
    ) -> None:
        async with open_bench(scripted()) as it, it.client() as client:
            reply = await client.embeddings.create(
                model="m", input=["a", "b", "a"], encoding_format=encoding
            )
            short = await client.embeddings.create(model="m", input="a", dimensions=8)
        # The SDK decodes base64 by itself only where it chose it itself.
        first, second, third = (entry.embedding for entry in reply.data)
        assert first == third != second
        assert len(short.data[0].embedding) == 8
        assert sum(x * x for x in short.data[0].embedding) == pytest.approx(1)
        assert reply.usage.prompt_tokens == 3

    async def test_tokenized_input_is_one_input(self, open_bench: OpenBench) -> None:
        async with open_bench(scripted()) as it, it.client() as client:
            reply = await client.embeddings.create(model="m", input=[1, 2, 3])
        assert len(reply.data) == 1
        assert reply.usage.prompt_tokens == 3

    @pytest.mark.parametrize(
        ("path", "body"),
        [
            ("/chat/completions", b"nonsense"),
            ("/responses", b"[]"),
            ("/embeddings", b"{}"),
            ("/embeddings", b'{"input":[]}'),
            ("/embeddings", b'{"input":"a","dimensions":0}'),
            ("/embeddings", b'{"input":"a","dimensions":"8"}'),
        ],
    )
    async def test_what_makes_no_sense_is_a_400(
        self, open_bench: OpenBench, path: str, body: bytes
    ) -> None:
        async with open_bench(scripted()) as it:
            got = await it.post(path, body)
        assert got.status == 400
        assert "message" in orjson.loads(got.content)["error"]
