"""Services beside an agent: a real Redis and a real PostgreSQL, and some that misbehave."""

import asyncio
import contextlib
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from pacabench.errors import ImageError, SandboxError, SandboxUnavailableError
from pacabench.providers import VIRTUAL_KEY
from pacabench.sandbox.base import SandboxAgent, Session
from pacabench.sandbox.docker.engine import Engine
from pacabench.sandbox.docker.images.base import ensure_default_base
from pacabench.sandbox.docker.labels import Role
from pacabench.sandbox.docker.services import plan_services
from tests.integration.docker.conftest import Rig, case, containers_of, eventually, tell
from tests.integration.docker.databases import postgres_image, redis_image

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300)]  # images may have to be made

REDIS = r"""
def redis(*words, size=1000):
    words = [word if isinstance(word, bytes) else word.encode() for word in words]
    with socket.create_connection(("127.0.0.1", 6379), timeout=20) as sock:
        sock.sendall(b"*%d\r\n" % len(words) + b"".join(
            b"$%d\r\n%s\r\n" % (len(word), word) for word in words))
        return sock.recv(size).decode().strip()
def crash():
    try:
        redis('DEBUG', 'SEGFAULT')
    except OSError:
        pass
"""
LOOK_AROUND = r"""
import json, os, socket
def attempt(work):
    try:
        return work()
    except OSError as error:
        return type(error).__name__
def mounted(path):
    about = os.statvfs(path)
    return [about.f_blocks * about.f_frsize, about.f_files]
def listed(server):
    found = {
        "uid": [os.getuid(), os.getgid()],
        "status": dict(line.split(":\t") for line in open("/proc/self/status").read().splitlines()
                       if line.startswith(("Cap", "NoNewPrivs:", "Seccomp:"))),
        "interfaces": os.listdir("/sys/class/net"),
        "root": attempt(lambda: open("/etc/mine", "w").close()),
        "written": [attempt(lambda p=p: open(p + "/mine", "w").close())
                    for p in ("/tmp", "/var/lib/own", "/dev/shm")],
        "bytes and files": mounted("/var/lib/own"),
        "limits": [open("/sys/fs/cgroup/" + n).read().strip() for n in LIMITS
                   if os.path.exists("/sys/fs/cgroup/" + n)],
        "env": dict(os.environ),
        "processes": sorted(int(name) for name in os.listdir("/proc") if name.isdigit())[:1],
    }
    connection, _ = server.accept()
    connection.sendall(json.dumps(found).encode())
    connection.close()
LIMITS = ["memory.max", "pids.max", "memory/memory.limit_in_bytes", "pids/pids.max"]
server = socket.create_server(("127.0.0.1", 7000))
while True:
    listed(server)
"""
WAIT_FOR_LOOK = """
for _ in range(200):
    try:
        found = json.loads(read(7000))
        break
    except OSError:
        time.sleep(0.1)
say([found, os.getuid()])
"""
READ = r"""
def read(port):
    with socket.create_connection(("127.0.0.1", port), timeout=20) as sock:
        return b"".join(iter(lambda: sock.recv(65536), b"")).decode()
"""


@pytest.fixture
def redis(cache_dir: Path) -> dict[str, Any]:
    """A Redis as a service."""
    return {
        "name": "redis",
        "image": redis_image(cache_dir),
        "command": "redis-server --save '' --enable-debug-command yes --crash-memcheck-enabled no",
        "healthcheck": {"tcp": 6379},
        "memory": "64m",
    }


@pytest.fixture
async def python(engine: Engine, cache_dir: Path) -> str:
    """The id of an image with Python, for services that are written here."""
    base = await ensure_default_base(engine, cache_dir=cache_dir, listener=lambda _: None)
    return str(base["Id"])


async def bound(rig: Rig, sandbox: Any, agent: SandboxAgent) -> Session:
    session: Session = await sandbox.start(agent)
    await session.bind("one")
    return session


