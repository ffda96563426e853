"""Agents' images on a real engine: what is in them, and what is built again when."""

import asyncio
import os
import secrets
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import docker
import pytest

from pacabench.config.schema import AgentConfig, SandboxConfig
from pacabench.errors import ImageError
from pacabench.events import Event
from pacabench.sandbox.base import SandboxAgent
from pacabench.sandbox.docker.engine import Engine
from pacabench.sandbox.docker.images.agent import AgentImage, ensure_agent_image
from pacabench.sandbox.docker.images.base import ensure_default_base
from pacabench.sandbox.docker.images.inventory import list_images

HERE = str(Path("/proc/self/ns/mnt").readlink())
pytestmark = [pytest.mark.docker, pytest.mark.timeout(300)]

Make = Callable[..., SandboxAgent]
Ensure = Callable[[SandboxAgent], Awaitable[AgentImage]]


@pytest.fixture(scope="module")
def mark() -> Iterator[str]:
    """A label's value; every image that inherits it goes when the module's tests are done."""
    value = secrets.token_hex(6)
    yield value
    client = docker.from_env(timeout=60)
    for image in client.api.images(filters={"label": f"pacabench.test={value}"}):
        client.api.remove_image(image["Id"], force=True)
    client.close()


@pytest.fixture
async def base(engine: Engine, mark: str, cache_dir: Path) -> str:
    """The default base under a name of these tests, labelled."""
    name = f"pacabench-test:{mark}"
    client = docker.from_env(timeout=60)
    try:
        if not client.api.images(name):
            found = await ensure_default_base(engine, cache_dir=cache_dir, listener=lambda _: None)
            container = client.api.create_container(found["Id"], ["true"])["Id"]
            client.api.commit(container, *name.split(":"), changes=f"LABEL pacabench.test={mark}")
            client.api.remove_container(container)
    finally:
        client.close()
    return name


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    (root / "agents").mkdir(parents=True)
    (root / "agents" / "agent.py").write_text(f"print({secrets.token_hex(4)!r})\n")
    return root


@pytest.fixture
def make(project: Path, base: str) -> Make:
    def agent(
        *,
        requirements: str | None = None,
        setup: str | None = None,
        source: bool = True,
        ignore: tuple[str, ...] = (),
        **sandbox: object,
    ) -> SandboxAgent:
        file = project / "requirements.txt"
        if requirements is not None:
            file.write_text(requirements)
        settings = sandbox if "build" in sandbox else {"image": base, **sandbox}
        return SandboxAgent(
            config=AgentConfig(name="tested", command="python agents/agent.py", setup=setup),
            sandbox=SandboxConfig.model_validate(settings),
            env={},
            source=project if source else None,
            requirements=file if requirements is not None else None,
            project=project,
            ignore=ignore,
        )

    return agent


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture
def ensure(engine: Engine, cache_dir: Path, events: list[Event]) -> Ensure:
    def call(agent: SandboxAgent) -> Awaitable[AgentImage]:
        return ensure_agent_image(engine, agent, cache_dir=cache_dir, listener=events.append)

    return call


def run(image: str, command: str, **options: object) -> str:
    """What ``command`` prints in a container as strict as an agent's."""
    client = docker.from_env(timeout=60)
    try:
        said: bytes = client.containers.run(
            image,
            ["-c", command],
            entrypoint="/bin/sh",
            network_mode="none",
            read_only=True,
            remove=True,
            stderr=True,
            labels={"pacabench.role": "test"},
            **options,
        )
    finally:
        client.close()
    return said.decode()


def running(mark: str) -> list[str]:
    """Containers of images of these tests; those of builds inherit the label."""
    client = docker.from_env(timeout=60)
    try:
        found = client.api.containers(filters={"label": f"pacabench.test={mark}"})
    finally:
        client.close()
    return [str(item["Id"]) for item in found]


def layers(image: str) -> list[str]:
    client = docker.from_env(timeout=60)
    try:
        found: list[str] = client.api.inspect_image(image)["RootFS"]["Layers"]
    finally:
        client.close()
    return found


def told(events: list[Event], text: str) -> int:
    return sum(text in str(event) for event in events)


