"""Recorded and replayed through the real gateway: the agent cannot tell, byte by byte."""

import asyncio
import hashlib
import warnings
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import anthropic
import openai
import orjson
import pytest
from conformance import CHAT, ROWS, TEXT, TOKENS, Row, spec_of
from decks import CASE, Deck
from google import genai
from yarl import URL

from pacabench.model import CallRecord, Outcome, new_attempt_id
from pacabench.proxy.control import ProviderSpec
from pacabench.proxy.patience import Patience
from pacabench.testing import FakeProvider, Reply, Request
from tests.integration.proxy.conftest import REAL_KEY, VIRTUAL_KEY, Bench, OpenBench, spec_for

REPLY = Reply(text=TEXT, tokens=TOKENS)
Got = tuple[int, dict[str, str], bytes]
SAME = ("content-type", "content-length", "transfer-encoding", "x-request-id", "retry-after")


async def ask(it: Bench, path: str, body: Any, headers: dict[str, str] | None = None) -> Got:
    sent = {"Authorization": f"Bearer {VIRTUAL_KEY}", "Content-Type": "application/json"}
    async with (
        aiohttp.ClientSession() as session,
        session.post(
            URL(f"http://127.0.0.1:{it.port}{path}", encoded=True),
            data=body if isinstance(body, bytes) else orjson.dumps(body),
            headers=sent | (headers or {}),
        ) as reply,
    ):
        content = await reply.read()
        kept = {name: reply.headers[name] for name in SAME if name in reply.headers}
        return reply.status, kept, content


@pytest.fixture
def deck(tmp_path: Path) -> Deck:
    return Deck(tmp_path / "cassette")


Ask = Callable[[Bench], Awaitable[Any]]


async def record(
    open_bench: OpenBench,
    deck: Deck,
    spec: ProviderSpec,
    ask: Ask,
    *,
    outcome: Outcome = Outcome.PASSED,
    **more: Any,
) -> tuple[Any, list[CallRecord]]:
    with deck.recorder() as recorder:
        tapes = deck.recording(recorder)
        async with open_bench(spec, tapes=tapes, attempt=deck.attempt, **more) as it:
            got = await ask(it)
            await it.gateway.unbind("lane-1")
        await deck.seal(recorder, it.records, outcome)
    return got, it.records


async def replay(
    open_bench: OpenBench, deck: Deck, spec: ProviderSpec, ask: Ask, **more: Any
) -> tuple[Any, Bench]:
    sealed = replace(spec, api_key=None, sealed=True)
    tapes = deck.playing(**more)
    async with open_bench(sealed, tapes=tapes, attempt=new_attempt_id(CASE)) as it:
        got = await ask(it)
        await it.gateway.unbind("lane-1")
    return got, it


def told(record: CallRecord) -> tuple[Any, ...]:
    """What a record says of the call, without times and ids."""
    return (
        record.provider,
        record.endpoint,
        record.model,
        record.answered_model,
        record.status,
        record.end,
        record.error,
        record.stream,
        record.usage,
        record.usage_source,
        record.raw_usage,
        record.response_bytes,
        record.may_be_billed,
    )


@pytest.mark.parametrize("split", [None, 1], ids=["as sent", "byte by byte"])
@pytest.mark.parametrize("row", ROWS, ids=[row.id for row in ROWS])
async def test_every_format_is_replayed_to_the_byte(
    open_bench: OpenBench, deck: Deck, row: Row, split: int | None
) -> None:
    reply = replace(REPLY, usage=row.variant, split_bytes=split)

    async def call(it: Bench) -> Got:
        return await ask(it, row.path, row.body, row.headers)

    async with FakeProvider(lambda _: reply) as provider:
        spec = spec_of(row.kind, provider.origin, REAL_KEY)
        live, [before] = await record(open_bench, deck, spec, call)
    again, it = await replay(open_bench, deck, spec, call)  # the provider is gone
    assert live[0] == again[0] == 200
    assert live[1] == again[1]
    assert hashlib.sha256(live[2]).hexdigest() == hashlib.sha256(again[2]).hexdigest()
    [after] = it.records
    assert told(before) == told(after)
    assert (before.replay, after.replay) == (None, "served")
    assert it.texts == [] or len(it.texts[0].said) == it.texts[0].said_characters
    assert REAL_KEY.encode() not in deck.all_bytes()
    assert VIRTUAL_KEY.encode() not in deck.all_bytes()


