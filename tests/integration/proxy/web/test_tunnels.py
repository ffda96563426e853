"""CONNECT: TLS to the host that was asked for, and nothing else."""

import asyncio
import ssl
from pathlib import Path

import pytest
import requests

from pacabench.proxy.spool import Spool, read_egress
from pacabench.proxy.web.client_hello import ACCESS_DENIED
from pacabench.proxy.web.stream import Limits
from pacabench.sandbox.environment import web_variables
from tests.integration.proxy.web.conftest import (
    ATTEMPT,
    NAME,
    PEM,
    OpenWeb,
    Web,
    client_context,
    echo,
    open_site,
    server_context,
)


def hello_for(name: str | None) -> bytes:
    """OpenSSL's first message."""
    context = ssl.create_default_context()
    context.check_hostname = False
    outgoing = ssl.MemoryBIO()
    client = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


async def after(web: Web, port: int, data: bytes) -> bytes:
    """What comes back through a tunnel into which ``data`` is written."""
    reader, writer = await web.connect(NAME, port)
    writer.write(data)
    async with asyncio.timeout(10):
        try:
            return await reader.read()
        except ConnectionError:
            return b""


async def fetch(web: Web, asked: str, port: int, named: str, text: bytes = b"ping") -> bytes:
    """``text`` there and back, over TLS that names ``named`` in a tunnel to ``asked``."""
    reader, writer = await web.connect(asked, port)
    async with asyncio.timeout(10):
        await writer.start_tls(client_context(), server_hostname=named)
        writer.write(text)
        return await reader.readexactly(len(text))


