"""Heads are read in one way, or refused; what goes on is written anew."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacabench.proxy.web.http_head import (
    BadMessageError,
    Framing,
    Target,
    end_to_end,
    find_target,
    parse_reply,
    parse_request,
    write_refusal,
    write_reply,
    write_request,
)


def head(first: str, *lines: str) -> bytes:
    return "\r\n".join([first, *lines, "", ""]).encode("latin-1")


def target_of(first: str, *lines: str) -> Target:
    return find_target(parse_request(head(first, *lines)))


class TestTargets:
    def test_connect_names_host_and_port(self) -> None:
        wanted = Target("en.wikipedia.org", 443, "")
        assert target_of("CONNECT EN.Wikipedia.org.:443 HTTP/1.1") == wanted
        assert (
            target_of("CONNECT en.wikipedia.org:443 HTTP/1.0", "Host: en.wikipedia.org") == wanted
        )
        assert target_of("CONNECT en.wikipedia.org:443 HTTP/1.1", "host:\tEN.wikipedia.org:443")

    def test_a_plain_request_names_a_full_url(self) -> None:
        assert target_of("GET http://example.org/a?b=c HTTP/1.1", "Host: example.org") == Target(
            "example.org", 80, "/a?b=c"
        )
        assert target_of(
            "GET HTTP://Example.org.:8080 HTTP/1.1", "Host: example.org:8080"
        ) == Target("example.org", 8080, "/")
        assert target_of("GET http://example.org?x HTTP/1.1", "Host: example.org:80").path == "/?x"

    @pytest.mark.parametrize(
        "lines",
        [
            ("GET / HTTP/1.1", "Host: example.org"),
            ("GET example.org HTTP/1.1", "Host: example.org"),
            ("GET https://example.org/ HTTP/1.1", "Host: example.org"),
            ("GET ftp://example.org/ HTTP/1.1", "Host: example.org"),
            ("GET http://example.org/ HTTP/1.1",),
            ("GET http://example.org/ HTTP/1.1", "Host: evil.example"),
            ("GET http://example.org/ HTTP/1.1", "Host: example.org:81"),
            ("GET http://example.org/ HTTP/1.1", "Host: example.org", "Host: example.org"),
            ("GET http://example.org/ HTTP/1.1", "Host: example.org, evil.example"),
            ("GET http://me@example.org/ HTTP/1.1", "Host: example.org"),
            ("GET http://example.org/#f HTTP/1.1", "Host: example.org"),
            ("GET http://example.org\\@evil.example/ HTTP/1.1", "Host: example.org"),
            ("GET http:///path HTTP/1.1", "Host: example.org"),
            ("GET http://[::1]/ HTTP/1.1", "Host: [::1]"),
            ("CONNECT example.org HTTP/1.1",),
            ("CONNECT example.org:443/ HTTP/1.1",),
            ("CONNECT http://example.org:443 HTTP/1.1",),
            ("CONNECT example.org:443 HTTP/1.1", "Host: evil.example:443"),
            ("CONNECT example.org:443 HTTP/1.1", "Host: example.org:80"),
            ("CONNECT me@example.org:443 HTTP/1.1",),
            ("CONNECT [::1]:443 HTTP/1.1",),
            ("CONNECT example.org:99999 HTTP/1.1",),
            ("CONNECT ex%61mple.org:443 HTTP/1.1",),
        ],
    )
    def test_what_does_not_say_it_in_one_way_is_refused(self, lines: tuple[str, ...]) -> None:
        with pytest.raises(BadMessageError):
            target_of(*lines)


class TestDoubtfulHeads:
    @pytest.mark.parametrize(
        "lines",
        [
            ("Content-Length: 5", "Transfer-Encoding: chunked"),
            ("Content-Length: 5", "Content-Length: 5"),
            ("Content-Length: 5, 5",),
            ("Content-Length: +5",),
            ("Content-Length: -1",),
            ("Content-Length: 0x5",),
            ("Content-Length: \u00b2",),
            ("Content-Length:",),
            ("Transfer-Encoding: gzip, chunked",),
            ("Transfer-Encoding: chunked, chunked",),
            ("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"),
            ("Transfer-Encoding: xchunked",),
            ("Transfer-Encoding: \x0bchunked",),
            ("Transfer-Encoding : chunked",),
            (" folded",),
            ("\tfolded",),
            ("No colon",),
            (": no name",),
            ("X y: z",),
            ("X: a\rb",),
            ("X: a\nY: b",),
            ("X: a\0b",),
            ("X: a\x7fb",),
            tuple(f"X{number}: y" for number in range(101)),
        ],
    )
    def test_are_refused(self, lines: tuple[str, ...]) -> None:
        with pytest.raises(BadMessageError):
            parse_request(head("POST http://example.org/ HTTP/1.1", "Host: example.org", *lines))

    @pytest.mark.parametrize(
        "line",
        [
            "GET  http://example.org/ HTTP/1.1",
            "GET http://example.org/",
            "GET http://example.org/ HTTP/1.1 ",
            "GET http://example.org/ HTTP/2.0",
            "GET http://example.org/ HTTP/0.9",
            "GET http://example.org/ http/1.1",
            "G T http://example.org/ HTTP/1.1",
            "GET http://example.org/\t HTTP/1.1",
            "GET http://example.org/\u00e4 HTTP/1.1",
            "",
        ],
    )
    def test_so_are_doubtful_request_lines(self, line: str) -> None:
        with pytest.raises(BadMessageError):
            parse_request(head(line, "Host: example.org"))

    def test_http_1_0_has_no_chunks(self) -> None:
        with pytest.raises(BadMessageError):
            parse_request(head("POST http://example.org/ HTTP/1.0", "Transfer-Encoding: chunked"))


class TestWriting:
    def test_a_request_goes_on_with_its_own_headers_and_no_others(self) -> None:
        request = parse_request(
            head(
                "POST http://Example.org:80/p HTTP/1.1",
                "host: EXAMPLE.org",
                "Accept: */*",
                "Connection: keep-alive, X-Hop, Content-Length",
                "X-Hop: secret",
                "Proxy-Authorization: Basic eDp5",
                "Proxy-Connection: keep-alive",
                "Keep-Alive: 5",
                "TE: trailers",
                "Upgrade: h2c",
                "Expect: 100-continue",
                "Content-Length: 3",
                "X-Own: caf\u00e9",
            )
        )
        assert write_request(request, find_target(request)) == head(
            "POST /p HTTP/1.1",
            "Host: example.org",
            "Accept: */*",
            "Content-Length: 3",
            "X-Own: caf\u00e9",
            "Connection: close",
        )

    def test_another_port_stands_in_the_host(self) -> None:
        request = parse_request(head("GET http://a.org:8080/ HTTP/1.1", "Host: a.org:8080"))
        assert b"\r\nHost: a.org:8080\r\n" in write_request(request, find_target(request))

    def test_a_reply_loses_what_is_between_two_hops(self) -> None:
        reply = parse_reply(
            head("HTTP/1.0 200 Fine", "Connection: keep-alive", "Content-Length: 3", "X: y"), "GET"
        )
        assert reply.framing == Framing(length=3)
        assert write_reply(reply) == head(
            "HTTP/1.1 200 Fine", "Content-Length: 3", "X: y", "Connection: close"
        )

    @pytest.mark.parametrize(("status", "method"), [(204, "GET"), (304, "GET"), (200, "HEAD")])
    def test_some_replies_have_no_body_whatever_they_say(self, status: int, method: str) -> None:
        reply = parse_reply(head(f"HTTP/1.1 {status} OK", "Content-Length: 9"), method)
        assert reply.framing.is_empty

    def test_a_reply_without_a_length_goes_on_to_the_end(self) -> None:
        assert parse_reply(head("HTTP/1.1 200"), "GET").framing == Framing()

    @pytest.mark.parametrize("line", ["SSH-2.0-OpenSSH_9.2", "HTTP/1.1 20 OK", "ICY 200 OK", ""])
    def test_what_is_no_reply_is_refused(self, line: str) -> None:
        with pytest.raises(BadMessageError):
            parse_reply(head(line), "GET")

    def test_a_refusal_quotes_what_was_asked_for_safely(self) -> None:
        written = write_refusal(403, "No", "not \u00e4\r\nX: y", {})
        first, _, body = written.partition(b"\r\n\r\n")
        assert b"X: y" not in first
        assert f"Content-Length: {len(body)}".encode() in first


NOISE = st.text(st.characters(max_codepoint=255), max_size=40)


@given(NOISE, st.lists(NOISE, max_size=4))
def test_what_is_understood_is_written_so_that_it_is_understood_again(
    first: str, lines: list[str]
) -> None:
    try:
        request = parse_request(
            head(f"GET http://a.example/{first} HTTP/1.1", *lines, "Host: a.example")
        )
        target = find_target(request)
    except BadMessageError:
        return
    again = parse_request(write_request(request, target))
    assert again.framing == request.framing
    assert (again.method, again.target) == ("GET", target.path)
    assert [name for name, _ in again.headers].count("Host") == 1
    assert len(end_to_end(again.headers)) == len(end_to_end(request.headers))