async def test_a_stream_that_was_not_asked_for_usage_is_metered_and_the_same(
    open_bench: OpenBench, deck: Deck
) -> None:
    async def call(it: Bench) -> Got:
        return await ask(it, "/v1/chat/completions", CHAT | {"stream": True})

    async with FakeProvider(lambda _: REPLY) as provider:
        live, [before] = await record(open_bench, deck, spec_for(provider), call)
    again, it = await replay(open_bench, deck, spec_for(provider), call)
    assert live == again
    assert b'"prompt_tokens"' not in live[2]
    assert it.records[0].usage == before.usage is not None


async def test_the_real_sdk_gets_the_same_objects(open_bench: OpenBench, deck: Deck) -> None:
    async def call(it: Bench) -> list[Any]:
        async with it.client() as client:
            whole = await client.chat.completions.create(**CHAT)
            stream = await client.chat.completions.create(**CHAT, stream=True)
            return [whole, *[chunk async for chunk in stream]]

    async with FakeProvider(lambda _: REPLY) as provider:
        live, _ = await record(open_bench, deck, spec_for(provider), call)
    again, _ = await replay(open_bench, deck, spec_for(provider), call)
    assert live == again
    assert len(live) > 3


async def by_openai(it: Bench) -> list[Any]:
    async with it.client() as client:
        said = await client.responses.create(model="m-1", input="six")
        events = await client.responses.create(model="m-1", input="six", stream=True)
        found = await client.embeddings.create(model="m-1", input=["six", "seven"])
        return [said, *[event async for event in events], found]


async def by_anthropic(it: Bench) -> list[Any]:
    asked: Any = {"model": "m-1", "max_tokens": 9, "messages": CHAT["messages"]}
    origin = f"http://127.0.0.1:{it.port}"
    async with anthropic.AsyncAnthropic(
        base_url=origin, api_key=VIRTUAL_KEY, max_retries=0
    ) as client:
        whole = await client.messages.create(**asked)
        events = await client.messages.create(**asked, stream=True)
        return [whole, *[event async for event in events]]


async def by_gemini(it: Bench) -> list[Any]:
    with warnings.catch_warnings():
        # The SDK builds on parts of the language that the newest Pythons deprecate.
        warnings.simplefilter("ignore", DeprecationWarning)
        options: Any = {"base_url": f"http://127.0.0.1:{it.port}"}
        client = genai.Client(api_key=VIRTUAL_KEY, http_options=options)
        models = client.aio.models
        whole = await models.generate_content(model="m-1", contents="six")
        chunks = await models.generate_content_stream(model="m-1", contents="six")
        told = [whole, *[chunk async for chunk in chunks]]
        await client.aio.aclose()
        return [(it.text, it.usage_metadata, it.model_version) for it in told]


@pytest.mark.parametrize(
    ("kind", "call"),
    [("openai", by_openai), ("anthropic", by_anthropic), ("gemini", by_gemini)],
)
async def test_each_real_sdk_gets_the_same_objects_whole_and_streamed(
    open_bench: OpenBench, deck: Deck, kind: str, call: Ask
) -> None:
    async with FakeProvider(lambda _: REPLY) as provider:
        row = next(row for row in ROWS if row.kind == kind)
        spec = spec_of(row.kind, provider.origin, REAL_KEY)
        live, before = await record(open_bench, deck, spec, call)
    again, it = await replay(open_bench, deck, spec, call)
    assert live == again
    assert len(live) > 3
    assert [told(record) for record in before] == [told(record) for record in it.records]


async def test_the_same_request_gets_its_answers_in_order_however_others_are_mixed_in(
    open_bench: OpenBench, deck: Deck
) -> None:
    count = 0

    def answer(_: Request) -> Reply:
        nonlocal count
        count += 1
        return Reply(text=f"answer {count}")

    async def text(it: Bench, body: Any) -> str:
        _, _, content = await ask(it, "/v1/chat/completions", body)
        return orjson.loads(content)["choices"][0]["message"]["content"]

    other = CHAT | {"temperature": 0.5}

    async def in_turns(it: Bench) -> list[str]:
        return [await text(it, body) for body in (CHAT, other, CHAT, CHAT, other)]

    async def together(it: Bench) -> list[str]:
        firsts = await asyncio.gather(text(it, other), text(it, CHAT))
        return [*firsts, await text(it, other), await text(it, CHAT), await text(it, CHAT)]

    async with FakeProvider(answer) as provider:
        live, _ = await record(open_bench, deck, spec_for(provider), in_turns)
    assert live == [f"answer {number}" for number in (1, 2, 3, 4, 5)]
    again, _ = await replay(open_bench, deck, spec_for(provider), together)
    assert again == ["answer 2", "answer 1", "answer 5", "answer 3", "answer 4"]


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (CHAT | {"temperature": 0.7}, "call 1 of it differs at /temperature"),
        (CHAT | {"messages": [{"role": "user", "content": "?"}]}, "differs at /messages/0"),
        (CHAT, "recorded 1 times in this case, and is sent once more"),
    ],
)
async def test_a_call_without_a_match_is_refused_once_and_said_to_be_no_fault_of_the_agent(
    open_bench: OpenBench, deck: Deck, body: Any, why: str
) -> None:
    async def one(it: Bench) -> Got:
        return await ask(it, "/v1/chat/completions", CHAT)

    async def two(it: Bench) -> Got:
        await one(it)
        return await ask(it, "/v1/chat/completions", body)

    async with FakeProvider(lambda _: REPLY) as provider:
        await record(open_bench, deck, spec_for(provider), one)
    (status, _, content), it = await replay(open_bench, deck, spec_for(provider), two)
    _, record_ = it.records
    assert status == 424
    assert why in orjson.loads(content)["error"]["message"]
    assert record_.is_provider_failure
    assert not record_.may_be_billed
    assert record_.replay == "unmatched"
    assert why in str(record_.error)


