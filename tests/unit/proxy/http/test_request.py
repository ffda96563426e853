"""The same bytes are the same requests, however they are cut; what is doubtful is none."""

import asyncio
from collections.abc import Iterable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacabench.proxy.http import request as reading
from pacabench.proxy.http.request import BadRequestError, Request, RequestReader

HOST = b"Host: x\r\n"


def head(first: str, *lines: str) -> bytes:
    return "\r\n".join([first, "Host: x", *lines, "", ""]).encode()


def feed(reader: RequestReader, pieces: Iterable[bytes]) -> None:
    for piece in pieces:
        reader.feed(piece)


def read(*pieces: bytes) -> list[Request]:
    reader = RequestReader()
    feed(reader, pieces)
    return list(reader.arrived)


def read_one(*pieces: bytes) -> Request:
    [request] = read(*pieces)
    return request


def chunked(*parts: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    start = head("POST / HTTP/1.1", "Transfer-Encoding: chunked")
    return start + b"".join(b"%x\r\n%b\r\n" % (len(it), it) for it in parts) + end


TOKENS = st.text("abcXYZ-_09", min_size=1, max_size=12)
VALUES = st.text(st.characters(exclude_categories=["C", "Zs", "Zl", "Zp"]), max_size=20)
TARGETS = st.from_regex(r"/[a-zA-Z0-9%./_~-]{0,30}(\?[a-z0-9=&%]{0,20})?", fullmatch=True)


@st.composite
def messages(draw: st.DrawFn) -> tuple[bytes, tuple[object, ...]]:
    """A request on the wire, and what has to be understood."""
    method = draw(st.sampled_from(["GET", "POST", "DELETE", "HEAD"]))
    target = draw(TARGETS)
    fields = [(f"x-{draw(TOKENS)}", draw(VALUES)) for _ in range(draw(st.integers(0, 4)))]
    parts = draw(st.lists(st.binary(min_size=1, max_size=40), max_size=4))
    body = b"".join(parts)
    framing = draw(st.sampled_from(["none", "length", "chunks"]))
    gap = draw(st.sampled_from(["", " ", "\t"]))
    lines = [f"{name}:{gap}{value}" for name, value in fields]
    content = b""
    if framing == "none":
        body = b""
    elif framing == "length":
        lines.append(f"Content-Length: {len(body)}")
        content = body
    else:
        lines.append("Transfer-Encoding: chunked")
        content = b"".join(b"%x\r\n%b\r\n" % (len(it), it) for it in parts) + b"0\r\n\r\n"
    wire = head(f"{method} {target} HTTP/1.1", *lines) + content
    return wire, (method, target, fields, body)


def understood(request: Request) -> tuple[object, ...]:
    fields = [(name, value) for name, value in request.headers.items() if name.startswith("x-")]
    assert request.is_whole
    return request.method, request.target, fields, request.take()


@given(st.lists(messages(), min_size=1, max_size=4), st.data())
def test_cut_anywhere_it_is_the_same_requests(
    sent: list[tuple[bytes, tuple[object, ...]]], data: st.DataObject
) -> None:
    wire = b"".join(it for it, _ in sent)
    cuts = sorted(data.draw(st.sets(st.integers(0, len(wire)), max_size=12)))
    pieces = [wire[start:end] for start, end in zip([0, *cuts], [*cuts, len(wire)], strict=True)]
    assert [understood(it) for it in read(*pieces)] == [expected for _, expected in sent]
    assert [understood(it) for it in read(*(wire[at : at + 1] for at in range(len(wire))))] == [
        expected for _, expected in sent
    ]


@given(st.binary(max_size=200), st.integers(0, 100))
def test_any_bytes_are_requests_or_refused(noise: bytes, place: int) -> None:
    wire = chunked(b"abc", b"de")
    for content in (noise, wire[:place] + noise + wire[place:]):
        with suppress(BadRequestError):
            read(content)


class TestHeads:
    def test_the_target_is_as_it_was_sent(self) -> None:
        target = "/v1/%2e%2e//a/../b%00?x=%20&y#z"
        assert read_one(head(f"GET {target} HTTP/1.1")).target == target

    def test_names_ignore_case_and_the_first_of_several_counts(self) -> None:
        request = read_one(head("GET / HTTP/1.1", "X-Api-Key: a", "x-api-key: b"))
        assert request.headers["X-API-KEY"] == "a"

    def test_space_around_a_value_is_no_part_of_it(self) -> None:
        request = read_one(
            head("POST / HTTP/1.1", "A: \t a b \t", "B:", "C: ", "Content-Length: 0 ")
        )
        assert dict(request.headers) == {
            "Host": "x", "A": "a b", "B": "", "C": "", "Content-Length": "0"
        }  # fmt: skip

    @pytest.mark.parametrize("space", [" ", "\t", " \t "])
    def test_nor_is_it_where_only_one_has_some(self, space: str) -> None:
        request = read_one(head("GET / HTTP/1.1", f"A: b{space}", "C: d"))
        assert (request.headers["A"], request.headers["C"]) == ("b", "d")

    def test_bytes_that_are_no_utf8_survive(self) -> None:
        request = read_one(b"GET / HTTP/1.1\r\n" + HOST + b"A: \xff\xc3\xa9\r\n\r\n")
        assert request.headers["A"].encode("utf-8", "surrogateescape") == b"\xff\xc3\xa9"

    @pytest.mark.parametrize(
        ("first", "lines", "keeps"),
        [
            ("GET / HTTP/1.1", [], True),
            ("GET / HTTP/1.1", ["Connection: close"], False),
            ("GET / HTTP/1.1", ["Connection: keep-alive, Close"], False),
            ("GET / HTTP/1.0", [], False),
            ("GET / HTTP/1.0", ["Connection: keep-alive"], False),
        ],
    )
    def test_who_wants_to_go_on(self, first: str, lines: list[str], keeps: bool) -> None:
        request = read_one(head(first, *lines))
        assert request.keeps_alive is keeps
        assert request.is_http10 is first.endswith("1.0")

    @pytest.mark.parametrize(
        "wire",
        [
            b"GET / HTTP/1.1\n" + HOST + b"\r\n",
            b"GET / HTTP/1.1\r\nHost: x\nA: b\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: x\r\n\n",
            b"GET / HTTP/1.1\r\nHost: x\rA: b\r\n\r\n",
            head("GET / HTTP/1.1", "A: b", " c"),
            head("GET / HTTP/1.1", "A: b", "\tc"),
            head("GET / HTTP/1.1", "A : b"),
            head("GET / HTTP/1.1", "A\t: b"),
            head("GET / HTTP/1.1", ": b"),
            head("GET / HTTP/1.1", "A"),
            head("GET / HTTP/1.1", "A(: b"),
            head("GET / HTTP/1.1", "A: \0"),
            head("GET / HTTP/1.1", "A: \x01"),
            head("GET / HTTP/1.1", "A: \x7f"),
            head("GET / HTTP/1.1", "Host: x"),
            head("GET / HTTP/1.1", "host: y"),
            b"GET / HTTP/1.1\r\n\r\n",
            head("GET / HTTP/0.9"),
            head("GET / HTTP/1.2"),
            head("GET / HTTP/2.0"),
            head("GET / HTTP/1.1 x"),
            head("GET / http/1.1"),
            head("GET /"),
            head("GET"),
            head("get / HTTP/1.1"),
            head("SMUGGLE / HTTP/1.1"),
            head("GET /\xe9 HTTP/1.1"),
            head("GET /\x01 HTTP/1.1"),
            head("GET /a b HTTP/1.1"),
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"HTTP/1.1 200 OK\r\n\r\n",
            b"\x16\x03\x01 hello\r\n\r\n",
        ],
    )
    def test_what_is_doubtful_is_refused(self, wire: bytes) -> None:
        for pieces in ([wire], [wire[at : at + 1] for at in range(len(wire))]):
            reader = RequestReader()
            with pytest.raises(BadRequestError):
                feed(reader, pieces)
            assert not reader.arrived
            assert not reader.feed(head("GET / HTTP/1.1"))
            assert not reader.arrived

    @pytest.mark.parametrize("piece", [1 << 20, 1000, 1])
    @pytest.mark.parametrize(
        "wire",
        [
            b"GET /" + b"a" * 40_000,
            b"GET / HTTP/1.1\r\nA: " + b"b" * 40_000,
            b"GET / HTTP/1.1\r\n" + b"a" * 40_000,
            b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 10_000,
            b"GET / HTTP/1.1\r\n" + HOST + b"A: b\r\n" * reading.MAX_HEADERS + b"\r\n",
            b"GET / HTTP/1.1\r\n" + HOST + b"A: " + b"b" * 40_000 + b"\r\n\r\n",
        ],
    )
    def test_a_head_has_a_size(self, wire: bytes, piece: int) -> None:
        with pytest.raises(BadRequestError, match="32 KiB and 128 headers"):
            read(*(wire[at : at + piece] for at in range(0, len(wire), piece)))

    def test_up_to_it_it_is_taken(self) -> None:
        lines = ["A: " + "b" * 200] * (reading.MAX_HEADERS - 1)
        for wire in (head("GET / HTTP/1.1", *lines), head("GET / HTTP/1.1", "A: " + "b" * 30_000)):
            assert read_one(*(wire[at : at + 100] for at in range(0, len(wire), 100))).is_whole

    def test_an_upgrade_is_the_last_that_is_read(self) -> None:
        for wire in (
            head("CONNECT a:443 HTTP/1.1"),
            head("GET / HTTP/1.1", "Connection: upgrade", "Upgrade: websocket"),
        ):
            reader = RequestReader()
            assert not reader.feed(wire + b"GET / HTTP/1.1\r\n")
            assert not reader.feed(head("GET / HTTP/1.1"))
            assert len(reader.arrived) == 1


class TestBodies:
    def test_a_body_counts_in_no_head(self) -> None:
        body = b"x" * reading.MAX_HEAD_BYTES
        start = head("POST / HTTP/1.1", f"Content-Length: {len(body)}")
        assert [it.take() for it in read(start + body, b"", start + body)] == [body, body]

    @pytest.mark.parametrize(
        "lines",
        [
            ["Content-Length: 1", "Content-Length: 1"],
            ["Content-Length: 1", "Content-Length: 2"],
            ["Content-Length: 1, 1"],
            ["Content-Length: +1"],
            ["Content-Length: -1"],
            ["Content-Length: 1 1"],
            ["Content-Length: 0x1"],
            ["Content-Length:"],
            ["Content-Length: 99999999999999999999999"],
            ["Content-Length: 1", "Transfer-Encoding: chunked"],
            ["Transfer-Encoding: chunked", "Content-Length: 1"],
            ["Transfer-Encoding: gzip, chunked"],
            ["Transfer-Encoding: chunked, chunked"],
            ["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"],
            ["Transfer-Encoding: identity"],
            ["Transfer-Encoding: xchunked"],
            ["Transfer-Encoding: \x0bchunked"],
            ["Transfer-Encoding:"],
            ["Transfer-Encoding : chunked"],
        ],
    )
    def test_a_body_has_one_length_said_once(self, lines: list[str]) -> None:
        for more in (b"", b"1\r\na\r\n0\r\n\r\n"):
            reader = RequestReader()
            with pytest.raises(BadRequestError):
                reader.feed(head("POST / HTTP/1.1", *lines) + more)
            assert not reader.arrived

    def test_the_elder_http_has_no_chunks(self) -> None:
        with pytest.raises(BadRequestError):
            read(chunked(b"a").replace(b"HTTP/1.1", b"HTTP/1.0"))

    @pytest.mark.parametrize(
        "chunks",
        [
            b"1\nx\r\n0\r\n\r\n",
            b"1\r\nx\n0\r\n\r\n",
            b"1\r\nxy\r\n0\r\n\r\n",
            b"0x1\r\nx\r\n0\r\n\r\n",
            b"-1\r\nx\r\n0\r\n\r\n",
            b"+1\r\nx\r\n0\r\n\r\n",
            b" 1\r\nx\r\n0\r\n\r\n",
            b"1;a\nb\r\nx\r\n0\r\n\r\n",
            b"fffffffffffffffff\r\nx",
            b"\r\n",
            b"0\r\nA: b\r\n\r\n",
            b"0\r\nContent-Length: 5\r\n\r\n",
            b"0\r\nGET / HTTP/1.1\r\n\r\n",
        ],
    )
    async def test_what_are_no_chunks_break_the_body(self, chunks: bytes) -> None:
        reader = RequestReader()
        with pytest.raises(BadRequestError):
            reader.feed(chunked(end=chunks))
        [request] = reader.arrived
        assert not request.is_whole
        with pytest.raises(BadRequestError):
            await request.more()

    @pytest.mark.parametrize("piece", [100_000, 1000])
    def test_what_chunks_say_besides_is_bounded(self, piece: int) -> None:
        reader = RequestReader()
        reader.feed(chunked(end=b"1;a="))
        with pytest.raises(BadRequestError, match="say too much"):
            feed(reader, [b"b" * piece] * (200_000 // piece))

    def test_small_chunks_do_not_say_too_much(self) -> None:
        reader = RequestReader()
        reader.feed(chunked(end=b""))
        for _ in range(400):
            reader.feed(b"1\r\nx\r\n" * 1000)
        reader.feed(b"0\r\n\r\n")
        assert reader.arrived[0].take() == b"x" * 400_000

    def test_it_comes_in_pieces(self) -> None:
        reader = RequestReader()
        reader.feed(head("POST / HTTP/1.1", "Content-Length: 5") + b"ab")
        [request] = reader.arrived
        assert (request.take(), request.is_whole) == (b"ab", False)
        reader.feed(b"c")
        reader.feed(b"d")
        reader.feed(b"e")
        assert (request.take(), request.is_whole) == (b"cde", True)

    async def test_more_waits_for_more(self) -> None:
        reader = RequestReader()
        reader.feed(head("POST / HTTP/1.1", "Content-Length: 3"))
        [request] = reader.arrived
        waiting = asyncio.create_task(request.more())
        await asyncio.sleep(0)
        assert not waiting.done()
        reader.feed(b"a")
        await waiting
        await request.more()  # it was not taken yet
        assert request.take() == b"a"
        waiting = asyncio.create_task(request.more())
        await asyncio.sleep(0)
        request.break_off(ConnectionResetError())
        with pytest.raises(ConnectionResetError):
            await waiting


class TestPipelines:
    def test_requests_come_in_their_order(self) -> None:
        wire = b"".join(head(f"GET /{at} HTTP/1.1") for at in range(5))
        assert [it.target for it in read(wire)] == [f"/{at}" for at in range(5)]

    def test_only_so_many_are_kept(self) -> None:
        wire = head("GET / HTTP/1.1") * (reading.MAX_AHEAD + 1)
        reader = RequestReader()
        with pytest.raises(BadRequestError, match="Too many"):
            reader.feed(wire)
        assert len(reader.arrived) == reading.MAX_AHEAD

    def test_what_comes_after_the_last_one_is_none(self) -> None:
        reader = RequestReader()
        with pytest.raises(BadRequestError):
            reader.feed(head("GET / HTTP/1.1", "Connection: close") + head("GET /2 HTTP/1.1"))
        assert [it.target for it in reader.arrived] == ["/"]
