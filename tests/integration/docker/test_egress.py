"""The web by allow-list, from a real lane: an agent, the sidecar, and a web made of containers.

The web's addresses are public ones that nobody announces, on a network of this engine alone.
"""

import asyncio
import json
import random
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker
import pytest

from pacabench.aio import finish
from pacabench.egress import EgressRecord
from pacabench.sandbox.base import SandboxAgent, Session
from pacabench.sandbox.docker import runtime
from pacabench.sandbox.docker.engine import Engine
from pacabench.sandbox.docker.images.sidecar import ensure_sidecar_image
from pacabench.sandbox.docker.labels import opaque_name
from tests.integration.docker.conftest import Rig, case, containers_of, eventually, tell

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300)]  # images may have to be built

PEM = Path(__file__).parents[2] / "support" / "fake_web.pem"
LABELS = {"pacabench.test": "fake-web"}
ALLOW = ["*.pedia.example:443", "pedia.example:80", "*.pedia.example:80"]

SERVER = """
import http.server, os, ssl, threading
open('/tmp/pem', 'w').write(os.environ['PEM'])

class Echo(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = f"{self.server.scheme} {self.headers['Host']} {self.path}".encode()
        self.send_response(200)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)

def serve(port, scheme):
    server = http.server.ThreadingHTTPServer(('0.0.0.0', port), Echo)
    server.scheme = scheme
    if scheme == 'https':
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain('/tmp/pem')
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever).start()

serve(443, 'https')
serve(80, 'http')
print('up', flush=True)
"""

TOOLS = """
import ssl, urllib.request
trust = ssl.create_default_context(cadata=os.environ['PEM'])
open_tunnels = []
opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=trust))

def fetch(url):
    try:
        return opener.open(url, timeout=20).read().decode()
    except OSError as error:
        return str(error)

def connect(target):
    sock = socket.create_connection(('127.0.0.1', 8081), timeout=20)
    sock.sendall(f'CONNECT {target} HTTP/1.1\\r\\n\\r\\n'.encode())
    head = b''
    while not head.endswith(b'\\r\\n\\r\\n'):
        head += sock.recv(1)
    return sock, int(head.split()[1])

def status(target):
    return connect(target)[1]

def say_in(target, data):
    sock, _ = connect(target)
    sock.sendall(data)
    return sock.recv(100).hex()

def tls_in(target, name):
    sock, _ = connect(target)
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        open_tunnels.append(context.wrap_socket(sock, server_hostname=name))
        return open_tunnels[-1].version()
    except OSError as error:
        return str(error)
"""


@dataclass
class FakeWeb:
    """A network with one server, and what the sidecar is told of names."""

    engine: Engine
    network: str
    server: str
    gateway: str
    records: list[EgressRecord] = field(default_factory=list)
    hosts: list[str] = field(default_factory=list)

    def name(self, host: str, *addresses: str) -> None:
        """From now on sidecars know ``host``."""
        self.hosts += [f"{host}:{address}" for address in addresses]

    async def let_in(self, rig: Rig) -> str:
        """Connect the run's sidecar to the web; its id."""
        (sidecar,) = await containers_of(self.engine, rig.run_id, "sidecar")
        await self.engine.call(
            lambda client: client.connect_container_to_network(sidecar, self.network)
        )
        return sidecar

    def of(self, attempt_id: str) -> list[EgressRecord]:
        return [record for record in self.records if record.attempt_id == attempt_id]


async def make_network(engine: Engine) -> tuple[str, str, str]:
    """A network in a part of 28.0.0.0/8, the server's address, the bridge's own."""
    for _ in range(20):
        start = f"28.{random.randrange(1, 255)}.{random.randrange(1, 255)}"
        pool = docker.types.IPAMPool(subnet=f"{start}.0/29", gateway=f"{start}.1")
        ipam = docker.types.IPAMConfig(pool_configs=[pool])
        try:
            made = await engine.call(
                lambda client, ipam=ipam: client.create_network(
                    opaque_name(), driver="bridge", ipam=ipam, internal=True, labels=LABELS
                )
            )
        except docker.errors.APIError:
            continue  # another test's
        return made["Id"], f"{start}.2", f"{start}.1"
    raise AssertionError("no free network")


