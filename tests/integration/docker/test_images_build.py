"""The user's own Dockerfiles and images, with and without something of ours on them."""

import io
import secrets
import shutil
import tarfile
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import docker
import pip
import pytest

from pacabench.config.schema import AgentConfig, SandboxConfig
from pacabench.errors import ImageError
from pacabench.events import Event
from pacabench.sandbox.base import SandboxAgent
from pacabench.sandbox.docker.engine import Engine
from pacabench.sandbox.docker.images.agent import AgentImage, ensure_agent_image
from pacabench.sandbox.docker.images.base import ensure_default_base

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300)]

Ensure = Callable[..., Awaitable[AgentImage]]


@pytest.fixture
async def base(engine: Engine, cache_dir: Path) -> str:
    found = await ensure_default_base(engine, cache_dir=cache_dir, listener=lambda _: None)
    return str(found["Id"])


@pytest.fixture
def context(tmp_path: Path, base: str) -> Path:
    root = tmp_path / "context"
    (root / "docker").mkdir(parents=True)
    (root / "docker" / "Agent.dockerfile").write_text(
        f"FROM {base} AS wanted\n"
        "ARG NAME=nobody\n"
        "RUN echo hello $NAME >/greeting\n"
        "VOLUME /srv/data\n"
        "WORKDIR /srv/app\n"
        "USER 1234\n"
        "COPY . .\n"
        "FROM wanted\n"
        "RUN exit 1\n"
    )
    (root / "app.py").write_text(f"print({secrets.token_hex(4)!r})\n")
    (root / "secret.txt").write_text("never")
    (root / ".dockerignore").write_text("# what stays out\n*.txt\n!kept.txt\n")
    (root / "kept.txt").write_text("")
    return root


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture
async def ensure(
    engine: Engine, cache_dir: Path, context: Path, events: list[Event]
) -> AsyncIterator[Ensure]:
    """Build, and forget what was built when the test is done."""
    made: list[str] = []

    async def call(
        *,
        source: Path | None = None,
        requirements: Path | None = None,
        args: dict[str, str] | None = None,
        target: str | None = "wanted",
        dockerfile: str = "docker/Agent.dockerfile",
        image: str | None = None,
    ) -> AgentImage:
        build = {
            "context": context.name,
            "dockerfile": dockerfile,
            "args": args or {"NAME": "you"},
            "target": target,
        }
        settings = {"image": image} if image else {"build": build}
        agent = SandboxAgent(
            config=AgentConfig(name="own", command="python app.py"),
            sandbox=SandboxConfig.model_validate(settings),
            env={},
            source=source,
            requirements=requirements,
            project=context.parent,
        )
        found = await ensure_agent_image(engine, agent, cache_dir=cache_dir, listener=events.append)
        made.append(found.id)
        return found

    yield call
    client = docker.from_env(timeout=60)
    for image_id in reversed(list(dict.fromkeys(made))):
        client.api.remove_image(image_id, force=True)
    client.close()


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
            tmpfs={"/srv/data": ""},  # else `remove` leaves the volume of the image behind
            labels={"pacabench.role": "test"},
        )
    finally:
        client.close()
    return said.decode()


async def test_an_own_dockerfile_is_built_when_its_context_changed_and_takes_a_source(
    ensure: Ensure, context: Path, tmp_path: Path, events: list[Event]
) -> None:
    image = await ensure()
    assert (image.source_dir, image.workdir, image.volumes) == (None, "/srv/app", ("/srv/data",))
    assert run(image.id, "cat /greeting; ls; id -u").split() == [
        "hello",
        "you",
        "app.py",
        "docker",
        "kept.txt",
        "1234",
    ]

    events.clear()
    (context / "secret.txt").write_text("ignored, so it does not matter")
    assert await ensure() == image
    assert events == []

    (context / "app.py").write_text("print('changed')")
    changed = await ensure()
    assert run(changed.id, "python app.py") == "changed\n"

    source = tmp_path / "source"
    source.mkdir()
    (source / "main.py").write_text(f"print({secrets.token_hex(4)!r})")
    layered = await ensure(source=source)
    assert layered.source_dir == "/opt/agent"
    assert (layered.workdir, layered.volumes) == ("/work", image.volumes)
    assert run(layered.id, "id -u; ls /opt/agent").split() == ["1234", "__pycache__", "main.py"]
    assert (await ensure(image=changed.id)).id == changed.id


