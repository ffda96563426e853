"""Plain HTTP: one request per checked target, said in one way, and its reply."""

import asyncio

import aiohttp
import pytest

from tests.integration.proxy.web.conftest import NAME, OpenWeb, Talk, echo, open_site


def replying(*replies: bytes, after: bytes = b"\r\n\r\n", linger: bool = False) -> Talk:
    """A server that says ``replies`` when it has read up to ``after``."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(after)
        for reply in replies:
            writer.write(reply)
            await asyncio.sleep(0.02)
        if linger:
            await reader.read()

    return talk


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: keep-alive\r\n\r\npong"


def get(port: int, *lines: str, path: str = "/", method: str = "GET") -> bytes:
    head = [f"{method} http://{NAME}:{port}{path} HTTP/1.1", f"Host: {NAME}:{port}", *lines]
    return "\r\n".join([*head, "", ""]).encode("latin-1")


class TestExchanges:
    async def test_a_request_goes_on_and_its_reply_comes_back(self, open_web: OpenWeb) -> None:
        async with (
            open_site(replying(OK, linger=True)) as site,
            open_web(f"{NAME}:{site.port}") as web,
        ):
            reply = await web.say(get(site.port, "Proxy-Connection: keep-alive", path="/a?b"))
            record = await web.record()
            assert (
                site.received
                == (
                    f"GET /a?b HTTP/1.1\r\nHost: {NAME}:{site.port}\r\nConnection: close\r\n\r\n"
                ).encode()
            )
        assert reply == OK.replace(b"keep-alive", b"close")
        assert (record.method, record.host, record.port, record.status) == (
            "GET",
            NAME,
            site.port,
            200,
        )
        assert (record.verdict, record.reason, record.address) == ("allowed", None, "127.0.0.1")
        assert (record.bytes_up, record.bytes_down) == (len(site.received), len(reply))

    async def test_a_client_library_gets_through(self, open_web: OpenWeb) -> None:
        async with (
            open_site(replying(OK, after=b"0\r\n\r\n")) as site,
            open_web(f"{NAME}:{site.port}") as web,
        ):

            async def pieces():  # noqa: ANN202 - what aiohttp takes
                yield b"pi"
                yield b"ng"

            async with (
                aiohttp.ClientSession() as session,
                session.post(
                    f"http://{NAME}:{site.port}/",
                    data=pieces(),
                    proxy=f"http://127.0.0.1:{web.port}",
                ) as reply,
            ):
                assert await reply.read() == b"pong"
            assert site.received.endswith(b"\r\n\r\n2\r\npi\r\n2\r\nng\r\n0\r\n\r\n")

    async def test_chunks_are_framed_anew(self, open_web: OpenWeb) -> None:
        async with (
            open_site(replying(OK, after=b"0\r\n\r\n")) as site,
            open_web(f"{NAME}:{site.port}") as web,
        ):
            body = b"0004;name=value\r\nping\r\n0\r\nX-Trailer: y\r\n\r\n"
            head = get(site.port, "Transfer-Encoding: chunked", method="POST")
            assert b"pong" in await web.say(head + body)
            assert site.received.endswith(b"\r\n\r\n4\r\nping\r\n0\r\n\r\n")
            assert b"X-Trailer" not in site.received

    async def test_replies_of_every_framing_end_where_they_end(self, open_web: OpenWeb) -> None:
        chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npong\r\n0\r\n\r\n"
        early = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
        for reply, ended in [
            (chunked, b"4\r\npong\r\n0\r\n\r\n"),
            (b"HTTP/1.0 200 OK\r\n\r\npong", b"pong"),
            (early + OK, b"pong"),
            (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\nxxxx", b""),
        ]:
            linger = not reply.startswith(b"HTTP/1.0")
            async with (
                open_site(replying(reply, linger=linger)) as site,
                open_web(f"{NAME}:{site.port}") as web,
            ):
                _, _, body = (await web.say(get(site.port))).partition(b"\r\n\r\n")
                assert body == ended

    async def test_a_client_that_waits_for_leave_to_send_gets_it(self, open_web: OpenWeb) -> None:
        async with (
            open_site(replying(OK, after=b"ping")) as site,
            open_web(f"{NAME}:{site.port}") as web,
        ):
            reader, writer = await web.dial()
            writer.write(get(site.port, "Expect: 100-continue", "Content-Length: 4", method="PUT"))
            async with asyncio.timeout(10):
                assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
                writer.write(b"ping")
                assert (await reader.read()).startswith(b"HTTP/1.1 200 OK")
            assert b"Expect" not in site.received

    async def test_a_redirect_is_the_agents_to_follow(self, open_web: OpenWeb) -> None:
        moved = b"HTTP/1.1 302 Found\r\nLocation: http://evil.example/\r\nContent-Length: 0\r\n\r\n"
        async with (
            open_site(replying(moved)) as site,
            open_web(f"{NAME}:{site.port}") as web,
        ):
            assert b"\r\nLocation: http://evil.example/\r\n" in await web.say(get(site.port))
            assert web.resolver.asked == [NAME]

    async def test_what_is_no_reply_is_said_so(self, open_web: OpenWeb) -> None:
        for banner in (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", b"HTTP/1.1 101 Switching\r\n\r\n", b""):
            async with (
                open_site(replying(banner)) as site,
                open_web(f"{NAME}:{site.port}") as web,
            ):
                reply = await web.say(get(site.port))
                record = await web.record()
            assert reply.startswith(b"HTTP/1.1 502 ")
            assert (record.verdict, record.reason) == ("failed", "bad_reply")

    async def test_a_reply_that_breaks_off_does_so_for_the_agent(self, open_web: OpenWeb) -> None:
        async with (
            open_site(replying(OK[:-1])) as site,
            open_web(f"{NAME}:{site.port}") as web,
        ):
            assert (await web.say(get(site.port))).endswith(b"\r\n\r\npon")
            record = await web.record()
        assert (record.verdict, record.reason, record.status) == ("allowed", "bad_reply", 200)


class TestSmuggling:
    @pytest.mark.parametrize(
        "request_",
        [
            get(80, "Content-Length: 4", "Transfer-Encoding: chunked", method="POST")
            + b"0\r\n\r\n",
            get(80, "Content-Length: 4", "Content-Length: 5", method="POST") + b"pingp",
            get(80, "Transfer-Encoding: gzip", method="POST"),
            get(80, "Transfer-Encoding : chunked", method="POST"),
            get(80).replace(b"\r\n", b"\n"),
            get(80).replace(b"\r\nHost", b"\nHost"),
            get(80, "X: y").replace(b"X: y", b"X: y\r\n folded"),
            get(80).replace(b"Host: en.", b"Host: de."),
            get(80).replace(b"Host: ", b"Host: evil.example, "),
            b"\r\n" + get(80),
            b"GET / HTTP/1.1\r\nHost: en.pedia.example\r\n\r\n",
            b"GET http://en.pedia.example/ HTTP/1.1\r\nHost: en.pedia.example\r\nX: \0\r\n\r\n",
            b"\x16\x03\x01\0\x05hello\r\n\r\n",
            b"A" * 70_000,
            b"GET http://en.pedia.example/ HTTP/1.1\r\nX: " + b"y" * 40_000 + b"\r\n\r\n",
        ],
    )
    async def test_a_doubtful_head_is_refused_and_nothing_is_sent(
        self, open_web: OpenWeb, request_: bytes
    ) -> None:
        async with open_web(f"{NAME}:80") as web:
            reply = await web.say(request_)
            record = await web.record()
            assert web.resolver.asked == []
        assert reply.startswith(b"HTTP/1.1 400 Bad Request\r\n") or len(request_) > 30_000
        assert (record.verdict, record.reason) == ("denied", "bad_request")

    @pytest.mark.parametrize(
        "body",
        [
            b"4\nping\r\n0\r\n\r\n",
            b"4 ping\r\n",
            b"-4\r\nping\r\n",
            b"0x4\r\nping\r\n",
            b"4\r\npingX\r\n0\r\n\r\n",
            b"ffffffffffff\r\n",
            b"4;" + b"x" * 5000 + b"\r\nping\r\n",
        ],
    )
    async def test_a_doubtful_body_is_cut(self, open_web: OpenWeb, body: bytes) -> None:
        async with (
            open_site(echo) as site,
            open_web(f"{NAME}:{site.port}") as web,
        ):
            head = get(site.port, "Transfer-Encoding: chunked", method="POST")
            reply = await web.say(head + body)
            record = await web.record()
            assert b"0\r\n\r\n" not in site.received
        assert reply.startswith(b"HTTP/1.1 400 ")
        assert (record.verdict, record.reason) == ("denied", "bad_request")

    async def test_a_second_request_on_the_same_connection_goes_nowhere(
        self, open_web: OpenWeb
    ) -> None:
        async with (
            open_site(replying(OK, linger=True)) as site,
            open_web(f"{NAME}:{site.port}") as web,
        ):
            second = get(site.port, path="/second").replace(b"/second", b"/../second")
            reply = await web.say(get(site.port) + second)
            await web.record()
            assert reply.count(b"HTTP/1.1") == 1
            assert b"second" not in site.received
            assert site.connections == 1

    async def test_a_body_is_as_long_as_its_length_says(self, open_web: OpenWeb) -> None:
        async with (
            open_site(replying(OK, after=b"ping", linger=True)) as site,
            open_web(f"{NAME}:{site.port}") as web,
        ):
            sent = get(site.port, "Content-Length: 4", method="POST") + b"pingGET /evil HTTP/1.1"
            assert b"pong" in await web.say(sent)
            assert site.received.endswith(b"\r\n\r\nping")

    @pytest.mark.parametrize("method", ["TRACE", "PROPFIND", "get"])
    async def test_other_methods_are_not_served(self, open_web: OpenWeb, method: str) -> None:
        async with open_web(f"{NAME}:80") as web:
            reply = await web.say(get(80, method=method))
            record = await web.record()
        assert reply.startswith(b"HTTP/1.1 405 ")
        assert b"\r\nAllow: DELETE, GET, HEAD" in reply
        assert (record.method, record.reason) == (method, "bad_request")

    async def test_connect_takes_no_body(self, open_web: OpenWeb) -> None:
        async with open_web(f"{NAME}:443") as web:
            head = f"CONNECT {NAME}:443 HTTP/1.1\r\nContent-Length: 4\r\n\r\nping".encode()
            assert (await web.say(head)).startswith(b"HTTP/1.1 400 ")
