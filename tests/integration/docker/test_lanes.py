"""Agents in their lanes: no other agent, no host, no resolver, nothing but the proxy."""

import asyncio
import contextlib
import socket
import threading
from contextlib import closing

import psutil
import pytest

from pacabench.errors import SandboxError
from pacabench.sandbox.base import Session
from pacabench.sandbox.docker.engine import Engine
from tests.integration.docker.conftest import Rig, containers_of, tell

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300)]  # images may have to be built

SERVE = """
import threading
def serve(server):
    while True:
        connection, _ = server.accept()
        connection.sendall(b'secret')
        connection.close()
servers = [socket.create_server(('127.0.0.1', 9001)), socket.socket(socket.AF_UNIX)]
servers[1].bind(chr(0) + 'abstract')
servers[1].listen()
for server in servers:
    threading.Thread(target=serve, args=(server,), daemon=True).start()
say('serving')
"""
CALL = """
def call(family, address):
    sock = socket.socket(family)
    sock.settimeout(2)
    try:
        sock.connect(address)
        return sock.recv(10).decode()
    except OSError as error:
        return type(error).__name__
    finally:
        sock.close()
say([call(socket.AF_INET, ('127.0.0.1', 9001)), call(socket.AF_UNIX, chr(0) + 'abstract')])
"""


async def test_two_lanes_do_not_see_each_other(rig: Rig) -> None:
    agent = rig.agent()
    async with rig.open(agent, concurrency=2) as sandbox:
        one, other = await sandbox.start(agent), await sandbox.start(agent)
        assert await tell(one, SERVE) == "serving"
        assert await tell(one, CALL) == ["secret", "secret"]  # it would work, were it reachable
        assert await tell(other, CALL) == ["ConnectionRefusedError", "ConnectionRefusedError"]
        await one.close()
        await other.close()


async def test_nothing_of_an_agent_is_left_in_its_lane(rig: Rig) -> None:
    agent = rig.agent()
    async with rig.open(agent, concurrency=1) as sandbox:
        one = await sandbox.start(agent)
        assert await tell(one, SERVE) == "serving"
        await one.close()
        after = await sandbox.start(agent)
        assert await tell(after, CALL) == ["ConnectionRefusedError", "ConnectionRefusedError"]
        assert await tell(after, "say(os.listdir('/tmp'))") == []
        await after.close()


async def test_lanes_run_as_different_users(rig: Rig) -> None:
    agent = rig.agent()
    async with rig.open(agent, concurrency=2) as sandbox:
        sessions = [await sandbox.start(agent) for _ in range(2)]
        users = [await tell(session, "say([os.getuid(), os.getgid()])") for session in sessions]
        assert users[0] != users[1]
        assert all(uid == gid and uid >= 20_000 for uid, gid in users)
        await asyncio.gather(*(session.close() for session in sessions))


def host_addresses() -> list[str]:
    """Every IPv4 address of this machine."""
    return [
        address.address
        for addresses in psutil.net_if_addrs().values()
        for address in addresses
        if address.family == socket.AF_INET
    ]


async def test_an_agent_reaches_no_listener_of_the_host(rig: Rig) -> None:
    reached = threading.Semaphore(0)
    with closing(socket.create_server(("0.0.0.0", 0))) as server:
        server.settimeout(30)

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    server.accept()[0].close()
                    reached.release()

        threading.Thread(target=accept, daemon=True).start()
        port = server.getsockname()[1]
        for address in host_addresses():  # the control: from here every one answers
            socket.create_connection((address, port), timeout=5).close()
            assert reached.acquire(timeout=5)
        agent = rig.agent()
        targets = [(address, port) for address in [*host_addresses(), "172.17.0.1"]]
        attempt = f"""
found = []
for target in {targets!r}:
    try:
        socket.create_connection(target, timeout=1).close()
        found.append(target)
    except OSError:
        pass
say(found)
"""
        async with rig.open(agent) as sandbox:
            session = await sandbox.start(agent)
            assert await tell(session, attempt) == []
            await session.close()
        assert not reached.acquire(timeout=0.1)


async def test_an_agent_learns_nothing_of_the_host_from_its_files(rig: Rig) -> None:
    agent = rig.agent()
    async with rig.open(agent) as sandbox:
        session = await sandbox.start(agent)
        told = await tell(
            session,
            "say([open(p).read() for p in ('/etc/resolv.conf', '/etc/hosts', '/etc/hostname')])",
        )
        mounts = await tell(session, "say(open('/proc/self/mountinfo').read())")
        await session.close()
    assert socket.gethostname() not in "".join(told).split()
    assert "127.0.0.1" in told[0]
    assert set(told[0].split()) <= {"nameserver", "127.0.0.1", "search", "."}
    assert "/run/pacabench" not in mounts
    assert "docker.sock" not in mounts


async def read_to_the_end(session: Session) -> None:
    while await session.read_line() is not None:
        pass


async def test_a_dead_lane_fails_its_attempt_and_only_that(rig: Rig, engine: Engine) -> None:
    agent = rig.agent()
    async with rig.open(agent, concurrency=1) as sandbox:
        session = await sandbox.start(agent)
        await session.bind("one")
        assert await tell(session, "say(ask_model('before'))") == "before"
        (holder,) = await containers_of(engine, rig.run_id, "lane")
        await engine.call(lambda client: client.kill(holder))
        with pytest.raises(SandboxError, match="lane"):
            async with asyncio.timeout(10):
                await read_to_the_end(session)
        with pytest.raises(SandboxError, match="lane"):
            await session.bind("one again")
        await session.close()
        await session.unbind()
        fresh = await sandbox.start(agent)
        await fresh.bind("two")
        assert await tell(fresh, "say(ask_model('after'))") == "after"
        await fresh.close()
        assert holder not in await containers_of(engine, rig.run_id, "lane")
    assert [len(rig.calls_of(attempt)) for attempt in ("one", "two")] == [1, 1]


async def test_lanes_are_made_as_they_are_needed(rig: Rig, engine: Engine) -> None:
    agent = rig.agent()
    async with rig.open(agent, concurrency=3) as sandbox:
        for _ in range(3):
            await (await sandbox.start(agent)).close()
        assert len(await containers_of(engine, rig.run_id, "lane")) == 1
        sessions = await asyncio.gather(*(sandbox.start(agent) for _ in range(3)))
        assert len(await containers_of(engine, rig.run_id, "lane")) == 3
        waiting = asyncio.create_task(sandbox.start(agent))
        await asyncio.sleep(0.5)
        assert not waiting.done()  # no second agent in a lane, and no fourth lane
        await sessions[0].close()
        await (await waiting).close()
        await asyncio.gather(*(session.close() for session in sessions[1:]))