async def trouble_with(session: Session, done: Callable[[], Awaitable[Any]]) -> str:
    """What is said of a case that the agent may have answered, and how it is ``done`` with."""
    try:
        line = await session.read_line()
        assert line is not None
        assert b"lost" in line
        await done()
    except SandboxError as error:
        first = str(error)
    else:
        pytest.fail("nobody noticed")
    return first


class TestRedis:
    async def test_each_session_has_its_own_and_the_next_finds_it_empty(
        self, rig: Rig, redis: dict[str, Any], engine: Engine
    ) -> None:
        agent = rig.agent(services=[redis])
        async with rig.open(agent, concurrency=2) as sandbox:
            facts = sandbox.facts
            one, other = await asyncio.gather(*(bound(rig, sandbox, agent) for _ in range(2)))
            assert await tell(one, REDIS + "say(redis('SET', 'who', 'one'))") == "+OK"
            assert await tell(one, "say(redis('GET', 'who'))") == "$3\r\none"
            assert await tell(other, REDIS + "say(redis('GET', 'who'))") == "$-1"
            assert len(await containers_of(engine, rig.run_id, "service")) == 2
            await asyncio.gather(one.close(), other.close())
            await asyncio.gather(one.unbind(), other.unbind())
            assert await containers_of(engine, rig.run_id, "service") == []
            after = await bound(rig, sandbox, agent)
            assert await tell(after, REDIS + "say(redis('KEYS', '*'))") == "*0"
            end = await after.close()
        assert end.killed
        assert re.fullmatch(r"sha256:[0-9a-f]{64}", facts.image_digests["obedient/redis"])
        (log,) = (rig.folder / "run" / "logs").glob("service-redis-*.log")
        assert log.read_text().count("Ready to accept connections") == 4  # the trial's too
        assert rig.notices == []

    async def test_a_worker_keeps_its_own_for_many_cases(
        self, rig: Rig, redis: dict[str, Any]
    ) -> None:
        # An agent that connects before anything else, and a Redis that is slow to start.
        redis["command"] = f"sleep 1; exec {redis['command']}"
        connect = 'import socket; socket.create_connection(("127.0.0.1", 6379))'
        command = f"python3 -c '{connect}' && exec python3 -u agent.py"
        agent = rig.agent(command, services=[redis], isolation="worker")
        async with rig.open(agent) as sandbox:
            worker = await bound(rig, sandbox, agent)
            assert await tell(worker, REDIS + "say(redis('SET', 'a', 'b'))") == "+OK"
            await worker.unbind()
            await worker.bind("two")
            assert await tell(worker, "say(redis('GET', 'a'))") == "$1\r\nb"
            await worker.close()
            for _ in range(3):
                worker = await bound(rig, sandbox, agent)
                # It answers, but its Redis did not live to the end of the case.
                await worker.send(case(REDIS + "crash(); say('lost')"), last=False)
                assert "was ended by signal 11" in await trouble_with(worker, worker.unbind)
                await worker.unbind()
                with contextlib.suppress(SandboxError):
                    await worker.close()

    async def test_one_that_dies_ends_the_case_at_once_and_the_next_has_a_fresh_one(
        self, rig: Rig, redis: dict[str, Any]
    ) -> None:
        agent = rig.agent(services=[redis])
        crashed = r"service 'redis' of agent 'obedient' was ended by signal 11 .*middle of a case"
        died = r"service 'redis' of agent 'obedient' exited with code 0 .*bye bye.*middle of a case"
        async with rig.open(agent, concurrency=1) as sandbox:
            session = await bound(rig, sandbox, agent)
            began = time.monotonic()
            await session.send(
                case(REDIS + "redis('SHUTDOWN', 'NOSAVE'); time.sleep(60)"), last=False
            )
            with pytest.raises(SandboxError, match="service 'redis'"):
                await session.read_line()
            assert time.monotonic() - began < 20
            with pytest.raises(SandboxError, match=died):
                await session.close()
            await session.close()
            for _ in range(3):  # an answer that follows at once does not hide it
                session = await bound(rig, sandbox, agent)
                await session.send(case(REDIS + "crash(); say('lost')"), last=False)
                assert re.search(crashed, await trouble_with(session, session.close))
                await session.close()
            after = await bound(rig, sandbox, agent)
            assert await tell(after, REDIS + "say(redis('PING'))") == "+PONG"
            await after.close()

    async def test_one_that_needs_too_much_memory_is_to_blame_and_not_the_agent(
        self, rig: Rig, redis: dict[str, Any]
    ) -> None:
        agent = rig.agent(services=[redis])
        fill = """
try:
    for number in range(200):
        redis('SET', str(number), os.urandom(1_000_000))
    say('took it all')
except OSError:
    say('lost')
"""
        async with rig.open(agent) as sandbox:
            session = await bound(rig, sandbox, agent)
            await session.send(case(REDIS + fill), last=False)
            said = await trouble_with(session, session.close)
            assert (
                "service 'redis' of agent 'obedient' needed more than its memory of 64 MB" in said
            )
            with contextlib.suppress(SandboxError):
                await session.close()
            await session.close()


