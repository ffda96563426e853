"""Connections to providers over real sockets: kept, tried again, closed, tunnelled, verified."""

import asyncio
import gc
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from pacabench.proxy import resolver
from pacabench.proxy.control import ProviderSpec
from pacabench.proxy.outbound import pool
from pacabench.proxy.outbound.http import HttpUpstream
from pacabench.proxy.outbound.pool import Session, open_session
from pacabench.proxy.patience import Patience
from pacabench.proxy.upstream import (
    UpstreamError,
    UpstreamRequest,
    UpstreamUnreachableError,
)
from pacabench.proxy.wire import Endpoint
from tests.integration.proxy.conftest import REAL_KEY, OpenBench

PEM = Path(__file__).parents[2] / "support" / "fake_web.pem"
"""A certificate for \\*.pedia.example that signed itself, and its key."""
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
POST, GET = Endpoint("post", "POST", "/x"), Endpoint("get", "GET", "/x")
NAME = "llm.pedia.example"


@dataclass
class Server:
    """Answers each request of each connection as its script says; keeps what it was sent."""

    script: Callable[[int, int], bytes | None]
    """From the connection's and the request's number. None: it hangs up."""
    port: int = 0
    requests: list[bytes] = field(default_factory=list)
    connections: int = 0
    open: int = 0
    hang_up: asyncio.Event = field(default_factory=asyncio.Event)
    """Closes those that are open."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number, self.connections, self.open = self.connections, self.connections + 1, self.open + 1
        try:
            await self._serve(number, reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.open -= 1
            writer.close()

    async def _serve(
        self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        request = 0
        hanging = asyncio.create_task(self.hang_up.wait())
        hanging.add_done_callback(lambda _: writer.close())
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                self.requests.append(head)
                reply = self.script(number, request)
                request += 1
                if reply is None:
                    return
                writer.write(reply)
        finally:
            hanging.cancel()


@asynccontextmanager
async def serving(
    script: Callable[[int, int], bytes | None] = lambda *_: OK, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Server]:
    it = Server(script)
    listener = await asyncio.start_server(it.serve, "127.0.0.1", 0, ssl=tls)
    it.port = listener.sockets[0].getsockname()[1]
    try:
        yield it
    finally:
        it.hang_up.set()
        listener.close()
        await until(lambda: not it.open)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - plain state has no event
            await asyncio.sleep(0.005)


async def send(upstream: HttpUpstream, endpoint: Endpoint = POST, body: bytes = b"") -> bytes:
    request = UpstreamRequest(endpoint, {}, body, "/x")
    async with upstream.send(request) as reply:
        return b"".join([chunk async for chunk in reply.chunks])


@pytest.fixture
async def session() -> AsyncIterator[Session]:
    async with open_session(Patience()) as session:
        yield session


def to(session: Session, server: Server) -> HttpUpstream:
    return HttpUpstream(session, f"http://127.0.0.1:{server.port}/v1")


class TestKept:
    async def test_a_connection_serves_one_request_after_the_other(self, session: Session) -> None:
        async with serving() as server:
            for _ in range(3):
                assert await send(to(session, server)) == b"ok"
        assert server.connections == 1
        [line, *headers] = server.requests[0].decode().split("\r\n")
        assert line == "POST /v1/x HTTP/1.1"
        assert f"Host: 127.0.0.1:{server.port}" in headers
        assert "Content-Length: 0" in headers
        assert "Accept-Encoding: identity" in headers

    async def test_requests_at_once_have_one_each(self, session: Session) -> None:
        async with serving() as server:
            await asyncio.gather(*(send(to(session, server)) for _ in range(20)))
            await asyncio.gather(*(send(to(session, server)) for _ in range(20)))
        assert server.connections == 20

    async def test_one_that_the_server_closed_meanwhile_is_not_used(self, session: Session) -> None:
        async with serving() as server:
            await send(to(session, server))
            server.hang_up.set()
            await until(lambda: not session._links)
            server.hang_up = asyncio.Event()
            assert await send(to(session, server)) == b"ok"
        assert server.connections == 2

    async def test_one_that_closes_under_a_request_is_tried_once_more_where_that_does_no_harm(
        self, session: Session
    ) -> None:
        async with serving(lambda _, request: OK if request == 0 else None) as server:
            await send(to(session, server), GET)
            assert await send(to(session, server), GET) == b"ok"
            assert server.connections == 2
            with pytest.raises(UpstreamError, match="before its reply"):
                await send(to(session, server), POST)
        assert server.connections == 2

    async def test_a_fresh_one_that_closes_is_not_tried_again(self, session: Session) -> None:
        async with serving(lambda *_: None) as server:
            with pytest.raises(UpstreamError, match="before its reply"):
                await send(to(session, server), GET)
        assert server.connections == 1

    async def test_a_reply_that_began_is_not_asked_for_again(self, session: Session) -> None:
        async with serving(lambda _, request: OK if request == 0 else OK[:-1]) as server:
            await send(to(session, server), GET)
            sending = asyncio.create_task(send(to(session, server), GET))
            await until(lambda: len(server.requests) == 2)
            server.hang_up.set()
            with pytest.raises(UpstreamError, match="inside its reply"):
                await sending
        assert server.connections == 1

    async def test_one_with_an_unread_reply_is_closed(self, session: Session) -> None:
        long = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n1"
        async with serving(lambda *_: long) as server:
            async with to(session, server).send(UpstreamRequest(POST, {}, b"", "/x")) as reply:
                assert reply.status == 200
            await until(lambda: not server.open)
            assert not session._links

    async def test_idle_ones_go_after_a_while_the_newest_last(
        self, session: Session, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(pool, "IDLE_S", 0.3)
        async with serving() as server:
            await asyncio.gather(*(send(to(session, server)) for _ in range(3)))
            await asyncio.sleep(0.2)
            await send(to(session, server))
            await until(lambda: server.open == 1)
            assert len(session._links) == 1
            await until(lambda: server.open == 0)

    async def test_only_so_many_are_kept_and_only_so_many_opened(
        self, session: Session, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(pool, "MAX_IDLE", 2)
        monkeypatch.setattr(pool, "MAX_LINKS", 4)
        async with serving() as server:
            got = await asyncio.gather(
                *(send(to(session, server)) for _ in range(6)), return_exceptions=True
            )
            assert [it for it in got if isinstance(it, bytes)] == [b"ok"] * 4
            assert {type(it) for it in got} == {bytes, UpstreamUnreachableError}
            await until(lambda: server.open == 2)

    async def test_the_end_of_the_session_is_the_end_of_all_of_them(self) -> None:
        async with serving(lambda _, request: OK if request == 0 else b"") as server:
            async with open_session(Patience()) as session:
                await asyncio.gather(send(to(session, server)), send(to(session, server)))
                waiting = asyncio.create_task(send(to(session, server)))
                await until(lambda: len(server.requests) == 3)
            assert not session._links
            with pytest.raises(UpstreamError):
                await waiting
            await until(lambda: not server.open)


class TestCut:
    async def test_a_call_that_is_cut_while_it_waits_closes_its_connection(
        self, session: Session
    ) -> None:
        async with serving(lambda *_: b"") as server:
            sending = asyncio.create_task(send(to(session, server)))
            await until(lambda: bool(server.requests))
            sending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sending
            await until(lambda: not server.open)
        assert not session._links

    async def test_one_that_is_cut_while_it_connects_leaves_nothing_open(
        self, session: Session, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        begun = asyncio.Event()

        async def connect(*_: object) -> None:
            begun.set()
            await asyncio.Event().wait()

        monkeypatch.setattr(asyncio.get_running_loop(), "sock_connect", connect, raising=False)
        sending = asyncio.create_task(send(HttpUpstream(session, "http://127.0.0.1:9/v1")))
        await begun.wait()
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        await asyncio.sleep(0.01)
        gc.collect()  # what is open still would warn, and warnings are errors
        assert not session._links

    async def test_nobody_who_answers_is_waited_for_so_long(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def connect(*_: object) -> None:
            await asyncio.Event().wait()

        monkeypatch.setattr(asyncio.get_running_loop(), "sock_connect", connect, raising=False)
        async with open_session(Patience(connect_s=0.05)) as session:
            with pytest.raises(UpstreamUnreachableError, match=r"no connection within 0\.05 s"):
                await send(HttpUpstream(session, "http://127.0.0.1:9/v1"))


class TestAddresses:
    @pytest.fixture(autouse=True)
    def names(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async def look_up(_: str) -> Sequence[str]:
            return ["::1", "127.0.0.2", "127.0.0.1"]

        monkeypatch.setattr(resolver, "look_up", look_up)

    async def test_the_next_one_is_tried_beside_one_that_does_not_answer(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        loop, tried = asyncio.get_running_loop(), []
        real = loop.sock_connect

        async def connect(sock: socket.socket, address: tuple) -> None:
            tried.append(address[0])
            if address[0] != "127.0.0.1":
                await asyncio.Event().wait()
            await real(sock, address)

        monkeypatch.setattr(loop, "sock_connect", connect, raising=False)
        async with serving() as server, open_session(Patience(), [NAME]) as session:
            upstream = HttpUpstream(session, f"http://{NAME}:{server.port}")
            assert await send(upstream) == b"ok"
        assert tried == ["::1", "127.0.0.2", "127.0.0.1"]

    async def test_a_refusal_is_not_waited_for_and_the_last_one_is_told(self) -> None:
        async with serving() as server, open_session(Patience(), [NAME]) as session:
            port = server.port  # on the last address alone
            assert await send(HttpUpstream(session, f"http://{NAME}:{port}")) == b"ok"
            with pytest.raises(UpstreamUnreachableError, match=f"{NAME}:1: .*[Cc]onnect"):
                await send(HttpUpstream(session, f"http://{NAME}:1"))


@pytest.fixture
def at_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every name is this machine."""

    async def look_up(_: str) -> Sequence[str]:
        return ["127.0.0.1"]

    monkeypatch.setattr(resolver, "look_up", look_up)