async def test_sdks_do_not_try_again_what_has_no_match(open_bench: OpenBench, deck: Deck) -> None:
    async def call(it: Bench) -> Got:
        return await ask(it, "/v1/chat/completions", CHAT)

    async def by_sdk(it: Bench) -> None:
        async with it.client(max_retries=3) as client:
            with pytest.raises(openai.APIStatusError, match="no recording fits this call"):
                await client.chat.completions.create(model="other", messages=[])

    async with FakeProvider(lambda _: REPLY) as provider:
        await record(open_bench, deck, spec_for(provider), call)
    _, it = await replay(open_bench, deck, spec_for(provider), by_sdk)
    assert len(it.records) == 1


async def test_what_was_tried_again_is_one_exchange_and_needs_no_second_try(
    open_bench: OpenBench, deck: Deck
) -> None:
    replies = [Reply(status=503, text="busy"), Reply(status=429, text="slow"), REPLY]

    async def call(it: Bench) -> Got:
        return await ask(it, "/v1/chat/completions", CHAT)

    patience = Patience(retry_for_s=20, backoff_s=0.01)
    async with FakeProvider(lambda _: replies.pop(0)) as provider:
        live, [before] = await record(
            open_bench, deck, spec_for(provider), call, patience=patience, quiet=False
        )
    assert before.retries == 2
    again, it = await replay(open_bench, deck, spec_for(provider), call)
    assert live == again
    assert it.records[0].retries == 0


@pytest.mark.parametrize("status", [400, 401, 429, 500, 503])
async def test_errors_come_back_as_they_were_and_are_not_tried_again(
    open_bench: OpenBench, deck: Deck, status: int
) -> None:
    async def call(it: Bench) -> Got:
        return await ask(it, "/v1/chat/completions", CHAT)

    async with FakeProvider(lambda _: Reply(status=status, text="no")) as provider:
        live, [before] = await record(open_bench, deck, spec_for(provider), call, quiet=False)
    again, it = await replay(open_bench, deck, spec_for(provider), call)
    assert live == again
    assert live[0] == status
    assert told(before) == told(it.records[0])


async def test_a_provider_that_is_not_there_is_replayed_too(
    open_bench: OpenBench, deck: Deck
) -> None:
    spec = ProviderSpec("openai", "openai", "http://127.0.0.1:9", REAL_KEY)

    async def call(it: Bench) -> Got:
        return await ask(it, "/v1/chat/completions", CHAT)

    live, [before] = await record(open_bench, deck, spec, call)
    again, it = await replay(open_bench, deck, spec, call)
    assert live == again
    assert live[0] == 502
    assert it.records[0].error == before.error


async def test_a_stream_that_broke_off_breaks_off_at_the_same_byte(
    open_bench: OpenBench, deck: Deck
) -> None:
    async def call(it: Bench) -> bytes:
        got = b""
        sent = {"Authorization": f"Bearer {VIRTUAL_KEY}", "Content-Type": "application/json"}
        async with aiohttp.ClientSession() as session:
            try:
                async with session.post(
                    it.base_url + "/chat/completions",
                    data=orjson.dumps(CHAT | {"stream": True}),
                    headers=sent,
                ) as reply:
                    async for chunk in reply.content.iter_any():
                        got += chunk
            except aiohttp.ClientPayloadError:
                return got + b"<broken>"
        return got

    cut = Reply(text="a b c d e f g h", tokens=TOKENS, reset_after=3)
    async with FakeProvider(lambda _: cut) as provider:
        live, [before] = await record(open_bench, deck, spec_for(provider), call)
    again, it = await replay(open_bench, deck, spec_for(provider), call)
    assert live == again
    assert live.endswith(b"<broken>")
    assert told(before) == told(it.records[0])


