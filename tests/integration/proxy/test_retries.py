"""What the proxy tries again, how it waits, and that every try is on record exactly once."""

import asyncio
import gzip
import time
from collections.abc import Callable
from dataclasses import replace
from email.utils import formatdate

import openai
import pytest

from pacabench.model import CallRecord, Usage
from pacabench.proxy.control import ProviderSpec
from pacabench.proxy.patience import Patience
from pacabench.testing import FakeProvider, Reply, Tokens
from tests.integration.proxy.conftest import (
    ATTEMPT,
    REAL_KEY,
    VIRTUAL_KEY,
    Bench,
    OpenBench,
    spec_for,
)

ASKED = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
STREAMED = ASKED | {"stream": True}
PATIENT = Patience(retry_for_s=20, backoff_s=0.01, backoff_cap_s=0.05, probe_s=0.02)
GOOD = Reply(text="at last", tokens=Tokens(prompt=9, completion=3))
SPENT = b'{"error":{"code":"insufficient_quota"}}'
LIMITED = Reply(status=429, message="slow down")
BROKEN = Reply(status=503, message="overloaded")


def playing(*replies: Reply) -> Callable[[dict], Reply]:
    """Those replies in order; then good ones."""
    left = list(replies)
    return lambda _: left.pop(0) if left else GOOD


