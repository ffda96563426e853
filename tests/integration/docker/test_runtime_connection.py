"""Which engine is talked to, and how; attach streams over every way to it."""

import asyncio
import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from docker.errors import NotFound

from pacabench.errors import EngineUnreachableError, SandboxError
from pacabench.owner import current_owner
from pacabench.sandbox.docker import containers
from pacabench.sandbox.docker.attach import Attachment, attach
from pacabench.sandbox.docker.engine import Engine, open_engine
from pacabench.sandbox.docker.images.sidecar import ensure_sidecar_image
from pacabench.sandbox.docker.labels import Role, RunLabels
from pacabench.sandbox.docker.sweep import remove_session
from tests.integration.docker.relays import make_certificates, relay, tls_server

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300)]  # images may have to be built


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No DOCKER_* but ours, and a configuration directory of the test's own."""
    for name in [name for name in os.environ if name.startswith("DOCKER_")]:
        monkeypatch.delenv(name)
    folder = tmp_path / "docker-config"
    folder.mkdir()
    monkeypatch.setenv("DOCKER_CONFIG", str(folder))
    return folder


@pytest.fixture
def tcp_port() -> Iterator[int]:
    with relay() as made:
        yield made.port


def write_context(folder: Path, name: str, host: str) -> Path:
    meta = folder / "contexts" / "meta" / hashlib.sha256(name.encode()).hexdigest()
    meta.mkdir(parents=True)
    endpoints = {"docker": {"Host": host, "SkipTLSVerify": False}}
    path = meta / "meta.json"
    path.write_text(json.dumps({"Name": name, "Metadata": {}, "Endpoints": endpoints}))
    return path


async def base_url() -> str:
    async with open_engine() as engine:
        return await engine.call(lambda client: client.base_url)