class TestPostgres:
    COMMAND = """
printf 'postgres:x:%s:%s::/tmp:/bin/sh\\n' "$(id -u)" "$(id -g)" >/tmp/passwd
printf 'postgres:x:%s:\\n' "$(id -g)" >/tmp/group
export LD_PRELOAD=libnss_wrapper.so NSS_WRAPPER_PASSWD=/tmp/passwd NSS_WRAPPER_GROUP=/tmp/group
bin=/usr/lib/postgresql/15/bin
$bin/initdb -D "$PGDATA" --no-sync --locale=C -U postgres >/dev/null &&
exec $bin/postgres -D "$PGDATA" -k /tmp -c fsync=off
"""
    ASK = r"""
import struct
def query(sql):
    with socket.create_connection(("127.0.0.1", 5432), timeout=20) as sock:
        start = struct.pack("!i", 196608) + b"user\0postgres\0\0"
        sock.sendall(struct.pack("!i", len(start) + 4) + start)
        asked = sql.encode() + b"\0"
        sock.sendall(b"Q" + struct.pack("!i", len(asked) + 4) + asked + b"X" + struct.pack("!i", 4))
        return b"".join(iter(lambda: sock.recv(65536), b"")).decode("latin1")
"""

    async def test_it_runs_under_the_profile_with_a_data_directory_of_its_own(
        self, rig: Rig, cache_dir: Path
    ) -> None:
        postgres = {
            "name": "postgres",
            "image": postgres_image(cache_dir),
            "command": self.COMMAND,
            "env": {"PGDATA": "/var/lib/postgresql/data"},
            "writable": ["/var/lib/postgresql", "/dev/shm"],
            "healthcheck": {"command": "pg_isready -h 127.0.0.1 -U postgres"},
            "memory": "512m",
        }
        agent = rig.agent(services=[postgres])
        make = "create table t (n int); insert into t select generate_series(1, 1000); "
        async with rig.open(agent, concurrency=1) as sandbox:
            for _ in range(2):  # the second finds no table
                session = await bound(rig, sandbox, agent)
                said = await tell(
                    session, self.ASK + f"say(query({make + 'select sum(n) from t'!r}))"
                )
                assert "500500" in said
                await session.close()


