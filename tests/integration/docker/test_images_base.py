"""The base: found, pulled from a registry, or made of Debian packages."""

import asyncio
import gzip
import hashlib
import io
import json
import secrets
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import docker
import pytest

from pacabench.errors import ImageError
from pacabench.events import Event
from pacabench.sandbox.docker.engine import Engine
from pacabench.sandbox.docker.images.base import ensure_default_base, ensure_user_image
from pacabench.sandbox.docker.images.build import find_image
from pacabench.sandbox.docker.images.debian import (
    debian_base_tag,
    engine_architecture,
    make_debian_base,
    why_not,
)
from pacabench.sandbox.docker.images.interpreter import find_interpreter
from pacabench.sandbox.docker.images.inventory import list_images
from pacabench.sandbox.docker.images.platforms import platform_tags
from pacabench.sandbox.docker.images.pull import pull_image

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300)]


@pytest.fixture
def events() -> list[Event]:
    return []


def run(image: str, command: str) -> str:
    client = docker.from_env(timeout=60)
    try:
        said: bytes = client.containers.run(
            image,
            ["-c", command],
            entrypoint="/bin/sh",
            network_mode="none",
            read_only=True,
            remove=True,
            labels={"pacabench.role": "test"},
        )
    finally:
        client.close()
    return said.decode()


def remove(reference: str) -> None:
    client = docker.from_env(timeout=60)
    try:
        client.api.remove_image(reference, force=True)
    finally:
        client.close()


def tar_of(files: dict[str, str]) -> bytes:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w") as archive:
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text.encode()))
    return sink.getvalue()


class TestDefaultBase:
    async def test_it_has_what_agents_need(
        self, engine: Engine, cache_dir: Path, events: list[Event]
    ) -> None:
        base = await ensure_default_base(engine, cache_dir=cache_dir, listener=events.append)
        said = run(
            base["Id"],
            "python -c 'import ssl, sqlite3, zoneinfo;"
            'zoneinfo.ZoneInfo("Europe/Berlin"); print(len(ssl.create_default_context()'
            ".get_ca_certs()) > 50)'; cmp $(command -v python) $(command -v python3); echo $?",
        )
        assert said.split() == ["True", "0"]

    async def test_the_second_time_is_a_look(
        self, engine: Engine, cache_dir: Path, events: list[Event]
    ) -> None:
        await ensure_default_base(engine, cache_dir=cache_dir, listener=events.append)
        events.clear()
        began = time.monotonic()
        await ensure_default_base(engine, cache_dir=cache_dir, listener=events.append)
        assert events == []
        assert time.monotonic() - began < 5

    async def test_of_debian_packages_it_is_small(self, engine: Engine) -> None:
        tag = debian_base_tag(await engine_architecture(engine))
        if await find_image(engine, tag) is None:
            pytest.skip("here the base comes from a registry")
        (info,) = [info for info in await list_images(engine) if info.tag == tag]
        assert info.kind == "base"
        assert info.size_bytes < 125e6
        left = run(
            tag,
            "cd /usr/share; find man locale doc /var/lib/apt/lists /var/cache/apt -type f"
            " -not -name copyright -not -name lock 2>/dev/null; true",
        )
        assert left.strip() == ""


