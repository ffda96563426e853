"""Agents that want more of the proxy than their share, or a call that is in no record."""

import asyncio
import gc
import socket
import threading
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from pacabench.proxy import call, serving
from pacabench.proxy.control import ProviderSpec
from pacabench.proxy.formats.parsing import MAX_ERROR
from pacabench.proxy.http import connection
from pacabench.proxy.patience import Patience
from pacabench.proxy.spool import Spool, read_spool
from pacabench.testing import FakeProvider, Reply
from tests.integration.proxy.conftest import REAL_KEY, VIRTUAL_KEY, Bench, OpenBench, spec_for

ASKED = {"model": "m", "messages": []}
MARK = ["mark", 1]
LONG = orjson.dumps({**ASKED, "unknown": [MARK] * 4000})


async def leave_behind(it: Bench, body: bytes) -> None:
    """Ask for something and hang up."""
    _, writer = await asyncio.open_connection("127.0.0.1", it.port)
    writer.write(
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n"
        b"Authorization: Bearer %s\r\n\r\n%s" % (len(body), VIRTUAL_KEY.encode(), body)
    )
    await writer.drain()
    await asyncio.sleep(0.05)
    writer.close()


async def test_who_hangs_up_has_no_more_calls_under_way_than_who_stays(
    open_bench: OpenBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "MAX_CALLS", 2)
    async with (
        FakeProvider(lambda _: Reply(silent=True)) as provider,
        open_bench(spec_for(provider), patience=Patience(drain_s=1)) as it,
    ):
        for _ in range(3):
            await leave_behind(it, orjson.dumps(ASKED))
        assert len(provider.books) == 2
        ends = [record.end for record in await it.settled(3)]
        assert ends == ["denied", "client_gone", "client_gone"]
        await leave_behind(it, orjson.dumps(ASKED))
        assert len(provider.books) == 3