async def test_a_service_is_held_as_tightly_as_an_agent(rig: Rig, python: str) -> None:
    looks = {
        "name": "looks",
        "image": python,
        "command": f"python3 -c '{LOOK_AROUND}'",
        "env": {"KEY": VIRTUAL_KEY, "MODE": "x"},
        "writable": ["/var/lib/own", "/dev/shm"],
        "healthcheck": {"command": "python3 -c 'import os; assert os.getuid() > 20000'"},
        "memory": "96m",
        "pids": 37,
        "tmp_size": "8m",
    }
    other = {
        **{key: looks[key] for key in ("image", "tmp_size")},
        "name": "other",
        "command": f"python3 -c '{LOOK_AROUND.replace('7000', '7001')}'",
        "writable": ["/var/lib/own", "/dev/shm"],
        "healthcheck": {"tcp": 7001},
    }
    agent = rig.agent(services=[looks, other])
    async with rig.open(agent) as sandbox:
        session = await bound(rig, sandbox, agent)
        # With a command for a health check its port may not be there yet.
        wait = """
for _ in range(200):
    try:
        found = [json.loads(read(port)) for port in (7000, 7001)]
        break
    except OSError:
        time.sleep(0.1)
say([found, os.getuid(), os.environ['OPENAI_API_KEY'], os.listdir('/tmp')])
"""
        (found, second), uid, key, in_tmp = await tell(session, READ + wait)
        await session.close()
    assert {name: int(value, 16) for name, value in found["status"].items() if "Cap" in name} == {
        "CapInh": 0, "CapPrm": 0, "CapEff": 0, "CapBnd": 0, "CapAmb": 0,
    }  # fmt: skip
    assert (found["status"]["NoNewPrivs"], found["status"]["Seccomp"]) == ("1", "2")
    assert found["interfaces"] == ["lo"]
    assert found["root"] == "OSError"  # read-only
    assert found["written"] == [None, None, None]
    assert found["bytes and files"] == [8 * 1024**2, 2048]
    assert found["limits"] == [str(96 * 1024**2), "37"]
    assert found["processes"] == [1]  # of its own
    assert in_tmp == []
    uids = {uid, found["uid"][0], second["uid"][0]}
    assert len(uids) == 3
    assert found["uid"][0] == found["uid"][1]
    assert (found["env"]["KEY"], found["env"]["MODE"]) == (key, "x")
    told = [name for name in second["env"] if "OPENAI" in name or "KEY" in name]
    assert told == []  # nobody asked


@pytest.mark.parametrize(
    ("profile", "own_user", "seccomp", "root"),
    [("compat", True, "2", "OSError"), ("unsafe", False, "0", None)],
)
async def test_a_service_has_the_profile_of_its_agent(
    rig: Rig, python: str, profile: str, own_user: bool, seccomp: str, root: str | None
) -> None:
    looks = {
        "name": "looks",
        "image": python,
        "command": f"python3 -c '{LOOK_AROUND}'",
        "writable": ["/var/lib/own"],
        "healthcheck": {"command": "true"},
        "tmp_size": "8m",
    }
    agent = rig.agent(services=[looks], profile=profile)
    async with rig.open(agent) as sandbox:
        session = await bound(rig, sandbox, agent)
        found, uid = await tell(session, READ + WAIT_FOR_LOOK)
        await session.close()
    assert (found["uid"][0] >= 20_000, uid >= 20_000) == (own_user, own_user)
    assert found["status"]["Seccomp"] == seccomp
    assert found["root"] == root
    assert found["written"] == [None, None, None]  # /dev/shm is there without asking
    assert found["interfaces"] == ["lo"]
    assert found["bytes and files"] == [8 * 1024**2, 2048]


@asynccontextmanager
async def lane_of(rig: Rig, engine: Engine) -> AsyncIterator[Any]:
    """Starts an agent's services in a real lane, as many as there are, and removes them again."""
    plain = rig.agent()
    async with rig.open(plain, concurrency=1) as sandbox:
        inside: Any = sandbox

        async def attempt(agent: SandboxAgent) -> None:
            plans = await plan_services(engine, agent, rig.context(agent))
            _, _, session = await inside._enter(plans, rooted=False)
            session._services._starts = asyncio.Semaphore(1)
            try:
                await session.start_services(inside._plan.labels.of(Role.SERVICE))
            finally:
                await session.close()

        yield attempt