class TestInterpreter:
    async def test_an_image_says_what_its_python_is(self, engine: Engine, cache_dir: Path) -> None:
        base = await ensure_default_base(engine, cache_dir=cache_dir, listener=lambda _: None)
        found = await find_interpreter(engine, base["Id"], cache_dir=cache_dir)
        assert found is not None
        assert found.implementation == "cpython"
        said = run(
            base["Id"],
            "python3 -c 'import sys, platform as p;"
            'print("%d.%d" % sys.version_info[:2], p.machine(), *p.libc_ver(), sys.executable)\'',
        )
        version = ".".join(str(part) for part in found.libc_version)
        assert said.split() == [
            found.version,
            found.machine,
            found.libc,
            version,
            found.executable,
        ]
        assert found.markers["python_version"] == found.version
        assert platform_tags(found)

    async def test_it_is_asked_once(
        self, engine: Engine, cache_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        base = await ensure_default_base(engine, cache_dir=cache_dir, listener=lambda _: None)
        first = await find_interpreter(engine, base["Id"], cache_dir=tmp_path)

        def refuse(*_: object, **__: object) -> bytes:
            raise AssertionError("asked again")

        monkeypatch.setattr("pacabench.sandbox.docker.images.interpreter._run", refuse)
        assert await find_interpreter(engine, base["Id"], cache_dir=tmp_path) == first

    async def test_an_image_without_a_shell_is_refused(
        self, engine: Engine, tmp_path: Path
    ) -> None:
        name = f"pacabench-test:{secrets.token_hex(6)}"
        client = docker.from_env(timeout=60)
        client.api.import_image_from_data(tar_of({"empty": ""}), *name.split(":"))
        client.close()
        try:
            image = await find_image(engine, name)
            assert image is not None
            with pytest.raises(ImageError, match="no working /bin/sh"):
                await find_interpreter(engine, image["Id"], cache_dir=tmp_path)
        finally:
            remove(name)

    async def test_nothing_is_left_of_the_asking(
        self, engine: Engine, cache_dir: Path, tmp_path: Path
    ) -> None:
        base = await ensure_default_base(engine, cache_dir=cache_dir, listener=lambda _: None)
        name = f"pacabench-test:{secrets.token_hex(6)}"
        client = docker.from_env(timeout=60)
        try:
            client.api.tag(base["Id"], *name.split(":"))
            await find_interpreter(engine, name, cache_dir=tmp_path)
            filters = {"ancestor": name, "label": "pacabench.role=probe"}
            mine = [
                item
                for item in client.api.containers(all=True, filters=filters)
                if item["Image"] == name
            ]
            assert mine == []
        finally:
            remove(name)
            client.close()


@dataclass
class Registry:
    """As much of a registry as a pull of one image needs."""

    blobs: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    pause_s: float = 0
    manifest: bytes = b""
    port: int = 0

    def put(self, data: bytes) -> dict[str, object]:
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        self.blobs[digest] = data
        return {"digest": digest, "size": len(data)}

    def hold(self, layer: bytes) -> None:
        config = {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Cmd": ["x"]},
            "rootfs": {
                "type": "layers",
                "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"],
            },
        }
        kind = "application/vnd.docker."
        self.manifest = json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": f"{kind}distribution.manifest.v2+json",
                "config": {
                    "mediaType": f"{kind}container.image.v1+json",
                    **self.put(json.dumps(config).encode()),
                },
                "layers": [
                    {
                        "mediaType": f"{kind}image.rootfs.diff.tar.gzip",
                        **self.put(gzip.compress(layer)),
                    }
                ],
            }
        ).encode()


@pytest.fixture
def registry() -> Iterator[Registry]:
    """On this machine's loopback, where engines take registries without TLS."""
    state = Registry()
    state.hold(tar_of({"file": secrets.token_hex(8)}))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            state.asked.append(self.path)
            time.sleep(state.pause_s)
            body, kind = b"{}", "application/json"
            if "/manifests/" in self.path:
                body, kind = state.manifest, json.loads(state.manifest)["mediaType"]
            elif "/blobs/" in self.path:
                body = state.blobs[self.path.rpartition("/")[2]]
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        do_HEAD = do_GET  # noqa: N815 - http.server's name

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield state
    server.shutdown()
    server.server_close()
    thread.join()


