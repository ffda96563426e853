"""The host in a ClientHello is found as a TLS server would find it, or the hello is refused."""

import ssl
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacabench.proxy.web.client_hello import (
    ACCESS_DENIED,
    HANDSHAKE,
    HEADER_BYTES,
    MAX_HELLO_RECORDS,
    MAX_RECORD_BYTES,
    HiddenNameError,
    NotTlsError,
    client_handshake,
    is_retry,
    parse_header,
    server_handshake,
    wanted_host,
)

ECH, ESNI, SERVER_NAME, ALPN = 0xFE0D, 0xFFCE, 0, 16


def real_hello(host: str | None, *, newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> bytes:
    """What OpenSSL sends first, as it is on the wire."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.maximum_version = newest
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(incoming, outgoing, server_hostname=host)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


def body_of(wire: bytes) -> bytes:
    header = parse_header(wire[:HEADER_BYTES])
    assert header.content == HANDSHAKE
    handshake = client_handshake()
    body = handshake.feed(wire[HEADER_BYTES : HEADER_BYTES + header.length])
    assert body is not None
    assert handshake.is_alone
    return body


def vector(size: int, content: bytes) -> bytes:
    return len(content).to_bytes(size) + content


def server_name(name: bytes, *, kind: int = 0) -> bytes:
    return vector(2, bytes([kind]) + vector(2, name))


def hello(*extensions: tuple[int, bytes], tail: bytes = b"") -> bytes:
    joined = b"".join(kind.to_bytes(2) + vector(2, content) for kind, content in extensions)
    return (
        (b"\x03\x03" + bytes(32) + vector(1, b"") + vector(2, b"\x13\x01") + vector(1, b"\0"))
        + (vector(2, joined) if extensions else b"")
        + tail
    )


class TestRealHellos:
    @pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
    def test_name_their_host(self, newest: ssl.TLSVersion) -> None:
        wire = real_hello("EN.wikipedia.org", newest=newest)
        assert wanted_host(body_of(wire)) == "en.wikipedia.org"

    def test_may_name_none(self) -> None:
        assert wanted_host(body_of(real_hello(None))) is None

    @given(st.lists(st.integers(1, 500), max_size=MAX_HELLO_RECORDS - 1))
    def test_may_come_in_pieces(self, cuts: list[int]) -> None:
        message = real_hello("en.wikipedia.org")[HEADER_BYTES:]
        places = sorted({0, len(message), *(cut for cut in cuts if cut < len(message))})
        handshake = client_handshake()
        found = [handshake.feed(message[start:end]) for start, end in pairwise(places)]
        assert all(body is None for body in found[:-1])
        assert found[-1] is not None
        assert wanted_host(found[-1]) == "en.wikipedia.org"

    @given(st.data())
    def test_that_are_garbled_never_surprise(self, data: st.DataObject) -> None:
        body = bytearray(body_of(real_hello("en.wikipedia.org")))
        for _ in range(data.draw(st.integers(1, 4))):
            body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
        cut = data.draw(st.integers(0, len(body)))
        for garbled in (bytes(body), bytes(body[:cut])):
            try:
                host = wanted_host(garbled)
            except NotTlsError:
                continue
            assert host is None or host == host.lower()


class TestMadeUpHellos:
    def test_with_one_name(self) -> None:
        assert wanted_host(hello((SERVER_NAME, server_name(b"a.example")))) == "a.example"

    @pytest.mark.parametrize(
        "body",
        [
            hello(
                (SERVER_NAME, server_name(b"a.example")), (SERVER_NAME, server_name(b"b.example"))
            ),
            hello((SERVER_NAME, vector(2, 2 * (b"\0" + vector(2, b"a.example"))))),
            hello((SERVER_NAME, server_name(b"a.example") + b"x")),
            hello((SERVER_NAME, server_name(b"a.example", kind=1))),
            hello((SERVER_NAME, server_name(b"a.example."))),
            hello((SERVER_NAME, server_name(b"a.example\0.evil.example"))),
            hello((SERVER_NAME, server_name(b"b\xc3\xbc.example"))),
            hello((SERVER_NAME, server_name(b""))),
            hello((SERVER_NAME, b"")),
            hello((ALPN, b""), (ALPN, b""), (SERVER_NAME, server_name(b"a.example"))),
            hello((SERVER_NAME, server_name(b"a.example")), tail=b"x"),
            hello((SERVER_NAME, server_name(b"a.example")))[:-3],
            hello((SERVER_NAME, server_name(b"a.example")))[:40],
            b"\x03\x03"
            + bytes(32)
            + vector(1, bytes(33))
            + vector(2, b"\x13\x01")
            + vector(1, b"\0"),
            b"\x03\x03" + bytes(32) + vector(1, b"") + vector(2, b"\x13") + vector(1, b"\0"),
            b"\x03\x03" + bytes(32) + vector(1, b"") + vector(2, b"\x13\x01") + vector(1, b""),
            b"",
        ],
    )
    def test_that_can_be_read_in_two_ways_are_refused(self, body: bytes) -> None:
        with pytest.raises(NotTlsError):
            wanted_host(body)

    @pytest.mark.parametrize("kind", [ECH, ESNI])
    def test_with_a_hidden_name_are_refused(self, kind: int) -> None:
        with pytest.raises(HiddenNameError, match="ECH"):
            wanted_host(hello((SERVER_NAME, server_name(b"a.example")), (kind, b"\0")))

    def test_without_extensions_name_no_host(self) -> None:
        assert wanted_host(hello()) is None

    @given(st.binary(max_size=400))
    def test_noise_is_refused_or_names_a_host(self, noise: bytes) -> None:
        try:
            host = wanted_host(noise)
        except NotTlsError:
            return
        assert host is None or host.isascii()


class TestRecords:
    @pytest.mark.parametrize(
        "header",
        [
            *(b"GET /", b"SSH-2", b"\x16\x02\0\0\x05", b"\x16\x03\x05\0\x05"),
            *(b"\x16\x03\x01\0\0", b"\x17\x03\x03\xff\xff", b"\x18\x03\x03\0\x05"),
            b"\x80\x2e\x01\x03\x01",  # SSL 2
        ],
    )
    def test_what_begins_otherwise_is_no_tls(self, header: bytes) -> None:
        with pytest.raises(NotTlsError):
            parse_header(header)

    @given(st.binary(min_size=5, max_size=5))
    def test_lengths_are_bounded(self, header: bytes) -> None:
        try:
            assert parse_header(header).length <= MAX_RECORD_BYTES
        except NotTlsError:
            return

    def test_the_alert_is_one(self) -> None:
        assert parse_header(ACCESS_DENIED[:HEADER_BYTES]).length == len(ACCESS_DENIED) - 5


class TestHandshakes:
    def test_another_message_is_refused_at_its_first_byte(self) -> None:
        with pytest.raises(NotTlsError, match="not a hello"):
            client_handshake().feed(b"\x02")

    def test_a_hello_that_is_too_long_is_refused_at_its_head(self) -> None:
        with pytest.raises(NotTlsError, match="too long"):
            client_handshake().feed(b"\x01\x01\0\x01")

    def test_too_many_pieces_are_refused(self) -> None:
        handshake = client_handshake()
        handshake.feed(b"\x01\0\x10\0")
        for _ in range(MAX_HELLO_RECORDS - 1):
            assert handshake.feed(b"x") is None
        with pytest.raises(NotTlsError, match="pieces"):
            handshake.feed(b"x")

    def test_an_empty_piece_does_not_begin_one(self) -> None:
        with pytest.raises(NotTlsError, match="empty"):
            client_handshake().feed(b"")

    def test_what_follows_in_the_same_record_is_seen(self) -> None:
        handshake = client_handshake()
        assert handshake.feed(b"\x01\0\0\x01xy") == b"x"
        assert not handshake.is_alone

    def test_a_servers_wish_for_another_hello_is_known_by_its_random(self) -> None:
        random = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")
        body = b"\x03\x03" + random + b"\0\x13\x01\0"
        found = server_handshake().feed(b"\x02" + vector(3, body))
        assert found is not None
        assert is_retry(found)
        assert not is_retry(b"\x03\x03" + bytes(40))