def server_side() -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(PEM)
    return context


@pytest.mark.usefixtures("at_home")
class TestTls:
    async def test_a_certificate_of_ones_own_authority_is_good_for_its_names_only(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        named: list[str | None] = []
        context = server_side()
        context.sni_callback = lambda _, name, __: named.append(name)
        monkeypatch.setenv("SSL_CERT_FILE", str(PEM))
        private = [NAME, "llm.example"]
        async with serving(tls=context) as server, open_session(Patience(), private) as session:
            for _ in range(2):
                assert await send(HttpUpstream(session, f"https://{NAME}:{server.port}")) == b"ok"
            with pytest.raises(UpstreamUnreachableError, match=r"(?i)certificate.*llm\.example"):
                await send(HttpUpstream(session, f"https://llm.example:{server.port}"))
        assert named == [NAME, "llm.example"]
        assert len(server.requests) == 2
        assert server.connections == 1

    async def test_without_it_nobody_is_believed(self) -> None:
        async with (
            serving(tls=server_side()) as server,
            open_session(Patience(), [NAME]) as session,
        ):
            with pytest.raises(UpstreamUnreachableError, match=r"(?i)certificate"):
                await send(HttpUpstream(session, f"https://{NAME}:{server.port}"))
            assert not session._links
        assert not server.requests

    async def test_who_speaks_no_tls_is_not_spoken_to(self) -> None:
        patience = Patience(connect_s=0.3)
        async with serving() as server, open_session(patience, [NAME]) as session:
            with pytest.raises(UpstreamUnreachableError):
                await send(HttpUpstream(session, f"https://{NAME}:{server.port}"))
            assert not session._links


@asynccontextmanager
async def forward_proxy(answer: bytes, port: int = 0) -> AsyncIterator[tuple[str, list[bytes]]]:
    """Tunnels to ``port`` after ``answer``; its URL, and the heads that it was sent."""
    heads: list[bytes] = []

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answer)
        if port:
            there, back = await asyncio.open_connection("127.0.0.1", port)
            await asyncio.gather(pump(reader, back), pump(there, writer))
        writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://me:secret-word@127.0.0.1:{listener.sockets[0].getsockname()[1]}", heads
    finally:
        listener.close()