async def test_an_agent_that_hung_up_is_waited_for_and_then_cut(
    open_bench: OpenBench, deck: Deck, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pacabench.proxy.replay.HOLD_GRACE_S", 0.2)
    endless = Reply(text="x " * 500, tokens=TOKENS, pause_s=0.05)
    body = CHAT | {"stream": True}
    sent = {"Authorization": f"Bearer {VIRTUAL_KEY}", "Content-Type": "application/json"}

    async def leave(it: Bench) -> None:
        async with (
            aiohttp.ClientSession() as session,
            session.post(
                it.base_url + "/chat/completions", data=orjson.dumps(body), headers=sent
            ) as reply,
        ):
            await reply.content.readany()

    async def stay(it: Bench) -> bool:
        async with (
            aiohttp.ClientSession() as session,
            session.post(
                it.base_url + "/chat/completions", data=orjson.dumps(body), headers=sent
            ) as reply,
        ):
            try:
                await reply.read()
            except aiohttp.ClientPayloadError:
                return False
        return True

    patience = Patience(retry_for_s=0, drain_s=0.2)
    async with FakeProvider(lambda _: endless) as provider:
        _, [before] = await record(open_bench, deck, spec_for(provider), leave, patience=patience)
    assert before.end == "client_gone"
    whole, it = await replay(open_bench, deck, spec_for(provider), stay)
    assert not whole
    assert it.records[0].is_provider_failure
    _, it = await replay(open_bench, deck, spec_for(provider), leave)
    assert it.records[0].end == "client_gone"


async def test_the_pace_of_the_recording_is_kept_where_that_is_asked_for(
    open_bench: OpenBench, deck: Deck
) -> None:
    slow = Reply(text="a b c d", tokens=TOKENS, pause_s=0.05)

    async def call(it: Bench) -> Got:
        return await ask(it, "/v1/chat/completions", CHAT | {"stream": True})

    async with FakeProvider(lambda _: slow) as provider:
        live, _ = await record(open_bench, deck, spec_for(provider), call)
    paced, it = await replay(open_bench, deck, spec_for(provider), call, speed=1.0)
    assert live == paced
    # Never earlier than recorded, that is four pauses; how much later is the machine's doing.
    assert it.records[0].duration_ms >= 4 * 50


async def test_other_pointers_than_at_the_recording_hold_at_the_replay(
    open_bench: OpenBench, deck: Deck
) -> None:
    async def call(it: Bench) -> Got:
        return await ask(it, "/v1/chat/completions", CHAT | {"user": "one"})

    async def other(it: Bench) -> Got:
        return await ask(it, "/v1/chat/completions", CHAT | {"user": "two"})

    async with FakeProvider(lambda _: REPLY) as provider:
        live, _ = await record(open_bench, deck, spec_for(provider), call)
    again, _ = await replay(open_bench, deck, spec_for(provider), other)
    assert again[0] == 424
    again, _ = await replay(open_bench, deck, spec_for(provider), other, ignore=["/user"])
    assert again == live


async def test_keys_are_taken_out_of_bodies_and_frames_wherever_they_are_cut(
    open_bench: OpenBench, deck: Deck
) -> None:
    echo = Reply(text=f"your key is {REAL_KEY}, mine {VIRTUAL_KEY}.", split_bytes=1)
    body = CHAT | {"user": VIRTUAL_KEY, "stream": True}

    async def call(it: Bench) -> Got:
        return await ask(it, f"/v1/chat/completions?key={VIRTUAL_KEY}", body)

    async with FakeProvider(lambda _: echo) as provider:
        live, [before] = await record(open_bench, deck, spec_for(provider), call)
    content = deck.all_bytes()
    assert REAL_KEY.encode() not in content
    assert VIRTUAL_KEY.encode() not in content
    assert b"[key]" in content
    again, it = await replay(open_bench, deck, spec_for(provider), call)
    assert len(again[2]) == len(live[2])
    assert it.records[0].usage == before.usage


async def test_what_is_too_long_is_left_out_and_counted_and_the_agent_sees_nothing_of_it(
    open_bench: OpenBench, deck: Deck
) -> None:
    with deck.recorder() as recorder:
        tapes = deck.recording(recorder, most_bytes=500)
        async with (
            FakeProvider(lambda _: Reply(text="x" * 400)) as provider,
            open_bench(spec_for(provider), tapes=tapes, attempt=deck.attempt) as it,
        ):
            status, _, content = await ask(it, "/v1/chat/completions", CHAT)
            await it.gateway.unbind("lane-1")
        assert (status, b"x" * 400 in content) == (200, True)
        await deck.seal(recorder, it.records)
        assert recorder.shelf.missing == 1
    assert deck.left_out == [(it.records[0].call_id, "it is longer than 0 MiB")]