async def test_what_was_read_of_a_request_is_forgotten_when_it_goes_out(
    open_bench: OpenBench,
) -> None:
    asked, over = asyncio.Event(), asyncio.Event()

    async def never_answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(LONG[-20:])
        asked.set()
        await over.wait()
        writer.close()

    server = await asyncio.start_server(never_answers, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    spec = ProviderSpec("openai", "openai", base_url=f"http://127.0.0.1:{port}", api_key=REAL_KEY)
    async with server, open_bench(spec) as it:
        posting = asyncio.create_task(it.post("/chat/completions", LONG))
        async with asyncio.timeout(10):
            await asked.wait()
        # The collector counts what was frozen before, as ours may be, among nothing.
        lists = (known for known in gc.get_objects() if type(known) is list)
        held = sum(known == MARK and known is not MARK for known in lists)
        over.set()
        await posting
    assert held == 0


async def test_long_requests_of_a_lane_are_looked_into_one_after_the_other(
    open_bench: OpenBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    searching, at_once, most = call.searching, 0, 0

    def counting(*of: Any) -> Iterator[None]:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        yield from searching(*of)
        at_once -= 1

    monkeypatch.setattr(call, "searching", counting)
    async with FakeProvider() as provider, open_bench(spec_for(provider)) as it:
        posted = await asyncio.gather(*(it.post("/chat/completions", LONG) for _ in range(5)))
    assert [reply.status for reply in posted] == [200] * 5
    assert most == 1


async def test_a_models_name_that_no_record_can_hold_is_recorded(
    open_bench: OpenBench, tmp_path: object
) -> None:
    path = f"{tmp_path}/calls.spool"
    async with (
        FakeProvider() as provider,
        open_bench(spec_for(provider), spool=Spool(path)) as it,
    ):
        reply = await it.post("/chat/completions", b'{"model":"m\\ud800","messages":[]}')
        assert reply.status == 200
        [record] = await it.settled()
    assert record.model == "m?"
    assert read_spool(path) == [record]


async def test_no_part_of_the_key_is_recorded_where_an_error_is_cut_inside_it(
    open_bench: OpenBench,
) -> None:
    # All of the key but its last character is within what is kept of an error.
    message = "x" * (MAX_ERROR + 1 - len(REAL_KEY)) + REAL_KEY
    replies = iter([Reply(status=500, message=message), Reply()])
    async with (
        FakeProvider(lambda _: next(replies)) as provider,
        open_bench(spec_for(provider), patience=Patience(backoff_s=0.01)) as it,
    ):
        await it.post("/chat/completions", ASKED)
        [record] = await it.settled()
    [failed] = record.failed_tries
    assert failed.error is not None
    assert REAL_KEY[:4] not in failed.error


async def test_who_does_not_read_its_reply_holds_no_provider_for_long(
    open_bench: OpenBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reply is read on without it, so that its usage is known."""
    monkeypatch.setattr(connection, "TAKES_NOTHING_S", 0.2)
    usage = b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4}}\n\n'
    long = b'data: {"choices":[{"delta":{"content":"%s"}}]}\n\n' % (b"x" * 1000)
    reply = Reply(body=long * 12_000 + usage + b"data: [DONE]\n\n")
    body = orjson.dumps({**ASKED, "stream": True, "stream_options": {"include_usage": True}})
    async with FakeProvider(lambda _: reply) as provider, open_bench(spec_for(provider)) as it:
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
            client.connect(("127.0.0.1", it.port))
            client.sendall(
                b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n"
                b"Authorization: Bearer %s\r\n\r\n%s" % (len(body), VIRTUAL_KEY.encode(), body)
            )
            [record] = await it.settled()
    assert record.end == "client_gone"
    assert record.error == "the agent took nothing of its reply for 60 s"
    assert record.usage_source == "provider"
    assert record.usage is not None
    assert record.usage.output_tokens == 4
    assert record.response_bytes == provider.books[0].sent_bytes > 12 * 10**6


DEEP = b'{"model":"m","messages":[],"x":%b1%b,"y":"%b"}'


@pytest.mark.parametrize("longer", [False, True])
async def test_long_requests_are_hashed_and_read_in_a_thread(
    open_bench: OpenBench, monkeypatch: pytest.MonkeyPatch, longer: bool
) -> None:
    read_body, digest = call.read_body, call._digest
    mine, threads = threading.get_ident(), []

    def reading(body: bytes) -> Any:
        threads.append(threading.get_ident())
        return read_body(body)

    def hashing(path: str, body: bytes) -> str:
        threads.append(threading.get_ident())
        return digest(path, body)

    monkeypatch.setattr(call, "read_body", reading)
    monkeypatch.setattr(call, "_digest", hashing)
    body = orjson.dumps({**ASKED, "x": ""})
    body = body[:-2] + b"x" * (1024**2 + longer - len(body)) + body[-2:]
    async with FakeProvider() as provider, open_bench(spec_for(provider)) as it:
        reply = await it.post("/chat/completions", body)
    assert reply.status == 200
    assert provider.books[0].body == body
    assert [ident != mine for ident in threads] == [longer] * 2


async def test_one_that_is_nested_for_ever_ends_no_thread_and_no_process(
    open_bench: OpenBench,
) -> None:
    body = DEEP % (b"[" * 100_000, b"]" * 100_000, b"y" * 2**20)
    async with FakeProvider() as provider, open_bench(spec_for(provider)) as it:
        assert (await it.post("/chat/completions", body)).status == 400
        assert (await it.post("/chat/completions", ASKED)).status == 200


async def test_who_hangs_up_has_no_more_threads_at_work_than_who_stays(
    open_bench: OpenBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_body, at_work, most, go_on = call.read_body, 0, 0, threading.Event()

    def reading(body: bytes) -> Any:
        nonlocal at_work, most
        at_work += 1
        most = max(most, at_work)
        go_on.wait(10)
        at_work -= 1
        return read_body(body)

    monkeypatch.setattr(call, "read_body", reading)
    body = orjson.dumps({**ASKED, "x": "x" * 2**20})
    async with FakeProvider() as provider, open_bench(spec_for(provider)) as it:
        for _ in range(4):
            await leave_behind(it, body)
        await asyncio.sleep(0.1)
        go_on.set()
        ends = [record.end for record in await it.settled(4)]
    assert ends == ["client_gone"] * 4
    assert most == 1
    assert provider.books == []
