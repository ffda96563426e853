"""The sidecar's image on a real engine."""

import secrets
import time
from pathlib import Path

import docker
import pytest

from pacabench import __version__
from pacabench.errors import ImageError
from pacabench.events import Event
from pacabench.sandbox.docker.engine import Engine
from pacabench.sandbox.docker.images.sidecar import ensure_sidecar_image

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300)]


@pytest.fixture
async def image(engine: Engine, cache_dir: Path) -> str:
    return await ensure_sidecar_image(engine, cache_dir=cache_dir, listener=lambda _: None)


def run(image: str, *command: str, volume: str | None = None) -> str:
    client = docker.from_env(timeout=60)
    try:
        said: bytes = client.containers.run(
            image,
            list(command),
            network_mode="none",
            read_only=True,
            cap_drop=["ALL"],
            security_opt=["no-new-privileges:true"],
            remove=True,
            labels={"pacabench.role": "test"},
            volumes={volume: {"bind": "/run/pacabench", "mode": "rw"}} if volume else {},
        )
    finally:
        client.close()
    return said.decode()


async def test_the_second_call_builds_nothing(image: str, engine: Engine, cache_dir: Path) -> None:
    events: list[Event] = []
    began = time.monotonic()
    again = await ensure_sidecar_image(engine, cache_dir=cache_dir, listener=events.append)
    assert (again, events) == (image, [])
    assert time.monotonic() - began < 5


async def test_a_cache_that_cannot_be_written_is_an_error_with_its_name(
    engine: Engine, tmp_path: Path
) -> None:
    (tmp_path / "cache").write_text("a file and no directory")
    with pytest.raises(ImageError, match=r"sidecar's image cannot be made: .*cache"):
        await ensure_sidecar_image(engine, cache_dir=tmp_path / "cache", listener=lambda _: None)


def test_the_proxy_starts_from_byte_code_and_finds_its_libraries(image: str) -> None:
    code = (
        "import sys, httptools, yarl, orjson, pacabench, pacabench.proxy.control as c;"
        "print(pacabench.__version__, c.__cached__ is not None, *sorted({"
        "m.split('.')[0] for m in sys.modules} & {'docker', 'pydantic', 'typer', 'rich'}))"
    )
    assert run(image, "python3", "-c", code).split() == [__version__, "True"]
    listing = "import pacabench; from pathlib import Path;"
    listing += "print(*sorted(p.name for p in Path(pacabench.__file__).parent.iterdir()))"
    assert run(image, "python3", "-c", listing).split() == [
        "__init__.py",
        "__pycache__",
        "aio.py",
        "allow_list.py",
        "billing.py",
        "egress.py",
        "json_pointer.py",
        "model.py",
        "provider_tools.py",
        "proxy",
    ]
    codings = "from pacabench.proxy.decode import BodyDecoder as B; print(B('br, zstd').known)"
    assert run(image, "python3", "-c", codings).strip() == "True"
    compiled = "import pacabench.proxy.control as c; from pathlib import Path;"
    compiled += "print(Path(c.__cached__).is_file())"
    assert run(image, "python3", "-c", compiled).strip() == "True"


def test_it_is_not_root_and_a_fresh_volume_is_its_own(image: str) -> None:
    assert run(image, "id", "-u").strip() == "65532"
    name = f"pacabench-test-{secrets.token_hex(6)}"
    client = docker.from_env(timeout=60)
    client.api.create_volume(name, labels={"pacabench.role": "test"})
    try:
        command = "stat -c '%u:%g %a' /run/pacabench && touch /run/pacabench/mine && echo written"
        said = run(image, "sh", "-c", command, volume=name)
        assert said.splitlines() == ["65532:65532 700", "written"]
    finally:
        client.api.remove_volume(name)
        client.close()
