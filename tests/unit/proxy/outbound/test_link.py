"""One connection to a provider, fed by hand: whatever comes, cut anywhere, means the same."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacabench.proxy.outbound.answer import Answer
from pacabench.proxy.outbound.link import (
    HELD_BYTES,
    MAX_FRAMING_BYTES,
    MAX_HEAD_BYTES,
    MAX_HEADERS,
    PIECE_BYTES,
    Link,
    LinkLostError,
)
from pacabench.proxy.upstream import (
    UpstreamError,
    UpstreamSilentError,
    UpstreamUnreadableError,
)

PATIENT_S = 600.0
HEAD = b"HTTP/1.1 200 OK\r\n"
READ_BYTES = 256 * 1024
"""What asyncio reads at once."""


class Wire(asyncio.Transport):
    """The other end as far as a link sees it."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.is_aborted = False
        self.is_paused = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written.append(bytes(data))

    def abort(self) -> None:
        self.is_aborted = True

    def pause_reading(self) -> None:
        self.is_paused = True

    def resume_reading(self) -> None:
        self.is_paused = False


def linked(silence_s: float = PATIENT_S) -> tuple[Link, Wire]:
    wire, link = Wire(), Link(silence_s, lambda _: None, memoryview(bytearray(1024)))
    link.connection_made(wire)
    return link, wire


async def asked(*reads: bytes, end: bool = False) -> tuple[Link, Wire, Answer]:
    """A link that was asked, after ``reads``."""
    link, wire = linked()
    answer = link.ask(b"GET / HTTP/1.1\r\n\r\n", b"")
    for data in reads:
        link.data_received(data)
    if end:
        link.eof_received()
        link.connection_lost(None)
    return link, wire, answer


async def body_of(answer: Answer) -> bytes:
    return b"".join([chunk async for chunk in answer])


async def read_so_far(answer: Answer) -> bytes:
    """All that there is, where it ends with a problem."""
    parts = []
    with contextlib.suppress(UpstreamError):
        async for chunk in answer:
            parts.append(chunk)  # noqa: PERF401 - what came before the problem counts
    return b"".join(parts)


def run(work: Awaitable[None]) -> None:
    async def within() -> None:
        async with asyncio.timeout(20):
            await work

    asyncio.run(within())


@dataclass(frozen=True)
class Written:
    """A reply as it is written, and what it says."""

    raw: bytes
    body: bytes
    headers: Sequence[tuple[str, str]]
    until_close: bool