@pytest.fixture
async def web(
    engine: Engine, cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[FakeWeb]:
    image = await ensure_sidecar_image(engine, cache_dir=cache_dir, listener=lambda _: None)
    network, address, gateway = await make_network(engine)
    container = ""
    made = FakeWeb(engine, network, address, gateway)
    real = runtime.sidecar_container

    def with_hosts(**more: Any) -> Mapping[str, Any]:
        body = real(**more)
        body["HostConfig"]["ExtraHosts"] = made.hosts
        return body

    monkeypatch.setattr(runtime, "sidecar_container", with_hosts)
    try:
        container = await engine.call(lambda client: serve(client, image, network, address))
        await eventually(lambda: is_up(engine, container))
        yield made
    finally:
        if container:
            await finish(engine.call(lambda client: client.remove_container(container, force=True)))
        await finish(engine.call(lambda client: client.remove_network(network)))


def serve(client: docker.APIClient, image: str, network: str, address: str) -> str:
    """Start the web's server."""
    config = client.create_networking_config(
        {network: client.create_endpoint_config(ipv4_address=address)}
    )
    made = client.create_container(
        image,
        entrypoint=["python3", "-c", SERVER],
        environment={"PEM": PEM.read_text()},
        labels=LABELS,
        user="0:0",
        networking_config=config,
        host_config=client.create_host_config(network_mode=network),
    )
    client.start(made["Id"])
    return str(made["Id"])


async def is_up(engine: Engine, container: str) -> bool:
    return b"up" in await engine.call(lambda client: client.logs(container))


def reader(rig: Rig, name: str = "obedient", allow: Sequence[str] = ALLOW) -> SandboxAgent:
    certificate = ssl.DER_cert_to_PEM_cert(ssl.PEM_cert_to_DER_cert(certificate_text()))
    more = {"egress": {"allow": list(allow)}} if allow else {}
    return rig.agent(name=name, env={"PEM": certificate}, **more)


def certificate_text() -> str:
    return PEM.read_text().partition("-----BEGIN PRIVATE KEY-----")[0]


async def ask(session: Session, expression: str) -> Any:
    return await tell(session, f"{TOOLS}\nsay({expression})")


async def test_an_agent_reaches_what_is_listed_and_nothing_else(rig: Rig, web: FakeWeb) -> None:
    rig.on_egress = web.records.append
    web.name("en.pedia.example", web.server)
    web.name("pedia.example", web.server)
    web.name("evilpedia.example", web.server)
    web.name("loop.pedia.example", "127.0.0.1")
    web.name("meta.pedia.example", "169.254.169.254")
    web.name("docker.pedia.example", "172.17.0.1")
    web.name("own.pedia.example", web.gateway)
    web.name("both.pedia.example", web.server, "10.0.0.5")
    listed, unlisted = reader(rig), reader(rig, "other", allow=())
    async with rig.open(listed, unlisted, concurrency=2) as sandbox:
        await web.let_in(rig)
        session, other = await sandbox.start(listed), await sandbox.start(unlisted)
        assert await ask(session, "status('en.pedia.example:443')") == 403  # not bound yet
        await session.bind("listed")
        await other.bind("unlisted")

        reached = "[fetch('https://en.pedia.example/a?b'), fetch('http://pedia.example/c')]"
        assert await ask(session, reached) == [
            "https en.pedia.example /a?b",
            "http pedia.example /c",
        ]
        # The same for the LLM proxy, which no proxy variable may lead astray.
        assert await tell(session, "say(ask_model('ping'))") == "ping"
        assert await tell(session, "say(os.listdir('/sys/class/net'))") == ["lo"]

        refused = [
            *("pedia.example:443", "evilpedia.example:443", "en.pedia.example:8443"),
            *("loop.pedia.example:443", "meta.pedia.example:443", "docker.pedia.example:443"),
            *("own.pedia.example:443", "both.pedia.example:443", f"{web.server}:443"),
        ]
        assert await ask(session, f"[status(it) for it in {refused}]") == [403] * len(refused)
        kept = "'en.pedia.example:443'"
        assert await ask(session, f"[status('EN.pedia.Example.:443'), status({kept})]") == [200] * 2
        assert "access denied" in await ask(session, f"tls_in({kept}, 'pedia.example')")
        assert "access denied" in await ask(session, f"tls_in({kept}, None)")
        alert = "15030300020231"
        assert await ask(session, f"say_in({kept}, b'GET / HTTP/1.0\\r\\n\\r\\n')") == alert
        assert await ask(session, f"tls_in({kept}, 'en.pedia.example')") == "TLSv1.3"

        names = "[name for name in os.environ if name.upper().endswith('_PROXY')]"
        assert len(await ask(session, names)) == 6
        assert await ask(other, names) == []
        assert await ask(other, f"status({kept})") == 403
        await session.unbind()
        assert await ask(session, f"status({kept})") == 403
        told = {(record.host, record.port): record for record in web.of("listed")}
        await asyncio.gather(session.close(), other.close())

    page = next(r for r in web.records if r.method == "CONNECT" and r.bytes_down > 100)
    assert (page.host, page.port, page.address) == ("en.pedia.example", 443, web.server)
    assert (page.verdict, page.reason) == ("allowed", None)
    assert told["pedia.example", 80].status == 200
    reasons = {
        f"{host}:{port}": it.reason for (host, port), it in told.items() if it.verdict == "denied"
    }
    assert reasons["evilpedia.example:443"] == reasons["en.pedia.example:8443"] == "not_listed"
    hidden = ("loop", "meta", "docker", "own", "both")
    assert {reasons[f"{name}.pedia.example:443"] for name in hidden} == {"address"}
    late = {it.reason for it in web.of("listed") if it.host == "en.pedia.example"}
    assert {"sni_mismatch", "no_sni", "not_tls"} <= late
    assert [it.reason for it in web.of("unlisted")] == ["not_listed"]
    assert {it.attempt_id for it in web.records} == {"listed", "unlisted"}


async def test_a_tunnel_under_a_sidecar_that_is_killed_is_on_record(
    rig: Rig, web: FakeWeb, engine: Engine
) -> None:
    rig.on_egress = web.records.append
    web.name("en.pedia.example", web.server)
    agent = reader(rig)
    # Without a provider too: the web needs none.
    async with rig.open(agent, providers=[]) as sandbox:
        sidecar = await web.let_in(rig)
        session = await sandbox.start(agent)
        await session.bind("one")
        assert await ask(session, "fetch('https://en.pedia.example/')")
        held = "tls_in('en.pedia.example:443', 'en.pedia.example'), time.sleep(60)"
        await session.send(case(f"{TOOLS}\nsay({held})"), last=False)
        await eventually(lambda: spooled(engine, sidecar, 3))
        await engine.call(lambda client: client.kill(sidecar))
        await session.close()
        async with asyncio.timeout(60):
            await session.unbind()
    assert sorted(str(record.reason) for record in web.of("one")) == ["None", "interrupted"]
    assert len({record.egress_id for record in web.records}) == 2


async def spooled(engine: Engine, sidecar: str, lines: int) -> bool:
    """The sidecar has noted so much."""

    def look(client: docker.APIClient) -> int:
        chunks, _ = client.get_archive(sidecar, "/run/pacabench/calls.spool")
        return b"".join(chunks).count(b'{"egress"')

    return await engine.call(look) >= lines


async def test_without_a_list_there_is_no_second_port(rig: Rig, engine: Engine) -> None:
    agent = rig.agent()
    async with rig.open(agent) as sandbox:
        session = await sandbox.start(agent)
        await session.bind("one")
        attempt = "say(socket.socket().connect_ex(('127.0.0.1', 8081)))"
        assert await tell(session, attempt) == 111  # refused: nobody listens
        names = "say([name for name in os.environ if 'proxy' in name.lower()])"
        assert await tell(session, names) == []
        (sidecar,) = await containers_of(engine, rig.run_id, "sidecar")
        told = await engine.call(lambda client: client.inspect_container(sidecar))
        assert told["HostConfig"]["NetworkMode"] == "none"
        assert "8081" not in json.dumps(told)
        await session.close()