async def test_a_failing_dockerfile_quotes_its_step(
    ensure: Ensure, context: Path, base: str
) -> None:
    (context / "Fails").write_text(f"FROM {base}\nRUN echo why; exit 3\n")
    said = r"agent 'own': building .*`RUN echo why; exit 3` failed.*code: 3\n    why$"
    with pytest.raises(ImageError, match=said):
        await ensure(dockerfile="Fails", target=None)


async def test_what_needs_buildkit_says_so(ensure: Ensure, context: Path, base: str) -> None:
    (context / "Kit").write_text(f"FROM {base}\nRUN --mount=type=cache,target=/c true\n")
    with pytest.raises(ImageError, match=r"BuildKit: build it yourself .*sandbox\.image"):
        await ensure(dockerfile="Kit", target=None)


@pytest.mark.parametrize(
    ("dockerfile", "said"),
    [("Absent", "there is no .*Absent"), ("../outside", "not inside the context")],
)
async def test_a_dockerfile_that_cannot_be_used_is_named(
    ensure: Ensure, tmp_path: Path, dockerfile: str, said: str
) -> None:
    (tmp_path / "outside").write_text("FROM scratch\n")
    with pytest.raises(ImageError, match=said):
        await ensure(dockerfile=dockerfile)


BACKEND = """
import base64, hashlib, zipfile
def build_wheel(folder, settings=None, metadata=None):
    files = {
        "homemade.py": "WHERE = 'built inside'",
        "homemade-1.0.dist-info/METADATA":
            "Metadata-Version: 2.1\\nName: homemade\\nVersion: 1.0\\n",
        "homemade-1.0.dist-info/WHEEL":
            "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
        "homemade-1.0.dist-info/RECORD": "",
    }
    name = "homemade-1.0-py3-none-any.whl"
    with zipfile.ZipFile(folder + "/" + name, "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
    return name
"""


def source_distribution(folder: Path) -> None:
    """A package that exists only as source, with a build backend of its own."""
    files = {
        "PKG-INFO": "Metadata-Version: 2.1\nName: homemade\nVersion: 1.0\n",
        "backend.py": BACKEND,
        "pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "backend"\n'
        'backend-path = ["."]\n[project]\nname = "homemade"\nversion = "1.0"\n',
    }
    with tarfile.open(folder / "homemade-1.0.tar.gz", "w:gz") as archive:
        for name, text in files.items():
            info = tarfile.TarInfo(f"homemade-1.0/{name}")
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text.encode()))


async def test_without_a_wheel_the_images_own_pip_builds_inside(
    ensure: Ensure, context: Path, base: str, events: list[Event]
) -> None:
    root = context / "root"
    (root / "opt" / "links").mkdir(parents=True)
    source_distribution(root / "opt" / "links")
    site = root / "usr" / "local" / "lib" / "python3.11" / "dist-packages"
    leave_out = shutil.ignore_patterns("__pycache__")
    shutil.copytree(Path(pip.__file__).parent, site / "pip", ignore=leave_out)
    (context / "WithPip").write_text(f"FROM {base}\nCOPY root /\n")
    wanted = context.parent / "requirements.txt"
    wanted.write_text("--no-index\n--find-links /opt/links\n-r more.txt\n")
    (context.parent / "more.txt").write_text("homemade\n")
    image = await ensure(dockerfile="WithPip", target=None, requirements=wanted)
    assert run(image.id, "python -c 'import homemade; print(homemade.WHERE)'") == "built inside\n"
    assert any("no wheel of homemade" in str(event) for event in events)


async def test_without_a_wheel_and_without_pip_there_is_advice(
    ensure: Ensure, context: Path, base: str
) -> None:
    (context / "pyproject.toml").write_text('[project]\nname = "own"\nversion = "1"\n')
    wanted = context.parent / "requirements.txt"
    wanted.write_text("--no-index\n-e ./context\n")
    with pytest.raises(ImageError) as caught:
        await ensure(image=base, requirements=wanted)
    assert "would have to be built" in str(caught.value)
    assert "the image has no pip to build it inside" in str(caught.value)
    assert "`sandbox.build`" in str(caught.value)


async def test_requirements_need_an_image_with_python(
    ensure: Ensure, context: Path, base: str
) -> None:
    (context / "Bare").write_text(f"FROM {base}\nRUN rm /usr/bin/python /usr/bin/python3*\n")
    wanted = context.parent / "requirements.txt"
    wanted.write_text("openai\n")
    with pytest.raises(ImageError, match="the image has no python3"):
        await ensure(dockerfile="Bare", target=None, requirements=wanted)