class TestWhichEngine:
    async def test_the_default_socket_where_nothing_is_said(self) -> None:
        assert await base_url() == "http+docker://localhost"

    async def test_docker_host(self, tcp_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{tcp_port}")
        assert await base_url() == f"http://127.0.0.1:{tcp_port}"

    async def test_the_current_context(self, tcp_port: int, clean_environment: Path) -> None:
        write_context(clean_environment, "far", f"tcp://127.0.0.1:{tcp_port}")
        (clean_environment / "config.json").write_text(json.dumps({"currentContext": "far"}))
        assert await base_url() == f"http://127.0.0.1:{tcp_port}"

    async def test_docker_context_wins_over_the_current_one(
        self, tcp_port: int, clean_environment: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write_context(clean_environment, "broken", "tcp://127.0.0.1:1")
        write_context(clean_environment, "far", f"tcp://127.0.0.1:{tcp_port}")
        (clean_environment / "config.json").write_text(json.dumps({"currentContext": "broken"}))
        monkeypatch.setenv("DOCKER_CONTEXT", "far")
        assert await base_url() == f"http://127.0.0.1:{tcp_port}"

    async def test_docker_host_wins_over_any_context(
        self, clean_environment: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write_context(clean_environment, "broken", "tcp://127.0.0.1:1")
        monkeypatch.setenv("DOCKER_CONTEXT", "broken")
        monkeypatch.setenv("DOCKER_HOST", "unix:///var/run/docker.sock")
        assert await base_url() == "http+docker://localhost"


class TestNoEngine:
    async def test_nobody_listens(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
        with pytest.raises(EngineUnreachableError, match=r"/nowhere.*--sandbox process"):
            await base_url()

    async def test_an_unknown_context(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DOCKER_CONTEXT", "no-such")
        with pytest.raises(EngineUnreachableError, match=r"'no-such'.*docker context ls"):
            await base_url()

    async def test_a_damaged_context(
        self, clean_environment: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write_context(clean_environment, "torn", "tcp://127.0.0.1:1").write_text('{"Name": ')
        monkeypatch.setenv("DOCKER_CONTEXT", "torn")
        with pytest.raises(EngineUnreachableError, match=r"torn.*damaged"):
            await base_url()

    async def test_an_engine_that_goes_away_for_good(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("pacabench.sandbox.docker.engine.RETURN_GRACE_S", 0.5)
        with relay() as way:
            monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{way.port}")
            async with open_engine() as engine:
                way.go_down()
                with pytest.raises(EngineUnreachableError, match=f"127.0.0.1:{way.port}"):
                    await engine.call(lambda client: client.ping())

    async def test_an_engine_that_is_restarted_costs_the_calls_under_way(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with relay() as way:
            monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{way.port}")
            async with open_engine() as engine:
                way.go_down()
                calls = [
                    asyncio.create_task(engine.call(lambda client: client.ping())) for _ in range(4)
                ]
                done, _ = await asyncio.wait(calls, timeout=0.7)
                assert not done
                way.up = True
                for call in calls:
                    with pytest.raises(SandboxError, match="broke"):
                        await call
                await engine.ping()


class TestCalls:
    async def test_calls_run_side_by_side(self, engine: Engine) -> None:
        barrier = threading.Barrier(4)
        async with asyncio.timeout(10):
            await asyncio.gather(*(engine.call(lambda _: barrier.wait(9)) for _ in range(4)))

    async def test_errors_of_the_engine_go_through(self, engine: Engine) -> None:
        with pytest.raises(NotFound):
            await engine.call(lambda client: client.remove_container("no-such-container"))

    async def test_a_call_that_hangs_is_given_up_and_costs_no_worker(self) -> None:
        release = threading.Event()
        async with open_engine(workers=1) as engine:
            with pytest.raises(SandboxError, match="did not answer within"):
                await engine.call(lambda _: release.wait(30), timeout_s=0.1)
            async with asyncio.timeout(10):
                await engine.ping()
        release.set()

    async def test_the_result_of_a_cancelled_call_is_disposed_of(self, engine: Engine) -> None:
        release, disposed = threading.Event(), threading.Event()
        calling = asyncio.create_task(
            engine.call(lambda _: release.wait(30), dispose=lambda _: disposed.set())
        )
        await asyncio.sleep(0.1)
        calling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await calling
        assert not disposed.is_set()
        release.set()
        assert await asyncio.to_thread(disposed.wait, 10)

    async def test_a_closed_engine_says_so(self) -> None:
        async with open_engine() as engine:
            pass
        with pytest.raises(SandboxError, match="closed"):
            await engine.call(lambda client: client.ping())

    def test_a_call_that_hangs_does_not_hold_up_the_exit(self) -> None:
        code = """
import asyncio, time
from pacabench.sandbox.docker.engine import open_engine
async def main():
    async with open_engine() as engine:
        try:
            await engine.call(lambda client: time.sleep(60), timeout_s=0.1)
        except Exception as error:
            print(error)
asyncio.run(main())
"""
        started = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, timeout=50, check=True
        )
        assert time.monotonic() - started < 30
        assert b"did not answer" in done.stdout


@asynccontextmanager
async def attached(
    engine: Engine, image: str, labels: RunLabels, command: str
) -> AsyncIterator[Attachment]:
    body = {
        "Image": image,
        "Entrypoint": ["sh", "-c", command],
        "OpenStdin": True,
        "StdinOnce": True,
        "AttachStdin": True,
        "AttachStdout": True,
        "AttachStderr": True,
        "Labels": labels.of(Role.PROBE),
        "HostConfig": {"NetworkMode": "none", "LogConfig": {"Type": "none"}},
    }
    container = await containers.create(engine, body, doing="testing")
    try:
        attachment = await attach(engine, container)
        await containers.start(engine, container, doing="testing")
        yield attachment
        await containers.remove(engine, container)
        await attachment.close()
    finally:
        await remove_session(engine, labels)


@pytest.fixture(params=["unix", "tcp", "tls"])
def way(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """DOCKER_* variables for each kind of connection."""
    if request.param == "unix":
        yield
        return
    wrap = None
    if request.param == "tls":
        if shutil.which("openssl") is None:
            pytest.skip("openssl makes the certificates, and is not here")
        make_certificates(tmp_path)
        wrap = tls_server(tmp_path)
        monkeypatch.setenv("DOCKER_CERT_PATH", str(tmp_path))
        monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
    with relay(wrap) as made:
        monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{made.port}")
        yield


async def read_to_the_end(attachment: Attachment) -> None:
    while await attachment.read_line() is not None:
        pass


class TestAttach:
    @pytest.fixture
    async def image(self, cache_dir: Path) -> str:
        async with open_engine() as engine:
            return await ensure_sidecar_image(engine, cache_dir=cache_dir, listener=lambda _: None)

    @pytest.fixture
    def labels(self, tmp_path: Path) -> RunLabels:
        return RunLabels("test-attach", str(tmp_path), current_owner())

    async def test_both_outputs_come_apart_and_stdin_ends_alone(
        self, way: None, image: str, labels: RunLabels
    ) -> None:
        async with (
            open_engine() as engine,
            attached(engine, image, labels, "cat; echo oops >&2; echo after") as attachment,
        ):
            await attachment.write(b"one\ntwo\n")
            assert await attachment.read_line() == b"one"
            assert await attachment.read_line() == b"two"
            attachment.close_stdin()
            assert await attachment.read_line() == b"after"
            assert await attachment.read_line() is None
            assert attachment.stderr_tail == "oops\n"
            assert (attachment.stdout_bytes, attachment.stderr_bytes) == (14, 5)

    async def test_much_goes_through_both_ways_at_once(
        self, way: None, image: str, labels: RunLabels
    ) -> None:
        lines = [os.urandom(3000).hex().encode() for _ in range(1000)]
        async with (
            open_engine() as engine,
            attached(engine, image, labels, "cat") as attachment,
        ):

            async def write() -> None:
                for line in lines:
                    await attachment.write(line + b"\n")
                attachment.close_stdin()

            writing = asyncio.create_task(write())
            for line in lines:
                assert await attachment.read_line() == line
            assert await attachment.read_line() is None
            await writing

    async def test_a_flood_ends_when_the_container_goes(
        self, way: None, image: str, labels: RunLabels
    ) -> None:
        async with (
            open_engine() as engine,
            attached(engine, image, labels, "exec yes") as attachment,
        ):
            await asyncio.sleep(1)
            (container,) = await engine.call(
                lambda client: client.containers(filters=labels.filters)
            )
            started = time.monotonic()
            assert await containers.kill(engine, container["Id"])
            assert time.monotonic() - started < 1
            assert not await containers.kill(engine, container["Id"])
            await attachment.wait_ended()
            assert attachment.stdout_bytes > 1_000_000

    async def test_a_broken_connection_is_no_end(
        self, image: str, labels: RunLabels, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async with (
            open_engine() as engine,
            attached(engine, image, labels, "exec yes") as attachment,
        ):
            attachment.break_off("somebody pulled the plug")
            with pytest.raises(SandboxError, match="pulled the plug"):
                await read_to_the_end(attachment)
