"""Where calls to a provider really go: names, certificates, redirects."""

import asyncio
import base64
import socket
import ssl
from pathlib import Path

import pytest
from aiohttp import web

from pacabench.proxy import resolver
from pacabench.proxy.control import ProviderSpec
from pacabench.testing import FakeProvider
from tests.integration.proxy.conftest import REAL_KEY, OpenBench

PEM = Path(__file__).parents[2] / "support" / "fake_web.pem"
"""A certificate that signed itself, and its key."""
ASKED = {"model": "m", "messages": []}


class Rebinding:
    """A name that points somewhere else each time it is asked for."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = list(addresses)
        self.asked = 0

    async def __call__(self, host: str) -> list[str]:
        address = self.addresses[min(self.asked, len(self.addresses) - 1)]
        self.asked += 1
        return [address]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Rebinding:
    names = Rebinding("127.0.0.1")
    monkeypatch.setattr(resolver, "look_up", names)
    return names


def spec(provider: FakeProvider, *, private: bool) -> ProviderSpec:
    url = provider.base_url.replace("127.0.0.1", "llm.example")
    return ProviderSpec("openai", "openai", url, REAL_KEY, private=private)


async def test_a_name_that_leads_into_this_network_is_not_followed(
    open_bench: OpenBench, names: Rebinding
) -> None:
    async with FakeProvider() as provider, open_bench(spec(provider, private=False)) as it:
        got = await it.post("/chat/completions", ASKED)
        [record] = await it.settled()
    assert got.status == 502
    assert "llm.example has the address 127.0.0.1, which is loopback" in record.error
    assert not record.may_be_billed
    assert provider.books == []


async def test_unless_the_users_base_url_says_so(open_bench: OpenBench, names: Rebinding) -> None:
    async with FakeProvider() as provider, open_bench(spec(provider, private=True)) as it:
        assert (await it.post("/chat/completions", ASKED)).status == 200
    assert len(provider.books) == 1


async def test_the_address_that_was_checked_is_the_one_that_is_used(
    open_bench: OpenBench, names: Rebinding
) -> None:
    """Who answers publicly first and with this machine then gets nowhere: nobody asks again."""
    names.addresses = ["93.184.216.34", "127.0.0.1"]
    connected: list[object] = []
    loop = asyncio.get_running_loop()
    real = loop.sock_connect

    async def connect(sock: socket.socket, address: object) -> None:
        connected.append(address)
        if address[0] != "127.0.0.1":
            raise ConnectionRefusedError
        await real(sock, address)

    async with FakeProvider() as provider, open_bench(spec(provider, private=False)) as it:
        loop.sock_connect = connect
        try:
            got = await it.post("/chat/completions", ASKED)
        finally:
            del loop.sock_connect
    assert got.status == 502
    assert [address[0] for address in connected if address[1] != it.port] == ["93.184.216.34"]
    assert provider.books == []


async def test_a_forward_proxy_is_used_where_it_is_given_and_its_password_told_to_nobody(
    open_bench: OpenBench,
) -> None:
    seen: list[web.BaseRequest] = []

    async def forward(request: web.BaseRequest) -> web.Response:
        seen.append(request)
        login = request.headers["Proxy-Authorization"]
        return web.json_response({"error": {"message": "who is secret-word?", "is": login}})

    server = web.Server(forward)
    runner = web.ServerRunner(server)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    gate = f"http://me:secret-word@127.0.0.1:{runner.addresses[0][1]}"
    there = ProviderSpec("openai", "openai", "http://llm.example/v1", REAL_KEY, forward_proxy=gate)
    try:
        async with open_bench(there) as it:
            got = await it.post("/chat/completions", ASKED)
            [record] = await it.settled()
    finally:
        await runner.cleanup()
    assert got.status == 200
    assert [str(request.url) for request in seen] == ["http://llm.example/v1/chat/completions"]
    assert seen[0].headers["Authorization"] == f"Bearer {REAL_KEY}"
    assert b"secret-word" not in got.content
    assert base64.b64encode(b"me:secret-word") not in got.content
    assert "secret-word" not in str(record)


async def test_a_certificate_that_nobody_vouches_for_ends_the_call(
    open_bench: OpenBench,
) -> None:
    served: list[web.Request] = []

    async def answer(request: web.Request) -> web.Response:
        served.append(request)
        return web.json_response({})

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(PEM)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    port = runner.addresses[0][1]
    try:
        there = ProviderSpec("openai", "openai", f"https://127.0.0.1:{port}/v1", REAL_KEY)
        async with open_bench(there) as it:
            got = await it.post("/chat/completions", ASKED)
            [record] = await it.settled()
    finally:
        await runner.cleanup()
    assert got.status == 502
    assert "certificate" in record.error.lower()
    assert served == []