class TestPull:
    async def test_what_is_not_here_is_pulled_with_progress(
        self, engine: Engine, registry: Registry, events: list[Event], tmp_path: Path
    ) -> None:
        name = f"127.0.0.1:{registry.port}/agents/own:1"
        try:
            image = await ensure_user_image(
                engine, name, cache_dir=tmp_path, listener=events.append
            )
            assert image["Config"]["Cmd"] == ["x"]
            assert any(f"pulling {name}: " in str(event) for event in events)
            asked = len(registry.asked)
            await ensure_user_image(engine, name, cache_dir=tmp_path, listener=events.append)
            assert len(registry.asked) == asked
        finally:
            remove(name)

    async def test_a_registry_that_is_away_costs_one_attempt(
        self, engine: Engine, events: list[Event]
    ) -> None:
        name = f"127.0.0.1:9/nothing:{secrets.token_hex(4)}"
        for _ in range(3):
            with pytest.raises(ImageError, match="connection refused"):
                await pull_image(engine, name, events.append)
        await asyncio.sleep(0)
        assert sum("asking its registry" in str(event) for event in events) == 1

    async def test_a_registry_that_says_nothing_is_given_up(
        self, engine: Engine, registry: Registry, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        registry.pause_s = 20
        monkeypatch.setattr("pacabench.sandbox.docker.images.pull._PULL_STALL_S", 2.0)
        began = time.monotonic()
        with pytest.raises(ImageError, match="no sign of progress"):
            await pull_image(engine, f"127.0.0.1:{registry.port}/slow:1", lambda _: None)
        assert time.monotonic() - began < 15

    async def test_a_reference_that_is_none_is_refused(self, engine: Engine) -> None:
        with pytest.raises(ImageError, match="invalid reference format"):
            await pull_image(engine, "Not An Image", lambda _: None)


_HARNESS = """
import asyncio, sys
from pacabench.sandbox.docker.engine import open_engine
from pacabench.sandbox.docker.images.debian import make_debian_base
async def main():
    async with open_engine() as engine:
        await make_debian_base(engine, sys.argv[1], lambda event: print(event, flush=True))
asyncio.run(main())
"""


class TestDebian:
    """The script is the real one; mmdebstrap is a stand-in, because the real one takes 30 s."""

    @pytest.fixture
    def architecture(self) -> str:
        """No real one, so that the tag is this test's own."""
        return f"test-{secrets.token_hex(6)}"

    @pytest.fixture
    def mmdebstrap(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        folder = tmp_path / "bin"
        folder.mkdir()
        monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
        (tmp_path / "root.tar").write_bytes(tar_of({"made": "by a stand-in"}))
        return folder / "mmdebstrap"

    def script(self, path: Path, *lines: str) -> None:
        path.write_text("\n".join(["#!/bin/sh", *lines, ""]))
        path.chmod(0o755)

    async def test_what_it_writes_becomes_the_base(
        self, engine: Engine, architecture: str, mmdebstrap: Path, events: list[Event]
    ) -> None:
        tar = mmdebstrap.parent.parent / "root.tar"
        self.script(mmdebstrap, "echo 'I: working' >&2", f"cat {tar}")
        image = await make_debian_base(engine, architecture, events.append)
        try:
            found = await find_image(engine, debian_base_tag(architecture))
            assert found is not None
            assert found["Id"] == image
            assert found["Config"]["Labels"] == {"pacabench.role": "image"}
            assert any("I: working" in str(event) for event in events)
        finally:
            remove(debian_base_tag(architecture))

    async def test_a_failure_half_way_makes_no_image(
        self, engine: Engine, architecture: str, mmdebstrap: Path
    ) -> None:
        tar = mmdebstrap.parent.parent / "root.tar"
        self.script(mmdebstrap, f"cat {tar}", "echo 'E: no mirror' >&2", "exit 5")
        with pytest.raises(ImageError, match=r"(?s)exit status 5.*namespaces.*E: no mirror"):
            await make_debian_base(engine, architecture, lambda _: None)
        assert await find_image(engine, debian_base_tag(architecture)) is None

    async def test_cancelling_ends_it_politely(
        self, engine: Engine, architecture: str, mmdebstrap: Path, events: list[Event]
    ) -> None:
        mark = mmdebstrap.parent.parent / "cleaned"
        self.script(
            mmdebstrap,
            f"trap 'touch {mark}; kill $!; exit 1' TERM",
            "echo 'I: waiting' >&2",
            "sleep 600 &",
            "wait",
        )
        task = asyncio.ensure_future(make_debian_base(engine, architecture, events.append))
        async with asyncio.timeout(30):
            while not any("I: waiting" in str(event) for event in events):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            while not mark.exists():  # noqa: ASYNC110 - another process makes it
                await asyncio.sleep(0.05)
        assert await find_image(engine, debian_base_tag(architecture)) is None

    async def test_a_killed_harness_does_not_keep_it_from_cleaning_up(
        self, architecture: str, mmdebstrap: Path
    ) -> None:
        mark = mmdebstrap.parent.parent / "cleaned"
        self.script(
            mmdebstrap,
            "echo 'I: waiting' >&2",
            f"while [ ! -e {mark}.go ]; do sleep 0.1; done",
            "echo 'I: unmounting' >&2",
            f"touch {mark}",
        )
        harness = await asyncio.create_subprocess_exec(
            sys.executable, "-c", _HARNESS, architecture, stdout=subprocess.PIPE
        )
        assert harness.stdout is not None
        async with asyncio.timeout(60):
            while b"I: waiting" not in await harness.stdout.readline():
                pass
            harness.kill()
            await harness.wait()
            mark.with_suffix(".go").touch()
            while not mark.exists():  # noqa: ASYNC110 - another process makes it
                await asyncio.sleep(0.05)

    def test_where_it_cannot_work_it_says_why(
        self, mmdebstrap: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.script(mmdebstrap, "true")
        monkeypatch.setattr("platform.machine", lambda: "x86_64")
        assert why_not("amd64") is None
        assert why_not("arm64") == "the engine is arm64 and this machine amd64"
        monkeypatch.setenv("PATH", "/nowhere")
        assert why_not("amd64") == "mmdebstrap is not installed here"


class TestFallback:
    @pytest.fixture
    def nowhere(self, monkeypatch: pytest.MonkeyPatch) -> str:
        """A default base that no registry has, on an engine that has no Debian base."""
        name = f"127.0.0.1:9/python:{secrets.token_hex(4)}"
        monkeypatch.setattr("pacabench.sandbox.docker.images.base.DEFAULT_BASE", name)
        tag = f"pacabench/base:{secrets.token_hex(16)}"
        module = "pacabench.sandbox.docker.images.debian"
        monkeypatch.setattr(f"{module}.debian_base_tag", lambda _: tag)
        return tag

    async def test_without_registry_and_mmdebstrap_there_is_advice(
        self, engine: Engine, tmp_path: Path, nowhere: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PATH", "/nowhere")
        with pytest.raises(ImageError) as caught:
            await ensure_default_base(engine, cache_dir=tmp_path, listener=lambda _: None)
        for word in ("connection refused", "mmdebstrap", "docker load", "`sandbox.image`"):
            assert word in str(caught.value)

    async def test_without_registry_it_is_made_and_said(
        self,
        engine: Engine,
        tmp_path: Path,
        nowhere: str,
        monkeypatch: pytest.MonkeyPatch,
        events: list[Event],
    ) -> None:
        (tmp_path / "root.tar").write_bytes(tar_of({"made": "by a stand-in"}))
        stand_in = tmp_path / "mmdebstrap"
        stand_in.write_text(f"#!/bin/sh\ncat {tmp_path / 'root.tar'}\n")
        stand_in.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
        try:
            made = await ensure_default_base(engine, cache_dir=tmp_path, listener=events.append)
            assert nowhere in made["RepoTags"]
            assert any("falling back to Debian packages" in str(event) for event in events)
            events.clear()
            again = await ensure_default_base(engine, cache_dir=tmp_path, listener=events.append)
            assert (again["Id"], events) == (made["Id"], [])
        finally:
            remove(nowhere)