class TestTunnels:
    async def test_tls_to_the_provider_goes_through_a_forward_proxy_which_sees_no_key(
        self, monkeypatch: pytest.MonkeyPatch, open_bench: OpenBench
    ) -> None:
        monkeypatch.setenv("SSL_CERT_FILE", str(PEM))
        async with (
            serving(tls=server_side()) as server,
            forward_proxy(b"HTTP/1.1 200 Connection established\r\n\r\n", server.port) as it,
        ):
            gate, heads = it
            there = ProviderSpec(
                "openai", "openai", f"https://{NAME}/v1", REAL_KEY, forward_proxy=gate
            )
            async with open_bench(there) as bench:
                for _ in range(2):
                    got = await bench.post("/chat/completions", {"model": "m", "messages": []})
                    assert got.content == b"ok"
        [head] = heads
        assert head.startswith(f"CONNECT {NAME}:443 HTTP/1.1\r\nHost: {NAME}:443\r\n".encode())
        assert b"Proxy-Authorization: Basic " in head
        assert REAL_KEY.encode() not in head
        first = server.requests[0]
        assert first.startswith(b"POST /v1/chat/completions HTTP/1.1\r\nHost: " + NAME.encode())
        assert b"Proxy-Authorization" not in first

    @pytest.mark.parametrize(
        ("answer", "why"),
        [
            (b"HTTP/1.1 407 Who?\r\nContent-Length: 0\r\n\r\n", "refused with HTTP status 407"),
            (b"HTTP/1.1 302 There\r\nLocation: http://x\r\n\r\n", "status 302"),
            (b"220 hello\r\n\r\n", "does not speak HTTP"),
            (b"HTTP/1.1 200 OK\r\n\r\nboo", "spoke before"),
            (b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 5000, "said too much"),
            (b"HTTP/1.1 200", "broke off"),
        ],
    )
    async def test_one_that_refuses_is_told_of_and_its_password_is_not(
        self, session: Session, answer: bytes, why: str
    ) -> None:
        async with forward_proxy(answer) as (gate, _):
            with pytest.raises(UpstreamUnreachableError, match=why) as caught:
                await send(HttpUpstream(session, f"https://{NAME}/v1", gate))
        assert "secret-word" not in str(caught.value)
        assert not session._links