async def wait_for(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - plain state has no event
            await asyncio.sleep(0.005)


def statuses(record: CallRecord) -> list[int | None]:
    return [entry.status for entry in record.failed_tries] + [record.status]


class TestTriedAgain:
    @pytest.mark.parametrize("body", [ASKED, STREAMED], ids=["document", "stream"])
    @pytest.mark.parametrize(
        ("failures", "seen"),
        [
            ([LIMITED], [429, 200]),
            ([BROKEN, LIMITED, Reply(status=500)], [503, 429, 500, 200]),
            ([Reply(reset_after=0), Reply(status=529)], [None, 529, 200]),
            ([replace(BROKEN, headers={"x-should-retry": "true"})], [503, 200]),
        ],
        ids=["429", "several", "reset", "told"],
    )
    async def test_the_agent_sees_the_answer_and_the_record_sees_it_all(
        self, open_bench: OpenBench, failures: list[Reply], seen: list[int | None], body: dict
    ) -> None:
        async with (
            FakeProvider(playing(*failures)) as provider,
            open_bench(spec_for(provider), patience=PATIENT, quiet=False) as it,
        ):
            got = await it.post("/chat/completions", body)
            [record] = await it.settled()
        assert got.status == 200
        assert b"at last" in got.content or b" last" in got.content
        assert statuses(record) == seen
        assert (record.end, record.retries) == ("complete", len(failures))
        assert record.usage == Usage(9, 0, None, 3, 0)
        assert len(provider.books) == len(seen)
        assert provider.totals() == Tokens(prompt=9, completion=3)
        assert record.waited_ms >= sum(entry.wait_ms for entry in record.failed_tries) > 0
        assert all(entry.error for entry in record.failed_tries)
        assert record.error is None

    async def test_a_provider_that_is_not_there_yet_is_waited_for(
        self, open_bench: OpenBench, silent_port: int
    ) -> None:
        spec = ProviderSpec("openai", "openai", f"http://127.0.0.1:{silent_port}/v1", REAL_KEY)
        async with open_bench(spec, patience=PATIENT) as it:
            posting = asyncio.create_task(it.post("/chat/completions", ASKED))
            await asyncio.sleep(0.15)
            async with FakeProvider(playing(), port=silent_port) as provider:
                assert (await posting).status == 200
                [record] = await it.settled()
        assert [entry.status for entry in record.failed_tries] == [None] * record.retries
        assert record.retries
        assert "cannot be reached" in record.failed_tries[0].error
        assert provider.totals() == Tokens(prompt=9, completion=3)

    async def test_with_and_without_the_usage_option(self, open_bench: OpenBench) -> None:
        replies = [LIMITED, replace(GOOD, refuses_usage_option=True), BROKEN]
        async with (
            FakeProvider(playing(*replies)) as provider,
            open_bench(spec_for(provider), patience=PATIENT, quiet=False) as it,
        ):
            assert (await it.post("/chat/completions", STREAMED)).status == 200
            [record] = await it.settled()
        assert statuses(record) == [429, 503, 200]
        assert record.retries == 3
        assert [b"stream_options" in entry.body for entry in provider.books] == [
            True,
            True,
            False,
            False,
        ]

    @pytest.mark.parametrize("form", ["seconds", "milliseconds", "date"])
    async def test_the_provider_says_when(self, open_bench: OpenBench, form: str) -> None:
        now = time.time()
        headers = {
            "seconds": {"Retry-After": "1"},
            "milliseconds": {"retry-after-ms": "1000", "Retry-After": "50"},
            "date": {"Retry-After": formatdate(now + 1, usegmt=True), "Date": formatdate(now)},
        }[form]
        async with (
            FakeProvider(playing(replace(LIMITED, headers=headers))) as provider,
            open_bench(spec_for(provider), patience=PATIENT, quiet=False) as it,
        ):
            assert (await it.post("/chat/completions", ASKED)).status == 200
            [record] = await it.settled()
        [failed] = record.failed_tries
        assert 990 <= failed.wait_ms < 10_000
        assert "quiet for 1 s" in it.notices[0]
        assert len(provider.books) == 2


class TestPassedOn:
    async def test_when_patience_ends_the_agent_gets_the_last_answer_as_it_came(
        self, open_bench: OpenBench
    ) -> None:
        body = b'{"error":  {"message": "still overloaded"}}'
        answers = playing(BROKEN, *[Reply(status=503, body=body)] * 100)
        patience = replace(PATIENT, retry_for_s=0.2, trip_after=1000)
        async with (
            FakeProvider(answers) as provider,
            open_bench(spec_for(provider), patience=patience) as it,
        ):
            got = await it.post("/chat/completions", ASKED)
            [record] = await it.settled()
        assert (got.status, got.content) == (503, body)
        assert (record.end, record.status, record.error) == ("complete", 503, "still overloaded")
        assert record.is_provider_failure
        assert not record.may_be_billed
        assert record.retries == len(record.failed_tries) == len(provider.books) - 1 > 1

    async def test_when_it_was_never_reached_that_is_a_502(self, open_bench: OpenBench) -> None:
        spec = ProviderSpec("openai", "openai", "http://127.0.0.1:1/v1", REAL_KEY)
        patience = replace(PATIENT, retry_for_s=0.1)
        async with open_bench(spec, patience=patience) as it:
            got = await it.post("/chat/completions", ASKED)
            [record] = await it.settled()
        assert got.status == 502
        assert (record.end, record.status, record.sent) == ("upstream_error", None, True)
        assert not record.may_be_billed

    @pytest.mark.parametrize(
        "reply",
        [
            Reply(status=400),
            Reply(status=401),
            Reply(status=429, message="x", body=SPENT),
            replace(BROKEN, headers={"x-should-retry": "false"}),
            replace(LIMITED, headers={"Retry-After": "86400"}),
            replace(LIMITED, headers={"Retry-After": "9" * 400}),
            Reply(status=503, body=b"x" * 1_500_000),
            Reply(status=429, body=gzip.compress(SPENT), headers={"Content-Encoding": "gzip"}),
        ],
        ids=["400", "401", "quota", "told", "tomorrow", "never", "long", "quota in gzip"],
    )
    async def test_what_no_repetition_mends_goes_to_the_agent_at_once(
        self, open_bench: OpenBench, reply: Reply
    ) -> None:
        async with (
            FakeProvider(playing(reply)) as provider,
            open_bench(spec_for(provider), patience=PATIENT, quiet=False) as it,
        ):
            got = await it.post("/chat/completions", ASKED)
            [record] = await it.settled()
        assert got.status == record.status == reply.status
        assert (record.failed_tries, record.retries, len(provider.books)) == ((), 0, 1)

    @pytest.mark.parametrize(
        ("reply", "status"),
        [
            (Reply(text="one two three", reset_after=2), 200),
            (
                Reply(
                    body=b'data: {"error": {"message": "overloaded"}}\n\n',
                    content_type="text/event-stream",
                ),
                200,
            ),
        ],
        ids=["reset", "error event"],
    )
    async def test_after_the_first_byte_nothing_is_tried_again(
        self, open_bench: OpenBench, reply: Reply, status: int
    ) -> None:
        async with (
            FakeProvider(playing(reply)) as provider,
            open_bench(spec_for(provider), patience=PATIENT) as it,
            it.client() as client,
        ):
            stream = await client.chat.completions.create(**STREAMED)
            with pytest.raises(openai.APIError):
                async for _ in stream:
                    pass
            [record] = await it.settled()
        assert (record.end, record.status) == ("upstream_error", status)
        assert record.is_provider_failure
        assert record.retries == 0
        assert len(provider.books) == 1

    async def test_silence_is_not_asked_again(self, open_bench: OpenBench) -> None:
        """It may be at work on it still, and would bill twice."""
        patience = replace(PATIENT, silence_s=0.2)
        async with (
            FakeProvider(playing(Reply(silent=True))) as provider,
            open_bench(spec_for(provider), patience=patience) as it,
        ):
            assert (await it.post("/chat/completions", ASKED)).status == 502
            [record] = await it.settled()
        assert record.end == "upstream_error"
        assert len(provider.books) == 1

    async def test_silence_inside_a_stream_has_an_end_too(self, open_bench: OpenBench) -> None:
        patience = replace(PATIENT, silence_s=0.3)
        reply = Reply(text="one two three", pause_s=60)
        async with (
            FakeProvider(playing(reply)) as provider,
            open_bench(spec_for(provider), patience=patience) as it,
            it.client() as client,
        ):
            stream = await client.chat.completions.create(**STREAMED)
            with pytest.raises(openai.APIConnectionError):
                async for _ in stream:
                    pass
            [record] = await it.settled()
        assert (record.end, record.status) == ("upstream_error", 200)
        assert "silent" in record.error
        assert record.usage is None
        assert record.may_be_billed


class TestGone:
    """The agent hangs up while its call waits: the wait ends, and the provider is to blame."""

    async def test_between_two_tries(self, open_bench: OpenBench) -> None:
        patience = replace(PATIENT, backoff_s=60, backoff_cap_s=60, retry_for_s=600)
        async with (
            FakeProvider(playing(BROKEN)) as provider,
            open_bench(spec_for(provider), patience=patience) as it,
        ):
            posting = asyncio.create_task(it.post("/chat/completions", ASKED))
            await wait_for(lambda: bool(provider.books))
            await asyncio.sleep(0.1)
            posting.cancel()
            [record] = await it.settled()
        assert (record.end, record.status, record.retries) == ("upstream_error", 503, 0)
        assert record.is_provider_failure
        assert not record.may_be_billed
        assert "left while its call waited: HTTP status 503: overloaded" in record.error
        assert record.duration_ms < 10_000

    async def test_before_its_first_try(self, open_bench: OpenBench) -> None:
        limited = replace(LIMITED, headers={"Retry-After": "60"})
        async with (
            FakeProvider(playing(limited)) as provider,
            open_bench(spec_for(provider), patience=PATIENT, quiet=False) as it,
        ):
            await it.post("/chat/completions", ASKED)  # the wait is too long: passed on
            posting = asyncio.create_task(it.post("/chat/completions", ASKED))
            await asyncio.sleep(0.1)
            posting.cancel()
            _, record = await it.settled(2)
        assert (record.end, record.status, record.sent) == ("upstream_error", None, False)
        assert not record.may_be_billed
        assert record.is_provider_failure
        assert "429" in record.error
        assert len(provider.books) == 1

    async def test_when_its_attempt_is_over(self, open_bench: OpenBench) -> None:
        patience = replace(PATIENT, backoff_s=60, backoff_cap_s=60, retry_for_s=600)
        async with (
            FakeProvider(playing(BROKEN)) as provider,
            open_bench(spec_for(provider), patience=patience) as it,
        ):
            posting = asyncio.create_task(it.post("/chat/completions", ASKED))
            await wait_for(lambda: bool(provider.books))
            await asyncio.sleep(0.1)
            await it.gateway.unbind("lane-1", grace_s=0.05)
            [record] = it.records
            with pytest.raises(Exception, match="Server disconnected"):
                await posting
        assert (record.end, record.status) == ("upstream_error", 503)
        assert record.is_provider_failure

    async def test_one_that_left_inside_its_request_cannot_be_billed(
        self, open_bench: OpenBench
    ) -> None:
        async with FakeProvider() as provider, open_bench(spec_for(provider)) as it:
            _, writer = await asyncio.open_connection("127.0.0.1", it.port)
            writer.write(
                b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n"
                b"Authorization: Bearer " + VIRTUAL_KEY.encode() + b"\r\n\r\n{"
            )
            await writer.drain()
            await asyncio.sleep(0.05)
            writer.transport.abort()
            [record] = await it.settled()
        assert (record.end, record.sent) == ("client_gone", False)
        assert not record.may_be_billed
        assert provider.books == []


class TestSdkRetries:
    async def test_an_sdk_that_repeats_a_call_it_gave_up_says_which(
        self, open_bench: OpenBench
    ) -> None:
        """Both were billed, and both are in the books; they are one question all the same."""
        slow = replace(GOOD, delay_s=1.0)
        async with (
            FakeProvider(playing(slow)) as provider,
            open_bench(spec_for(provider), patience=PATIENT) as it,
            it.client(max_retries=1, timeout=0.4) as client,
        ):
            await client.chat.completions.create(**ASKED)
            second, first = await it.settled(2)
        assert first.end == "client_gone"
        assert (first.repeat_of, second.repeat_of) == (None, first.call_id)
        counted = [record.usage.output_tokens for record in it.records if record.may_be_billed]
        assert sum(counted) == provider.totals().completion == 6

    async def test_an_idempotency_key_reaches_the_provider(self, open_bench: OpenBench) -> None:
        async with FakeProvider() as provider, open_bench(spec_for(provider)) as it:
            for _ in range(2):
                await it.post("/chat/completions", ASKED, {"Idempotency-Key": "k-1"})
            first, second = await it.settled(2)
        assert [entry.headers["idempotency-key"] for entry in provider.books] == ["k-1", "k-1"]
        assert second.repeat_of == first.call_id

    async def test_the_same_question_twice_is_two_questions(self, open_bench: OpenBench) -> None:
        async with FakeProvider() as provider, open_bench(spec_for(provider)) as it:
            for _ in range(2):
                await it.post("/chat/completions", ASKED)
            records = await it.settled(2)
        assert [record.repeat_of for record in records] == [None, None]


class TestLimit:
    async def test_a_provider_that_takes_four_at_a_time_gets_no_more_and_nobody_fails(
        self, open_bench: OpenBench
    ) -> None:
        provider = CrowdedProvider(most=4)
        async with (
            provider,
            open_bench(spec_for(provider), patience=PATIENT, quiet=False) as it,
        ):
            got = await asyncio.gather(*(it.post("/chat/completions", ASKED) for _ in range(40)))
            records = await it.settled(40)
        assert {reply.status for reply in got} == {200}
        refused = sum(entry.status == 429 for entry in provider.books)
        assert refused == sum(len(record.failed_tries) for record in records) > 0
        assert sum(record.usage.output_tokens for record in records) == provider.totals().completion
        assert provider.totals().completion == 40 * 3
        assert it.notices[0].startswith("provider openai: rate limited (429); at most ")

    async def test_two_names_of_one_server_and_key_share_it(self, open_bench: OpenBench) -> None:
        limited = replace(LIMITED, headers={"Retry-After": "1"})
        async with FakeProvider(playing(limited)) as provider:
            specs = [spec_for(provider), replace(spec_for(provider), name="other")]
            async with open_bench(*specs, patience=PATIENT, quiet=False) as it:
                first = asyncio.create_task(it.post("/chat/completions", ASKED))
                await wait_for(lambda: bool(it.notices))
                began = time.monotonic()
                await post_to(it, "other")
                assert time.monotonic() - began > 0.7
                await first


class TestOutage:
    async def test_calls_are_held_until_the_provider_answers_again(
        self, open_bench: OpenBench
    ) -> None:
        provider = FakeProvider(lambda _: BROKEN)
        async with provider, open_bench(spec_for(provider), patience=PATIENT) as it:
            posting = [asyncio.create_task(it.post("/chat/completions", ASKED)) for _ in range(8)]
            await wait_for(lambda: bool(it.health))
            asked = len(provider.books)
            await asyncio.sleep(0.3)
            assert len(provider.books) - asked < 12  # one at a time, ever more slowly
            provider.answer = lambda _: GOOD
            got = await asyncio.gather(*posting)
            records = await it.settled(8)
        assert {reply.status for reply in got} == {200}
        assert it.health == [
            ("openai", "down", "HTTP status 503: overloaded"),
            ("openai", "up", ""),
        ]
        assert sum(map(len, map(statuses, records))) == len(provider.books)
        assert {record.end for record in records} == {"complete"}

    @pytest.mark.parametrize("listing", [200, 404, 500, 501])
    async def test_with_no_call_to_try_the_list_of_models_is_asked_for(
        self, open_bench: OpenBench, silent_port: int, listing: int
    ) -> None:
        """Who answers is there: many a gateway has no list of models, and serves calls."""

        def answer(asked: dict) -> Reply:
            return GOOD if "messages" in asked else Reply(status=listing)

        spec = ProviderSpec("openai", "openai", f"http://127.0.0.1:{silent_port}/v1", REAL_KEY)
        patience = replace(PATIENT, retry_for_s=0.05, trip_after=2)
        async with open_bench(spec, patience=patience) as it:
            for _ in range(2):
                await it.post("/chat/completions", ASKED)
            await wait_for(lambda: bool(it.health))
            async with FakeProvider(answer, port=silent_port) as provider:
                await wait_for(lambda: it.health[-1][1] == "trying")
                assert (await it.post("/chat/completions", ASKED)).status == 200
                await wait_for(lambda: it.health[-1][1] == "up")
                assert provider.books[0].target == "/v1/models"
                assert provider.books[0].key == REAL_KEY
        assert [state for _, state, _ in it.health] == ["down", "trying", "up"]
        assert len(it.records) == 3


class TestWaits:
    async def test_time_in_which_calls_are_under_way_counts_once(
        self, open_bench: OpenBench
    ) -> None:
        reply = replace(GOOD, delay_s=0.3)
        async with (
            FakeProvider(lambda _: reply) as provider,
            open_bench(spec_for(provider), live_waits=True) as it,
        ):
            await asyncio.gather(*(it.post("/chat/completions", ASKED) for _ in range(3)))
            await asyncio.sleep(0.2)
            await it.post("/chat/completions", ASKED)
            await it.gateway.unbind("lane-1")
        assert {attempt for attempt, _, _ in it.waits} == {ATTEMPT}
        changes = [waiting for _, waiting, _ in it.waits]
        assert changes == [True, False, True, False, False]
        longest = sum(sorted(record.duration_ms for record in it.records)[-2:])
        assert 590 <= it.waits[-1][2] <= longest + 300

    async def test_only_the_sum_is_told_unless_more_is_asked_for(
        self, open_bench: OpenBench
    ) -> None:
        async with (
            FakeProvider(playing(BROKEN)) as provider,
            open_bench(spec_for(provider), patience=replace(PATIENT, backoff_s=0.2)) as it,
        ):
            await it.post("/chat/completions", ASKED)
            await it.gateway.unbind("lane-1")
        [(attempt, waiting, total_ms)] = it.waits
        assert (attempt, waiting) == (ATTEMPT, False)
        assert total_ms >= it.records[0].failed_tries[0].wait_ms

    async def test_a_call_that_goes_on_without_its_client_is_nobodys_wait(
        self, open_bench: OpenBench
    ) -> None:
        reply = Reply(delay_s=1.0)
        async with (
            FakeProvider(lambda _: reply) as provider,
            open_bench(spec_for(provider), live_waits=True) as it,
        ):
            posting = asyncio.create_task(it.post("/chat/completions", ASKED))
            await wait_for(lambda: bool(provider.books))
            posting.cancel()
            await wait_for(lambda: len(it.waits) == 2)
            assert not it.records
            await it.settled()
        assert it.waits[1][2] < 900


class CrowdedProvider(FakeProvider):
    """Answers 429 to whoever comes while it serves ``most`` others."""

    def __init__(self, most: int) -> None:
        super().__init__(lambda _: replace(GOOD, delay_s=0.03))
        self._most = most
        self._serving = 0

    async def _reply(self, request, entry, reply, operation, asked):  # noqa: ANN001, ANN202
        if self._serving >= self._most:
            return await super()._reply(request, entry, LIMITED, operation, asked)
        self._serving += 1
        try:
            return await super()._reply(request, entry, reply, operation, asked)
        finally:
            self._serving -= 1


async def post_to(bench: Bench, name: str) -> None:
    plain = Bench()
    plain.port = bench.port
    plain.path = f"/{name}/v1"
    reply = await plain.post("/chat/completions", ASKED)
    assert reply.status == 200