async def test_what_is_in_the_image_and_what_is_not(
    ensure: Ensure, make: Make, project: Path, events: list[Event], engine: Engine
) -> None:
    for name in (".env", ".git/HEAD", "data/cases.jsonl", "runs/1/results.jsonl"):
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text("never")
    (project / "leak").symlink_to("/etc/passwd")
    (project / "main.py").symlink_to("agents/agent.py")
    (project / "agents" / "module.py").write_text("X = 1")
    (project / "agents" / "agent.py").chmod(0o600)
    (project / "agents").chmod(0o700)
    image = await ensure(make(ignore=("data/", "runs/")))
    assert (image.source_dir, image.workdir, image.volumes) == ("/opt/agent", "/work", ())

    found = run(image.id, "cd /opt/agent && find . -not -type d -not -name '*.pyc'")
    assert set(found.split()) == {"./agents/agent.py", "./agents/module.py", "./main.py"}
    assert run(image.id, "grep -rl never /opt || true") == ""
    assert told(events, "symlinks that lead out of its source stay out of the image: 'leak'") == 1

    other = {"user": "54321:54321"}  # any uid can read, and none can write
    said = run(image.id, "python /opt/agent/main.py", **other)
    assert said.strip() in (project / "agents" / "agent.py").read_text()
    assert "cannot" in run(image.id, "touch /opt/agent/x 2>&1 || true", **other)
    compiled = "cd /opt/agent/agents && python -v -c 'import module' 2>&1 | grep module.cpython"
    assert "matches" in run(image.id, compiled, **other)

    assert run(image.id, "id -u").strip() == "65532"
    (info,) = [info for info in await list_images(engine) if info.id == image.id]
    assert (info.tag.partition(":")[0], info.kind) == ("pacabench/agent", "agent")
    assert info.size_bytes > 10**6
    assert abs(time.time() - info.created) < 300


async def test_each_step_is_built_once_and_again_only_after_a_change(
    ensure: Ensure, make: Make, project: Path, events: list[Event]
) -> None:
    empty = project.parent / "wheels"
    empty.mkdir()
    lines = f"--no-index\n--find-links {empty}\n"

    async def build(setup: str) -> tuple[AgentImage, list[int]]:
        """Three at once; the image, and how often requirements, setup and source were built."""
        events.clear()
        agents = [make(requirements=lines, setup=setup) for _ in range(3)]
        (image,) = set(await asyncio.gather(*(ensure(agent) for agent in agents)))
        return image, [told(events, step) for step in ("add_site.py", "setup.sh", "COPY agent/")]

    first, counts = await build("echo one >/opt/made")
    assert counts == [1, 1, 1]

    began = time.monotonic()
    again, counts = await build("echo one >/opt/made")
    assert (again, events) == (first, [])
    assert time.monotonic() - began < 5

    (project / "agents" / "agent.py").write_text("print('changed')")
    edited, counts = await build("echo one >/opt/made")
    assert counts == [0, 0, 1]
    pairs = zip(layers(edited.id), layers(first.id), strict=True)
    assert [a == b for a, b in pairs].index(False) >= len(layers(first.id)) - 3

    other, counts = await build("echo two >/opt/made")
    assert counts == [0, 1, 1]
    assert run(first.id, "cat /opt/made; python /opt/agent/agents/agent.py") != run(
        other.id, "cat /opt/made; python /opt/agent/agents/agent.py"
    )


async def test_setup_runs_in_the_build_and_never_here(
    ensure: Ensure, make: Make, tmp_path: Path
) -> None:
    mark = tmp_path / "mark"  # a directory that is here: what ran on this machine would show in it
    hostile = f"mkdir -p {tmp_path} && echo setup >> {mark} && readlink /proc/self/ns/mnt >> {mark}"
    image = await ensure(make(setup=hostile, source=False))
    said = run(image.id, f"cat {mark}").split()
    assert said[0] == "setup"
    assert said[1] != HERE
    assert not mark.exists()