NAMES = st.from_regex(r"[A-Za-z][A-Za-z0-9-]{0,12}", fullmatch=True).map("X-{}".format)
VALUES = st.from_regex(r"[!-~]([ -~]{0,20}[!-~])?", fullmatch=True) | st.just("")
INTERIM = st.sampled_from(
    [b"", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 E\r\nLink: a\r\n\r\n"]
)


@st.composite
def replies(draw: st.DrawFn) -> Written:
    pieces = draw(st.lists(st.binary(min_size=1, max_size=40), max_size=6))
    headers = draw(st.lists(st.tuples(NAMES, VALUES), max_size=5))
    framing = draw(st.sampled_from(["length", "chunks", "end"]))
    body = b"".join(pieces)
    shown, sent = list(headers), body
    if framing == "length":
        shown.append(("Content-Length", str(len(body))))
    elif framing == "chunks":
        shown.append(("transfer-encoding", "Chunked"))
        beside = draw(st.sampled_from([b"", b";a=b", b"  "]))
        trailer = draw(st.sampled_from([b"", b"X-T: 1\r\nX-U: 2\r\n"]))
        chunks = [b"%x%s\r\n%s\r\n" % (len(piece), beside, piece) for piece in pieces]
        sent = b"".join((*chunks, b"0\r\n", trailer, b"\r\n"))
    lines = "".join(f"{name}: {value}\r\n" for name, value in shown)
    raw = draw(INTERIM) + HEAD + lines.encode() + b"\r\n" + sent
    return Written(raw, body, shown, framing == "end")


def cut(raw: bytes, places: Sequence[int]) -> list[bytes]:
    at = sorted({place % len(raw) for place in places} - {0})
    return [raw[a:b] for a, b in zip([0, *at], [*at, len(raw)], strict=True)]


class TestReplies:
    @given(replies(), st.lists(st.integers(0, 10_000), max_size=12) | st.just(range(10_000)))
    def test_a_reply_cut_anywhere_is_the_same_reply(
        self, it: Written, places: Sequence[int]
    ) -> None:
        async def work() -> None:
            link, wire, answer = await asked(*cut(it.raw, places), end=it.until_close)
            await answer.begun()
            assert answer.status == 200
            assert list(answer.headers.items()) == list(it.headers)
            assert await body_of(answer) == it.body
            assert answer.ended
            assert link.let_go() is not it.until_close
            assert wire.is_aborted is it.until_close

        run(work())

    @given(replies(), st.integers(0, 10_000), st.booleans())
    def test_a_reply_that_ends_early_is_not_whole(
        self, it: Written, place: int, reset: bool
    ) -> None:
        async def work() -> None:
            so_far = it.raw[: place % len(it.raw)]
            link, _, answer = await asked(so_far)
            link.connection_lost(ConnectionResetError("reset") if reset else None)
            got = await read_so_far(answer)
            assert it.body.startswith(got)
            if answer.status and it.until_close and not reset:
                assert answer.ended
                return
            assert not answer.ended
            assert "broke off" in str(answer.problem)
            assert isinstance(answer.problem, LinkLostError) is not bool(so_far)
            assert not link.let_go()

        run(work())

    @pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
    async def test_some_have_no_body_whatever_they_say(self, status: bytes) -> None:
        raw = b"HTTP/1.1 " + status + b"\r\nContent-Length: 5\r\n\r\n"
        link, _, answer = await asked(raw if b"304" in status else raw.replace(b"5", b"0"))
        assert await body_of(answer) == b""
        assert link.let_go()

    async def test_what_one_read_brought_is_handed_on_as_one_and_what_two_brought_as_two(
        self,
    ) -> None:
        link, _, answer = await asked(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        link.data_received(b"1\r\na\r\n1\r\nb\r\n")
        assert await anext(answer) == b"ab"
        link.data_received(b"1\r\nc\r\n")
        assert await anext(answer) == b"c"
        link.data_received(b"0\r\n\r\n")
        assert await body_of(answer) == b""

    async def test_line_ends_of_servers_on_a_desk(self) -> None:
        _, _, answer = await asked(b"HTTP/1.1 200 OK\nContent-Length: 1\n\na")
        assert await body_of(answer) == b"a"

    async def test_a_further_request_on_the_same_connection(self) -> None:
        link, wire, answer = await asked(HEAD + b"A: 1\r\nContent-Length: 1\r\n\r\na")
        assert await body_of(answer) == b"a"
        assert link.let_go()
        again = link.ask(b"POST /", b" HTTP/1.1")
        assert wire.written[-1] == b"POST / HTTP/1.1"
        link.data_received(HEAD + b"B: 2\r\nContent-Length: 1\r\n\r\nb")
        assert (list(again.headers), await body_of(again)) == (["B", "Content-Length"], b"b")

    @pytest.mark.parametrize(
        "reply",
        [
            HEAD + b"Connection: close\r\nContent-Length: 1\r\n\r\na",
            HEAD + b"Connection: close\r\nContent-Length: 1\r\n\r\nab",
            b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\na",
            HEAD + b"Content-Length: 1\r\n\r\na" + HEAD,
            HEAD + b"Content-Length: 1\r\n\r\naHTT",
            HEAD + b"Content-Length: 1\r\n\r\nagarbage",
            HEAD + b"Content-Length: 1\r\n\r\na" + HEAD + b"Content-Length: 1\r\n\r\nb",
        ],
    )
    async def test_no_further_one_where_it_closes_or_says_more_than_it_was_asked(
        self, reply: bytes
    ) -> None:
        link, wire, answer = await asked(reply)
        assert await body_of(answer) == b"a"
        assert not link.let_go()
        assert wire.is_aborted

    async def test_who_speaks_without_being_asked_is_hung_up_on(self) -> None:
        link, wire, answer = await asked(HEAD + b"Content-Length: 0\r\n\r\n")
        assert link.let_go()
        link.data_received(b"H")
        assert wire.is_aborted
        assert not link.usable
        again = link.ask(b"", b"")
        with pytest.raises(LinkLostError):
            await again.begun()
        assert answer.ended

    async def test_the_rest_of_a_reply_is_not_waited_for(self) -> None:
        link, wire, answer = await asked(HEAD + b"Content-Length: 9\r\n\r\na")
        assert not link.let_go()
        assert wire.is_aborted
        assert await anext(answer) == b"a"
        with pytest.raises(UpstreamError, match="let go"):
            await anext(answer)


def endless(first: bytes, piece: bytes, times: int = READ_BYTES) -> list[bytes]:
    return [first, *[piece * (READ_BYTES // len(piece))] * (times * len(piece) // READ_BYTES + 1)]


CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


class TestHostileOnes:
    @pytest.mark.parametrize(
        "reads",
        [
            [b"220 smtp.example ESMTP\r\n"],
            [b"HTTP/1.1 99 OK\r\n\r\n"],
            [HEAD + b"Content-Length: -1\r\n\r\n"],
            [HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n"],
            [HEAD + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"],
            [HEAD + b"Content-Length: 99999999999999999999\r\n\r\n"],
            [HEAD + b"A: b\r\n c\r\n\r\n"],
            [HEAD + b"A: b\x00c\r\n\r\n"],
            [HEAD + b"A: b\rc: d\r\n\r\n"],
            [HEAD + b"A b: c\r\n\r\n"],
            [b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nx"],
            [b"HTTP/1.1 101 Switching\r\n\r\n"],
            [CHUNKED + b"zz\r\n"],
            [CHUNKED + b"-1\r\n"],
            [CHUNKED + b"fffffffffffffffff\r\n"],
            [CHUNKED + b"1\r\nabc"],
            [HEAD + b"A: b\r\n" * (MAX_HEADERS + 1) + b"\r\n"],
            [HEAD + b"A: " + b"b" * MAX_HEAD_BYTES + b"\r\n\r\n"],
            endless(HEAD, b"A: b\r\n"),
            endless(HEAD + b"A: ", b"b"),
            endless(HEAD, b"b"),
            endless(b"HTTP/1.1 200 ", b"b"),
            endless(b"\r\n", b"\r\n"),
            endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
            endless(CHUNKED + b"1", b";a"),
            endless(CHUNKED + b"0\r\n", b"A: b\r\n"),
            endless(CHUNKED + b"0\r\nA: ", b"b"),
            endless(CHUNKED, b"0" * 16),
        ],
        ids=lambda reads: reads[0][-40:].decode("latin-1") + ascii(reads[-1][:8]),
    )
    async def test_a_reply_that_cannot_be_is_given_up_and_the_connection_closed(
        self, reads: list[bytes]
    ) -> None:
        link, wire, answer = await asked(*reads)
        with pytest.raises(UpstreamError, match="the provider broke off: its reply"):
            await body_of(answer)
        assert wire.is_aborted
        assert not link.usable
        link.data_received(b"and more")
        assert answer.held == b""

    @pytest.mark.parametrize("coding", [b"gzip", b"gzip, chunked", b"chunked, gzip", b"identity"])
    async def test_a_transfer_coding_that_nobody_asked_for_is_not_asked_for_again(
        self, coding: bytes
    ) -> None:
        _, wire, answer = await asked(HEAD + b"Transfer-Encoding: " + coding + b"\r\n\r\n1\r\na")
        with pytest.raises(UpstreamUnreadableError, match="transferred its reply as"):
            await body_of(answer)
        assert wire.is_aborted

    async def test_two_codings_in_two_lines(self) -> None:
        lines = b"Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip\r\n\r\n"
        _, _, answer = await asked(HEAD + lines + b"1\r\na\r\n0\r\n\r\n")
        with pytest.raises(UpstreamUnreadableError):
            await body_of(answer)

    @pytest.mark.parametrize(
        ("lines", "coding"),
        [
            (b"Content-Encoding: gzip\r\n", "gzip"),
            (b"Content-Encoding: gzip\r\ncontent-encoding: br\r\n", "gzip, br"),
            (b"Content-Encoding: identity\r\nContent-Encoding: a, b\r\n", "identity, a, b"),
        ],
    )
    async def test_content_codings_in_several_lines_are_one_list(
        self, lines: bytes, coding: str
    ) -> None:
        _, _, answer = await asked(HEAD + lines + b"Content-Length: 0\r\n\r\n")
        assert answer.headers.getall("Content-Encoding") == [coding]

    @given(st.lists(st.binary(max_size=200), max_size=8), st.booleans())
    def test_no_bytes_at_all_raise_anything_else(self, reads: list[bytes], begin: bool) -> None:
        async def work() -> None:
            first = [HEAD[:-2]] if begin else []
            link, _, answer = await asked(*first, *(data for data in reads if data))
            link.connection_lost(None)
            await read_so_far(answer)
            link.let_go()

        run(work())

    async def test_much_framing_is_no_harm_while_it_brings_a_body(self) -> None:
        link, _, answer = await asked(CHUNKED)
        reads = MAX_FRAMING_BYTES // 1000 + 10
        for _ in range(reads):
            link.data_received(b"1;" + b"x" * 1000 + b"\r\na\r\n")
        link.data_received(b"0\r\n\r\n")
        assert await body_of(answer) == b"a" * reads


class TestPressure:
    async def test_no_more_is_read_than_is_taken(self) -> None:
        link, wire, answer = await asked(HEAD + b"Content-Length: 1000000\r\n\r\n")
        link.data_received(b"x" * HELD_BYTES)
        assert not wire.is_paused
        link.data_received(b"x")
        assert wire.is_paused
        assert await anext(answer) == b"x" * (HELD_BYTES + 1)
        assert not wire.is_paused

    async def test_a_long_request_is_written_as_fast_as_it_is_taken(self) -> None:
        link, wire = linked()
        body = bytes(range(256)) * (3 * PIECE_BYTES // 256) + b"end"
        wire.write = jamming(link, wire, wire.write)
        link.ask(b"head", body)
        assert len(wire.written) == 2
        for count in (3, 4, 5):
            link.resume_writing()
            assert len(wire.written) == count
        link.resume_writing()
        assert b"".join(wire.written) == b"head" + body

    async def test_a_reply_that_comes_before_all_was_written_is_heard(self) -> None:
        link, wire = linked()
        wire.write = jamming(link, wire, wire.write)
        answer = link.ask(b"head", b"x" * 3 * PIECE_BYTES)
        link.data_received(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
        await answer.begun()
        assert (answer.status, await body_of(answer)) == (413, b"no")
        assert not link.let_go()
        assert wire.is_aborted


class TestPouring:
    @given(
        replies(),
        st.lists(st.integers(0, 10_000), max_size=12) | st.just(range(10_000)),
        st.lists(st.booleans(), min_size=1, max_size=7),
    )
    def test_a_body_cut_anywhere_and_stopped_anywhere_is_the_same_body(
        self, it: Written, places: Sequence[int], wants: Sequence[bool]
    ) -> None:
        async def work() -> None:
            got: list[bytes] = []

            def take(piece: bytes) -> bool:
                got.append(piece)
                return wants[len(got) % len(wants)]

            async def pour() -> None:
                await answer.begun()
                while await answer.pour(take):
                    pass

            link, _ = linked()
            answer = link.ask(b"", b"")
            pouring = asyncio.create_task(pour())
            for number, data in enumerate(cut(it.raw, places)):
                link.data_received(data)
                if wants[number % len(wants)]:
                    await asyncio.sleep(0)
            if it.until_close:
                link.connection_lost(None)
            await pouring
            assert b"".join(got) == it.body
            assert answer.ended

        run(work())

    async def begun(self, take: Callable[[bytes], bool]) -> tuple[Link, Wire, asyncio.Task[bool]]:
        link, wire, answer = await asked(HEAD + b"Content-Length: 10\r\n\r\n0")
        pouring = asyncio.create_task(answer.pour(take))
        await asyncio.sleep(0)
        return link, wire, pouring

    async def test_a_piece_is_there_when_its_read_is_over_and_wakes_nobody(self) -> None:
        got: list[bytes] = []
        link, _, pouring = await self.begun(lambda piece: not got.append(piece))
        link.data_received(b"12")
        link.data_received(b"34")
        assert got == [b"0", b"12", b"34"]
        link.data_received(b"56789")
        assert await pouring is False
        assert got[3:] == [b"56789"]

    async def test_who_wants_no_more_gets_no_more_until_it_asks(self) -> None:
        got: list[bytes] = []
        link, _, pouring = await self.begun(lambda piece: got.append(piece) or len(got) < 2)
        link.data_received(b"1")
        link.data_received(b"2")
        assert await pouring is True
        assert got == [b"0", b"1"]

    async def test_what_goes_wrong_there_is_raised_to_who_waits_and_closes_the_connection(
        self,
    ) -> None:
        def take(piece: bytes) -> bool:
            if piece == b"1":
                raise ZeroDivisionError
            return True

        link, wire, pouring = await self.begun(take)
        link.data_received(b"1")
        assert wire.is_aborted
        link.data_received(b"23456789")
        with pytest.raises(ZeroDivisionError):
            await pouring
        assert not link.let_go()

    async def test_also_where_it_goes_wrong_with_the_last_piece(self) -> None:
        def take(piece: bytes) -> bool:
            if piece == b"56789":
                raise ZeroDivisionError
            return True

        link, _, pouring = await self.begun(take)
        link.data_received(b"1234")
        link.data_received(b"56789")
        with pytest.raises(ZeroDivisionError):
            await pouring
        assert not link.let_go()

    async def test_after_a_cut_nothing_more_is_handed_on(self) -> None:
        got: list[bytes] = []
        link, _, pouring = await self.begun(lambda piece: not got.append(piece))
        pouring.cancel()
        link.data_received(b"1")
        with pytest.raises(asyncio.CancelledError):
            await pouring
        link.data_received(b"2")
        assert got == [b"0"]

    async def test_a_reply_that_breaks_off_says_so_after_all_that_came(self) -> None:
        got: list[bytes] = []
        link, _, pouring = await self.begun(lambda piece: not got.append(piece))
        link.data_received(b"1")
        link.connection_lost(None)
        with pytest.raises(UpstreamError, match="inside its reply"):
            await pouring
        assert got == [b"0", b"1"]


def jamming(
    link: Link, wire: Wire, write: Callable[[bytes], None]
) -> Callable[[bytes | bytearray | memoryview], None]:
    """Writes, and is full then."""

    def full(data: bytes | bytearray | memoryview) -> None:
        write(bytes(data))
        if len(wire.written) > 1:
            link.pause_writing()

    return full


class TestSilence:
    async def test_it_has_an_end_before_the_head(self) -> None:
        link, wire = linked(silence_s=0.05)
        answer = link.ask(b"", b"")
        with pytest.raises(UpstreamSilentError, match="silent for too long"):
            await answer.begun()
        assert wire.is_aborted

    async def test_and_inside_a_reply_and_inside_a_request(self) -> None:
        link, _ = linked(silence_s=0.05)
        answer = link.ask(b"", b"x" * 3 * PIECE_BYTES)
        link.pause_writing()
        link.data_received(HEAD + b"Content-Length: 2\r\n\r\na")
        assert await anext(answer) == b"a"
        with pytest.raises(UpstreamSilentError):
            await anext(answer)

    async def test_each_byte_begins_it_anew_with_one_timer_for_all(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        loop, timers = asyncio.get_running_loop(), []
        at = loop.call_at
        link, _ = linked(silence_s=5)
        answer = link.ask(b"", b"")
        monkeypatch.setattr(
            loop, "call_at", lambda *it, **more: timers.append(it) or at(*it, **more)
        )
        link._progress_at -= 4.9
        link.data_received(HEAD + b"Content-Length: 200\r\n\r\n")
        for _ in range(100):
            link.data_received(b"x")
        link._look()
        assert len(timers) == 1
        assert timers[0][0] - loop.time() > 4
        assert answer.problem is None

    async def test_a_slow_reader_is_not_the_providers_silence(self) -> None:
        link, wire = linked(silence_s=5)
        answer = link.ask(b"", b"")
        link.data_received(HEAD + b"Content-Length: 1000000\r\n\r\n" + b"x" * (HELD_BYTES + 1))
        link._progress_at -= 60
        link._look()
        assert answer.problem is None
        await anext(answer)
        link._look()
        assert answer.problem is None
        link._progress_at -= 60
        link._look()
        assert isinstance(answer.problem, UpstreamSilentError)
        assert wire.is_aborted

    async def test_nobody_is_silent_who_was_not_asked(self) -> None:
        link, wire, _ = await asked(HEAD + b"Content-Length: 0\r\n\r\n")
        assert link.let_go()
        link._progress_at -= 10_000
        link._look()
        assert link.usable
        assert not wire.is_aborted


async def test_a_wait_that_is_cut_leaves_nothing_behind() -> None:
    link, _ = linked()
    answer = link.ask(b"", b"")
    waiting = asyncio.create_task(answer.begun())
    await asyncio.sleep(0)
    waiting.cancel()
    link.data_received(HEAD + b"Content-Length: 0\r\n\r\n")
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert answer.ended