BROKEN = {
    "never listens": (
        {"command": "echo began; exec sleep 600", "healthcheck": {"tcp": 6379}},
        r"was not ready within 1.5 s: port 6379 took no connection \(its last lines: began\)",
    ),
    "its check never succeeds": (
        {"command": "exec sleep 600", "healthcheck": {"command": "echo no such thing; exit 3"}},
        r"was not ready within 1.5 s: its health check exited with 3 \(no such thing\) \(it wrote",
    ),
    "its check never ends": (
        {
            "command": "exec sleep 600",
            "healthcheck": {"command": "sleep 600", "timeout_seconds": 0.3},
        },
        "was not ready within 1.5 s: its health check did not end within 0.3 s",
    ),
    "its check floods": (
        {
            "command": "exec sleep 600",
            "healthcheck": {"command": "yes", "timeout_seconds": 0.5},
        },
        "its health check did not end within 0.5 s",
    ),
    "floods": (
        {"command": "while :; do echo '\033[31mred'; done", "healthcheck": {"tcp": 6379}},
        r"was not ready within 1.5 s.*its last lines: red \| red \| red",
    ),
    "ends": (
        {
            "command": "echo cannot >&2; exit 7",
            "healthcheck": {"tcp": 6379, "start_within_seconds": 60},
        },
        r"exited with code 7 \(its last lines: cannot\) before it was ready",
    ),
    "is on the proxy's port": (
        {
            "command": "exec python3 -m http.server --bind 127.0.0.1 8080",
            "healthcheck": {"command": "exit 1", "start_within_seconds": 60},
        },
        "exited with code 1 .*Address already in use.*the proxy has ports 8080 and 8081",
    ),
}


async def test_what_does_not_get_ready_is_said_with_the_reason_and_in_time(
    rig: Rig, engine: Engine, python: str
) -> None:
    async with lane_of(rig, engine) as attempt:
        for name, (service, expected) in BROKEN.items():
            check = {"interval_seconds": 0.1} if "command" in service["healthcheck"] else {}
            health = {"start_within_seconds": 1.5, **check, **service["healthcheck"]}
            broken = {"name": "broken", "image": python, **service, "healthcheck": health}
            began = time.monotonic()
            with pytest.raises(SandboxError, match="service 'broken' of agent 'obedient'") as error:
                await attempt(rig.agent(services=[broken]))
            assert re.search(expected, str(error.value)), (name, str(error.value))
            assert len(str(error.value)) < 2000
            assert "\033" not in str(error.value)
            assert time.monotonic() - began < 20, name
            assert await containers_of(engine, rig.run_id, "service") == []
        # Each waits for the other: nobody keeps a place among the starts while it waits.
        connect = 'import socket; socket.create_connection(("127.0.0.1", {}))'
        mutual = [
            {
                "name": f"on-{own}",
                "image": python,
                "command": f"exec python3 -m http.server --bind 127.0.0.1 {own}",
                "healthcheck": {"command": f"python3 -c '{connect.format(other)}'"},
            }
            for own, other in ((7000, 7001), (7001, 7000))
        ]
        await attempt(rig.agent(services=mutual))
    (log,) = (rig.folder / "run" / "logs").glob("service-broken-*.log")
    assert log.stat().st_size < len(BROKEN) * 20 * 1024


async def test_a_lane_is_not_watched_any_longer_when_a_start_was_given_up(
    rig: Rig, engine: Engine, python: str
) -> None:
    agent = rig.agent(
        services=[
            {
                "name": "slow",
                "image": python,
                "command": "exec sleep 600",
                "healthcheck": {"tcp": 6379, "start_within_seconds": 0.5},
            }
        ]
    )
    async with lane_of(rig, engine) as attempt:
        with pytest.raises(SandboxError, match="took no connection"):
            await attempt(agent)
        (holder,) = await containers_of(engine, rig.run_id, "lane")

        async def only_the_holder() -> bool:
            top = await engine.call(lambda client: client.top(holder))
            return not any("select" in " ".join(row) for row in top["Processes"])

        await eventually(only_the_holder)