class TestRequests:
    @pytest.mark.parametrize(
        "headers", [{"A": "b\r\nC: d"}, {"A": "b\nC: d"}, {"A\r\nB": "c"}, {"A": "é"}, {"A": "b\r"}]
    )
    async def test_no_header_becomes_two(self, session: Session, headers: dict[str, str]) -> None:
        upstream = HttpUpstream(session, "http://127.0.0.1:9")
        with pytest.raises(UpstreamError, match="header"):
            upstream.send(UpstreamRequest(POST, headers, b"", "/x"))

    @pytest.mark.parametrize("target", ["/x y", "/x\r\nA: b", "/é", ""])
    async def test_no_path_ends_the_line(self, session: Session, target: str) -> None:
        upstream = HttpUpstream(session, "http://127.0.0.1:9")
        with pytest.raises(UpstreamError, match="path"):
            upstream.send(UpstreamRequest(POST, {}, b"", target))

    async def test_long_ones_arrive_whole_through_small_buffers(self) -> None:
        body, got = bytes(range(256)) * 40_000, bytearray()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            while len(got) < len(body):
                got.extend(await reader.read(50_000))
                await asyncio.sleep(0)
            writer.write(OK)
            await reader.read()
            writer.close()
            over.set()

        over = asyncio.Event()
        listener = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = listener.sockets[0].getsockname()[1]
        async with open_session(Patience()) as session:
            assert await send(HttpUpstream(session, f"http://127.0.0.1:{port}"), body=body) == b"ok"
        assert got == body
        await over.wait()
        listener.close()

    async def test_ipv6_and_usual_ports_in_host(self, session: Session) -> None:
        upstream = HttpUpstream(session, "https://[2001:db8::1]/v1")
        assert b"\r\nHost: [2001:db8::1]\r\n" in upstream._head(
            UpstreamRequest(POST, {}, b"", "/x")
        )
        upstream = HttpUpstream(session, "https://[2001:db8::1]:80/v1")
        assert b"Host: [2001:db8::1]:80\r\n" in upstream._head(UpstreamRequest(POST, {}, b"", "/x"))


async def test_silence_is_told_apart_from_a_connection_that_ends() -> None:
    patience = replace(Patience(), silence_s=0.1)
    async with serving(lambda *_: b"") as server, open_session(patience) as session:
        with pytest.raises(UpstreamError, match="silent"):
            await send(to(session, server))
        await until(lambda: not server.open)