class TestWhatIsAllowed:
    async def test_bytes_go_both_ways_and_are_counted(
        self, open_web: OpenWeb, tmp_path: Path
    ) -> None:
        spool = Spool(tmp_path / "spool")
        async with (
            open_site(echo, server_context()) as site,
            open_web(f"*.pedia.example:{site.port}", spool=spool) as web,
        ):
            text = b"x" * 3_000_000
            assert await fetch(web, NAME, site.port, NAME, text) == text
            [begun] = read_egress(tmp_path / "spool")
            web.writers[0].close()
            record = await web.record()
            assert read_egress(tmp_path / "spool") == [record]
        spool.close()
        assert (begun.verdict, begun.reason, begun.egress_id) == (
            "allowed",
            "interrupted",
            record.egress_id,
        )
        assert (record.attempt_id, record.method, record.host, record.port) == (
            ATTEMPT,
            "CONNECT",
            NAME,
            site.port,
        )
        assert (record.verdict, record.reason, record.address) == ("allowed", None, "127.0.0.1")
        assert 3_000_000 < record.bytes_up < 3_100_000
        assert 3_000_000 < record.bytes_down < 3_100_000
        assert record.duration_ms > 0

    @pytest.mark.parametrize(
        ("asked", "named"),
        [("EN.PEDIA.Example", NAME), (f"{NAME}.", NAME), (NAME, "EN.pedia.EXAMPLE")],
    )
    async def test_case_and_a_last_dot_do_not_matter(
        self, open_web: OpenWeb, asked: str, named: str
    ) -> None:
        async with (
            open_site(echo, server_context()) as site,
            open_web(f"*.pedia.example:{site.port}") as web,
        ):
            assert await fetch(web, asked, site.port, named) == b"ping"
            assert web.resolver.asked == [NAME]

    @pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
    async def test_both_tls_versions_of_today(
        self, open_web: OpenWeb, newest: ssl.TLSVersion
    ) -> None:
        context = server_context()
        context.maximum_version = newest
        async with (
            open_site(echo, context) as site,
            open_web(f"*.pedia.example:{site.port}") as web,
        ):
            assert await fetch(web, NAME, site.port, NAME) == b"ping"

    async def test_a_client_library_gets_through_by_the_variables(
        self, open_web: OpenWeb, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def page(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npong")
            await reader.read()

        async with (
            open_site(page, server_context()) as site,
            open_web(f"*.pedia.example:{site.port}") as web,
        ):
            for name, value in web_variables(f"http://127.0.0.1:{web.port}").items():
                monkeypatch.setenv(name, value)
            with requests.Session() as session:
                url = f"https://{NAME}:{site.port}/"
                reply = await asyncio.to_thread(session.get, url, verify=str(PEM), timeout=10)
                assert reply.text == "pong"
                with pytest.raises(requests.exceptions.ProxyError, match="Denied by sandbox"):
                    await asyncio.to_thread(session.get, "https://evil.example/", timeout=10)

    async def test_a_server_may_ask_for_a_second_hello(self, open_web: OpenWeb) -> None:
        context = server_context()
        context.set_ecdh_curve("secp521r1")  # for which clients send no share at first
        async with (
            open_site(echo, context) as site,
            open_web(f"*.pedia.example:{site.port}") as web,
        ):
            assert await fetch(web, NAME, site.port, NAME) == b"ping"

    async def test_a_hello_in_many_records_is_put_together(self, open_web: OpenWeb) -> None:
        hello = hello_for(NAME)[5:]
        step = len(hello) // 20 + 1
        records = b"".join(
            b"\x16\x03\x01" + len(piece).to_bytes(2) + piece
            for piece in (hello[at : at + step] for at in range(0, len(hello), step))
        )
        async with (
            open_site(echo) as site,
            open_web(f"*.pedia.example:{site.port}") as web,
        ):
            # The echo is no ServerHello; what counts is that the server got it whole.
            await after(web, site.port, records)
            assert site.received == records

    async def test_a_client_that_is_done_is_still_answered(self, open_web: OpenWeb) -> None:
        async def late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readexactly(4)
            await asyncio.sleep(0.2)
            writer.write(b"late")

        async with (
            open_site(late, server_context()) as site,
            open_web(f"*.pedia.example:{site.port}") as web,
        ):
            assert await fetch(web, NAME, site.port, NAME) == b"late"


class TestWhatIsNotListed:
    @pytest.mark.parametrize(
        "target",
        [
            "evilpedia.example:443",
            "pedia.example:443",
            "en.pedia.example.evil.example:443",
            "en.pedia.example:80",
            "other.example:443",
        ],
    )
    async def test_is_refused_before_anything_is_looked_up(
        self, open_web: OpenWeb, target: str
    ) -> None:
        async with open_web("*.pedia.example:443") as web:
            reply = await web.say(f"CONNECT {target} HTTP/1.1\r\n\r\n".encode())
            record = await web.record()
            assert web.resolver.asked == []
        assert reply.startswith(b"HTTP/1.1 403 Denied by sandbox.egress.allow\r\n")
        assert f"{target} is not in sandbox.egress.allow".encode() in reply
        assert (record.verdict, record.reason) == ("denied", "not_listed")
        assert f"{record.host}:{record.port}" == target

    @pytest.mark.parametrize("target", ["127.0.0.1:443", "0x7f.1:443", "2130706433:443"])
    async def test_so_is_an_address(self, open_web: OpenWeb, target: str) -> None:
        async with open_web("*.pedia.example:443") as web:
            reply = await web.say(f"CONNECT {target} HTTP/1.1\r\n\r\n".encode())
            record = await web.record()
        assert b" 403 " in reply
        assert (record.verdict, record.reason) == ("denied", "address")

    async def test_with_an_empty_list_it_is_everything(self, open_web: OpenWeb) -> None:
        async with open_web() as web:
            assert b" 403 " in await web.say(b"CONNECT en.pedia.example:443 HTTP/1.1\r\n\r\n")


class TestAddresses:
    @pytest.mark.parametrize(
        "answer",
        [
            ["169.254.169.254"],
            ["10.0.0.5"],
            ["::1"],
            ["::ffff:127.0.0.1"],
            ["64:ff9b::a9fe:a9fe"],
            ["127.0.0.1", "10.0.0.5"],
            ["10.0.0.5", "127.0.0.1"],
        ],
    )
    async def test_one_that_is_not_public_closes_the_way(
        self, open_web: OpenWeb, answer: list[str]
    ) -> None:
        async with (
            open_site(echo) as site,
            open_web(f"*.pedia.example:{site.port}") as web,
        ):
            web.resolver.answers[NAME] = [answer]
            reply = await web.say(f"CONNECT {NAME}:{site.port} HTTP/1.1\r\n\r\n".encode())
            record = await web.record()
            assert site.connections == 0
        assert b" 403 " in reply
        assert b"10.0.0.5" not in reply  # what a name means in here is not the agent's business
        assert (record.verdict, record.reason, record.address) == ("denied", "address", None)
        assert next(text for text in answer if text != "127.0.0.1") in record.detail

    async def test_a_second_answer_is_never_asked_for(self, open_web: OpenWeb) -> None:
        async with (
            open_site(echo, server_context()) as site,
            open_web(f"*.pedia.example:{site.port}") as web,
        ):
            web.resolver.answers[NAME] = [["127.0.0.1"], ["169.254.169.254"]]
            assert await fetch(web, NAME, site.port, NAME) == b"ping"
            assert web.resolver.asked == [NAME]
            reply = await web.say(f"CONNECT {NAME}:{site.port} HTTP/1.1\r\n\r\n".encode())
            assert b" 403 " in reply
            assert site.connections == 1

    async def test_the_next_address_is_tried_where_one_does_not_answer(
        self, open_web: OpenWeb
    ) -> None:
        async with (
            open_site(echo, server_context()) as site,
            open_web(f"*.pedia.example:{site.port}", limits=Limits(connect_s=0.2)) as web,
        ):
            web.gateway._outside.policy.problem = lambda _: None  # one that nobody answers at
            web.resolver.answers[NAME] = [["127.0.0.2", "127.0.0.1"]]
            assert await fetch(web, NAME, site.port, NAME) == b"ping"

    async def test_a_name_without_an_address_fails(self, open_web: OpenWeb) -> None:
        async with open_web("nowhere.example:443") as web:
            reply = await web.say(b"CONNECT nowhere.example:443 HTTP/1.1\r\n\r\n")
            record = await web.record()
        assert reply.startswith(b"HTTP/1.1 502 ")
        assert (record.verdict, record.reason) == ("failed", "unresolved")

    async def test_a_lookup_that_does_not_end_fails(self, open_web: OpenWeb) -> None:
        async with open_web("*.pedia.example:443", limits=Limits(lookup_s=0.1)) as web:
            web.resolver.delay_s = 5
            reply = await web.say(b"CONNECT en.pedia.example:443 HTTP/1.1\r\n\r\n")
            record = await web.record()
        assert reply.startswith(b"HTTP/1.1 504 ")
        assert record.reason == "unresolved"

    async def test_nobody_at_the_port_fails(self, open_web: OpenWeb) -> None:
        async with open_site(echo) as site:
            port = site.port
        async with open_web(f"*.pedia.example:{port}") as web:
            reply = await web.say(f"CONNECT {NAME}:{port} HTTP/1.1\r\n\r\n".encode())
            record = await web.record()
        assert reply.startswith(b"HTTP/1.1 502 ")
        assert (record.verdict, record.reason, record.address) == ("failed", "unreachable", None)


def with_tail(hello: bytes) -> bytes:
    """``hello`` with another message's beginning in the same record."""
    length = int.from_bytes(hello[3:5]) + 1
    return hello[:3] + length.to_bytes(2) + hello[5:] + b"\x14"


def with_ech(hello: bytes) -> bytes:
    """``hello`` with an encrypted one in it."""
    message = hello[5:]
    extensions_at = 4 + 2 + 32
    extensions_at += 1 + message[extensions_at]
    extensions_at += 2 + int.from_bytes(message[extensions_at : extensions_at + 2])
    extensions_at += 1 + message[extensions_at]
    extensions = message[extensions_at + 2 :] + b"\xfe\x0d\0\x01\0"
    body = message[4:extensions_at] + len(extensions).to_bytes(2) + extensions
    made = b"\x01" + len(body).to_bytes(3) + body
    return b"\x16\x03\x01" + len(made).to_bytes(2) + made


class TestNoTunnelInTheTunnel:
    @pytest.mark.parametrize(
        ("data", "reason"),
        [
            (b"GET / HTTP/1.1\r\nHost: en.pedia.example\r\n\r\n", "not_tls"),
            (b"SSH-2.0-OpenSSH_9.2\r\n", "not_tls"),
            (b"\x17\x03\x03\0\x05hello", "not_tls"),
            (b"\x16\x03\x01\0\x04\x02\0\0\0", "not_tls"),
            (b"\x16\x03\x01\xff\xff\x01", "not_tls"),
            (with_tail(hello_for(NAME)), "not_tls"),
            (hello_for("www.other.example"), "sni_mismatch"),
            (hello_for("pedia.example"), "sni_mismatch"),
            (hello_for("xen.pedia.example"), "sni_mismatch"),
            (hello_for(None), "no_sni"),
            (with_ech(hello_for(NAME)), "hidden_name"),
        ],
    )
    async def test_not_a_byte_of_anything_else_goes_on(
        self, open_web: OpenWeb, data: bytes, reason: str
    ) -> None:
        async with (
            open_site(echo) as site,
            open_web(f"*.pedia.example:{site.port}") as web,
        ):
            reader, writer = await web.connect(NAME, site.port)
            writer.write(data)
            writer.write_eof()
            async with asyncio.timeout(10):
                assert await reader.read() == ACCESS_DENIED
            record = await web.record()
            assert site.received == b""
        assert (record.verdict, record.reason) == ("denied", reason)
        assert (record.bytes_up, record.bytes_down) == (0, 0)
        assert record.address == "127.0.0.1"

    async def test_nothing_follows_a_hello_until_the_server_has_spoken(
        self, open_web: OpenWeb
    ) -> None:
        """Else a second hello, for another host, could be there when it asks for one."""
        first = hello_for(NAME)
        async with (
            open_site(echo) as site,
            open_web(f"*.pedia.example:{site.port}") as web,
        ):
            await after(web, site.port, first + hello_for("www.other.example"))
            await web.record()
            assert site.received == first

    async def test_a_second_hello_for_another_host_does_not_go_on(self, open_web: OpenWeb) -> None:
        random = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")
        body = b"\x03\x03" + random + b"\0\x13\x01\0"
        retry = b"\x16\x03\x03\0" + bytes([len(body) + 4]) + b"\x02\0\0" + bytes([len(body)]) + body

        async def ask_again(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(65536)
            writer.write(retry)
            await echo(reader, writer)

        first, early = hello_for(NAME), b"\x14\x03\x03\0\x01\x01" + b"\x17\x03\x03\0\x05hello"
        async with (
            open_site(ask_again) as site,
            open_web(f"*.pedia.example:{site.port}") as web,
        ):
            reader, writer = await web.connect(NAME, site.port)
            writer.write(first)
            async with asyncio.timeout(10):
                assert await reader.readexactly(len(retry)) == retry
                writer.write(early + hello_for("www.other.example"))
                assert (await reader.read()).endswith(ACCESS_DENIED)
            record = await web.record()
            assert site.received == first + early
        assert (record.verdict, record.reason) == ("denied", "sni_mismatch")

    async def test_what_is_no_tls_later_is_cut_too(self, open_web: OpenWeb) -> None:
        async with (
            open_site(echo, server_context()) as site,
            open_web(f"*.pedia.example:{site.port}") as web,
        ):
            _, writer = await web.connect(NAME, site.port)
            raw = writer.transport
            await writer.start_tls(client_context(), server_hostname=NAME)
            raw.write(b"SSH-2.0-OpenSSH_9.2\r\n")
            record = await web.record()
        assert (record.verdict, record.reason) == ("denied", "not_tls")

    async def test_a_server_that_speaks_something_else_is_cut(self, open_web: OpenWeb) -> None:
        async def banner(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(65536)
            writer.write(b"SSH-2.0-OpenSSH_9.2\r\n")

        async with (
            open_site(banner) as site,
            open_web(f"*.pedia.example:{site.port}") as web,
        ):
            assert await after(web, site.port, hello_for(NAME)) == ACCESS_DENIED
            record = await web.record()
        assert (record.verdict, record.reason) == ("denied", "not_tls")

    async def test_a_hello_that_does_not_come_is_not_waited_for(self, open_web: OpenWeb) -> None:
        async with (
            open_site(echo) as site,
            open_web(f"*.pedia.example:{site.port}", limits=Limits(head_s=0.2)) as web,
        ):
            assert await after(web, site.port, hello_for(NAME)[:50]) == ACCESS_DENIED
            record = await web.record()
        assert (record.verdict, record.reason) == ("denied", "slow")