async def test_setup_runs_as_root_with_the_hosts_way_to_the_network_and_leaves_none_of_it(
    ensure: Ensure, make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own-ca.pem").write_text("our certificate")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "own-ca.pem"))
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    command = """id -u >/opt/seen; pwd >>/opt/seen; echo a\\ "b" '$c' >>/opt/seen
        cat "$SSL_CERT_FILE" >>/opt/seen; echo " $HTTPS_PROXY" >>/opt/seen"""
    image = await ensure(make(setup=command, source=False))
    assert image.source_dir is None
    assert run(image.id, "cat /opt/seen").splitlines() == [
        "0",
        "/opt/agent",
        "a b $c",
        "our certificate http://proxy.example:3128",
    ]
    left = run(image.id, "env; ls -R /opt/pacabench; id -u")
    assert "proxy.example" not in left
    assert "SSL_CERT_FILE" not in left
    assert "ca.pem" not in left
    assert left.endswith("65532\n")


async def test_a_build_is_bounded_in_memory_and_may_be_cut_off_from_the_network(
    ensure: Ensure, make: Make
) -> None:
    setup = """ls /sys/class/net >/opt/links
        cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes \\
            2>/dev/null >/opt/memory || true"""
    alone = await ensure(make(setup=setup, source=False, build_network="none"))
    online = await ensure(make(setup=setup, source=False))
    assert run(alone.id, "cat /opt/links").split() == ["lo"]
    assert "eth0" in run(online.id, "cat /opt/links").split()
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for image in (alone, online):
        assert 0 < int(run(image.id, "cat /opt/memory")) < 0.8 * pages


async def test_a_failing_setup_shows_its_last_lines_without_keys_and_is_tried_again(
    ensure: Ensure, make: Make, events: list[Event]
) -> None:
    for _ in range(2):
        with pytest.raises(ImageError) as caught:
            await ensure(make(setup="echo token=verysecret; echo '\033[31mno such thing'; exit 7"))
        text = str(caught.value)
        assert text.startswith("agent 'tested': building pacabench/deps:")
        assert "non-zero code: 7" in text
        assert text.splitlines()[-2:] == ["    token=***", "    no such thing"]
    assert told(events, "setup.sh") == 2


async def test_a_source_that_is_too_big_is_refused_before_anything_is_built(
    ensure: Ensure, make: Make, project: Path, events: list[Event]
) -> None:
    (project / "model.bin").write_bytes(bytes(2 * 1024**2))
    with pytest.raises(ImageError, match=r"agent 'tested'.*'model\.bin'"):
        await ensure(make(tmp_size="1m", setup="true"))
    assert events == []


async def test_the_real_sdk_is_installed_offline_for_any_uid(ensure: Ensure, make: Make) -> None:
    image = await ensure(make(requirements="openai>=1.60\n", source=False))
    code = "import openai, sys; print(openai.OpenAI(api_key='k').base_url.path, openai.__file__)"
    said = run(image.id, f'python -c "{code}"', user="40123:40123")
    assert said.split() == ["/v1/", "/opt/pacabench/site/openai/__init__.py"]


async def test_an_image_that_is_nowhere_is_asked_for_once(
    ensure: Ensure, make: Make, events: list[Event]
) -> None:
    name = f"127.0.0.1:9/absent:{secrets.token_hex(4)}"
    for _ in range(2):
        with pytest.raises(ImageError, match=rf"`sandbox.image: {name}` is not on the engine"):
            await ensure(make(image=name))
    assert told(events, "asking its registry") == 1


async def test_cancelling_ends_the_build_on_the_engine(
    ensure: Ensure, make: Make, events: list[Event], mark: str
) -> None:
    pause = f"3600.{secrets.randbelow(10**9)}"
    task = asyncio.ensure_future(ensure(make(setup=f"echo sleeping {pause}; sleep {pause}")))
    async with asyncio.timeout(150):
        while not told(events, f"sleeping {pause}"):  # noqa: ASYNC110 - a listener fills the list
            await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(30):
        while running(mark):  # noqa: ASYNC110 - the engine is asked
            await asyncio.sleep(0.2)


async def test_a_build_without_a_sign_of_life_is_given_up(
    ensure: Ensure, make: Make, monkeypatch: pytest.MonkeyPatch, mark: str
) -> None:
    monkeypatch.setattr("pacabench.sandbox.docker.images.build.STALL_S", 10)
    with pytest.raises(ImageError, match="no sign of progress"):
        await ensure(make(setup=f"sleep 3600.{secrets.randbelow(10**9)}"))
    async with asyncio.timeout(30):
        while running(mark):  # noqa: ASYNC110 - the engine is asked
            await asyncio.sleep(0.2)