async def test_services_that_cannot_work_stop_the_run_before_the_first_case(
    rig: Rig, python: str
) -> None:
    base = {"name": "broken", "image": python, "healthcheck": {"tcp": 6379}}
    for service, expected, kind in (
        ({**base, "command": "exit 3"}, "no case can be served: .*'broken'.*code 3", None),
        ({**base, "image": "no-such-image-anywhere:1"}, "services.broken.image", ImageError),
    ):
        with pytest.raises(kind or SandboxUnavailableError, match=expected):
            async with rig.open(rig.agent(services=[service])):
                pass


async def test_a_dockerfile_makes_a_service_and_its_volumes_are_empty_and_bounded(
    rig: Rig, python: str
) -> None:
    context = rig.folder / "made"
    context.mkdir()
    (context / "serve.py").write_text(
        "import os, socket\n"
        "server = socket.create_server(('127.0.0.1', 7000))\n"
        "while True:\n"
        "    connection, _ = server.accept()\n"
        "    about = os.statvfs('/data')\n"
        "    said = [os.getcwd(), os.listdir('/data'), about.f_blocks * about.f_frsize,\n"
        "            os.environ['FROM_IMAGE'], open('/data/x', 'w').write('x')]\n"
        "    connection.sendall(repr(said).encode())\n"
        "    os.unlink('/data/x')\n"
        "    connection.close()\n"
    )
    (context / "Dockerfile").write_text(
        f"FROM {python}\nENV FROM_IMAGE=yes\nRUN mkdir /data && touch /data/old\nVOLUME /data\n"
        'COPY serve.py /srv/\nWORKDIR /srv\nENTRYPOINT ["python3"]\nCMD ["serve.py"]\n'
    )
    service = {
        "name": "made",
        "build": {"context": "made"},
        "healthcheck": {"tcp": 7000},
        "tmp_size": "4m",
    }
    agent = rig.agent(services=[service])
    async with rig.open(agent) as sandbox:
        session = await bound(rig, sandbox, agent)
        said = await tell(session, READ + "say(read(7000))")
        await session.close()
    assert said == repr(["/srv", [], 4 * 1024**2, "yes", 1])


async def test_a_service_with_a_key_is_metered_for_the_attempt_and_one_without_is_refused(
    rig: Rig, python: str
) -> None:
    calls = r"""
import json, os, socket, urllib.error, urllib.request
server = socket.create_server(("127.0.0.1", int(os.environ["PORT"])))
while True:
    connection, _ = server.accept()
    if not connection.recv(2):
        continue
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
    request = urllib.request.Request(
        "http://127.0.0.1:8080/v1/chat/completions", json.dumps(body).encode(),
        {"authorization": "Bearer " + os.environ.get("KEY", "none"),
         "content-type": "application/json"})
    try:
        status = urllib.request.urlopen(request).status
    except urllib.error.HTTPError as error:
        status = error.code
    connection.sendall(str(status).encode())
    connection.close()
"""
    with_key, without = (
        {
            "name": f"on-{port}",
            "image": python,
            "command": f"exec python3 -c '{calls}'",
            "env": {"PORT": str(port), **env},
            "healthcheck": {"tcp": port},
        }
        for port, env in ((7000, {"KEY": VIRTUAL_KEY}), (7001, {}))
    )
    agent = rig.agent(services=[with_key, without])
    ask = """
def ask(port):
    with socket.create_connection(("127.0.0.1", port), timeout=20) as sock:
        sock.sendall(b"go")
        return int(sock.recv(10))
say([ask(7000), ask(7001)])
"""
    async with rig.open(agent) as sandbox:
        session = await bound(rig, sandbox, agent)
        allowed, refused = await tell(session, ask)
        await session.unbind()
        await session.close()
    assert (allowed, refused // 100) == (200, 4)
    assert len([call for call in rig.calls_of("one") if call.status == 200]) == 1
