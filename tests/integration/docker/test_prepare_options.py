"""``prepare``'s network, requirements and image, each with a real one; and what it is held to."""

import os
import secrets
import time
import tracemalloc
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest
from prepares import Project, left

from pacabench.errors import DatasetError, WeakSandboxError
from pacabench.sandbox.docker import preparing
from pacabench.sandbox.docker.engine import open_engine
from pacabench.sandbox.docker.images.base import ensure_default_base

pytestmark = [pytest.mark.docker, pytest.mark.timeout(240)]

SERVE = """
import socket
server = socket.create_server(("0.0.0.0", 8000))
print("ready", flush=True)
while True:
    client, _ = server.accept()
    client.sendall(b'{"input": "from the network"}\\n')
    client.close()
"""
FETCH = """python -c '
import os, socket
rows = socket.create_connection((os.environ["WHERE"], 8000), 5).makefile("rb").read()
open(os.environ["PACABENCH_DATASET_PATH"], "wb").write(rows)
'"""


@pytest.fixture
def project(tmp_path: Path, cache_dir: Path) -> Project:
    (tmp_path / "cache").symlink_to(cache_dir)
    made = Project(tmp_path)
    (tmp_path / "raw" / "unique.txt").write_text(secrets.token_hex(8))
    return made


@pytest.fixture
async def base(cache_dir: Path) -> str:
    """The default base's id."""
    async with open_engine() as engine:
        found = await ensure_default_base(engine, cache_dir=cache_dir, listener=lambda _: None)
    return str(found["Id"])


@pytest.fixture
def mark() -> Iterator[str]:
    """A label's value; containers and images with it go in the end."""
    value = secrets.token_hex(6)
    yield value
    client = docker.from_env(timeout=60)
    wanted = {"label": f"pacabench.test={value}"}
    try:
        for container in client.api.containers(all=True, filters=wanted):
            client.api.remove_container(container["Id"], force=True)
        for image in client.api.images(filters=wanted):
            client.api.remove_image(image["Id"], force=True)
    finally:
        client.close()


@pytest.fixture
def marked(base: str, mark: str) -> str:
    """The default base under a name that goes in the end, with what is built on it."""
    client = docker.from_env(timeout=60)
    try:
        container = client.api.create_container(base, ["true"])["Id"]
        client.api.commit(
            container, "pacabench-test", mark, changes=[f"LABEL pacabench.test={mark}"]
        )
        client.api.remove_container(container)
    finally:
        client.close()
    return f"pacabench-test:{mark}"


@pytest.fixture
def address(base: str, mark: str) -> str:
    """Of a server in the engine's default network, and nowhere else."""
    client = docker.from_env(timeout=60)
    try:
        container = client.containers.create(
            base, entrypoint=["python3", "-c", SERVE], labels={"pacabench.test": mark}
        )
        container.start()
        while container.logs() != b"ready\n":
            time.sleep(0.05)
        container.reload()
        networks = container.attrs["NetworkSettings"]["Networks"]
        return str(networks["bridge"]["IPAddress"])
    finally:
        client.close()


def wheel(folder: Path, version: str, word: str) -> str:
    """A wheel with a module ``stamp``; its file's name."""
    info = f"stamp-{version}.dist-info"
    name = f"stamp-{version}-py3-none-any.whl"
    with zipfile.ZipFile(folder / name, "w") as archive:
        archive.writestr("stamp.py", f"WORD = {word!r}\n")
        archive.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: stamp\nVersion: {version}\n"
        )
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    return name


def test_the_engines_network_is_reached_where_it_is_asked_for_and_not_else(
    project: Project, address: str
) -> None:
    wish: dict[str, Any] = {"command": f"mkdir -p data; {FETCH}", "env": {"WHERE": address}}
    dataset = project.load({**wish, "network": "engine"})
    assert [case.input for case in dataset.cases] == ["from the network"]
    assert any("with the engine's network" in text for text in project.said)

    with pytest.raises(DatasetError, match="Network is unreachable") as caught:
        project.load(wish)
    assert "`prepare.network: engine` gives it one" in str(caught.value)
    assert not left(project)


def test_requirements_are_there_and_a_changed_wheel_is_another_content(
    project: Project, marked: str
) -> None:
    scripts = project.folder / "scripts"
    scripts.mkdir()
    (scripts / "make.py").write_text(
        "import json, os, stamp\n"
        "with open(os.environ['PACABENCH_DATASET_PATH'], 'w') as rows:\n"
        "    rows.write(json.dumps({'input': stamp.WORD}) + '\\n')\n"
    )
    wheels = project.folder / "wheels"
    wheels.mkdir()
    first, second = secrets.token_hex(4), secrets.token_hex(4)
    requirements = project.folder / "requirements.txt"
    requirements.write_text(f"./wheels/{wheel(wheels, '1.0', first)}\n")
    wish = {
        "command": "python make.py",
        "source": "scripts",
        "requirements": "requirements.txt",
        "image": marked,
    }

    assert [case.input for case in project.load(wish).cases] == [first]
    assert [case.input for case in project.load(wish).cases] == [first]
    assert project.ran() == 1
    wheel(wheels, "1.0", second)  # the same name, and other code
    assert [case.input for case in project.load(wish).cases] == [second]
    assert project.ran() == 2
    assert not left(project)


def test_requirements_that_cannot_be_had_name_the_file(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    (project.folder / "requirements.txt").write_text(f"no-such-{secrets.token_hex(4)}==1.0\n")
    with pytest.raises(Exception, match=r"requirements\.txt") as caught:
        project.load({"command": "true", "requirements": "requirements.txt"})
    assert project.name in str(caught.value)
    assert not left(project)


def test_an_image_of_its_own_is_what_it_runs_in(project: Project, base: str, mark: str) -> None:
    client = docker.from_env(timeout=60)
    try:
        container = client.api.create_container(
            base,
            entrypoint=["/bin/sh", "-c", f"echo {mark} > /opt/mark"],
            labels={"pacabench.test": mark},
        )["Id"]
        client.api.start(container)
        client.api.wait(container)
        client.api.commit(
            container,
            "pacabench-test",
            mark,
            changes=[f"LABEL pacabench.test={mark}", 'ENTRYPOINT ["/bin/false"]', "USER root"],
        )
    finally:
        client.close()
    command = (
        "mkdir -p data; "
        'echo "{\\"input\\": \\"$(cat /opt/mark)\\", \\"uid\\": $(id -u)}"'
        " > $PACABENCH_DATASET_PATH"
    )
    (case,) = project.load({"command": command, "image": f"pacabench-test:{mark}"}).cases
    assert case.input == mark
    assert case.metadata["uid"] == 65531  # whoever the image would run as
    assert not left(project)


def test_an_image_that_is_not_there_is_named(project: Project) -> None:
    with pytest.raises(Exception, match="pacabench-test:nowhere"):
        project.load({"command": "true", "image": "pacabench-test:nowhere"})
    assert not left(project)


class TestPromises:
    """A container of the same form looks around before the command does."""

    @pytest.fixture
    def ran(self, project: Project) -> Path:
        """Where the command would have left something."""
        return project.folder / "cache" / "prepared"

    @pytest.fixture
    def weak(self, monkeypatch: pytest.MonkeyPatch) -> None:
        real = preparing.prepare_container

        def unfiltered(**facts: Any) -> dict[str, Any]:
            body = real(**facts)
            body["HostConfig"] = {**body["HostConfig"], "SecurityOpt": ["seccomp=unconfined"]}
            return body

        monkeypatch.setattr(preparing, "prepare_container", unfiltered)

    @pytest.mark.usefixtures("weak")
    def test_a_sandbox_that_does_not_hold_runs_nothing(self, project: Project) -> None:
        with pytest.raises(WeakSandboxError, match="prepare's system calls are not filtered") as e:
            project.load("echo it ran; python make.py")
        assert "--allow-weak-sandbox" in str(e.value)
        assert project.name in str(e.value)
        assert not any("it ran" in text for text in project.said if text.endswith("it ran"))
        assert not left(project)

    @pytest.mark.usefixtures("weak")
    def test_it_can_be_allowed_and_is_said(self, project: Project) -> None:
        assert len(project.load("python make.py", allow_weak=True).cases) == 2
        assert any("not held as promised (prepare)" in text for text in project.said)

    def test_what_looks_around_leaves_nothing_for_the_command_to_see(
        self, project: Project
    ) -> None:
        command = (
            'python -c \'import json, os; print(json.dumps({"input": sorted(os.listdir("."))}))\''
            " > /tmp/row; mkdir data; cp /tmp/row $PACABENCH_DATASET_PATH"
        )
        (case,) = project.load(command).cases
        assert "program" not in case.input
        assert "raw" in case.input

    @pytest.mark.parametrize("network", ["none", "engine"])
    def test_what_is_promised_holds_for_every_network(self, project: Project, network: str) -> None:
        wish = {"command": "python make.py", "network": network, "size": "64m", "memory": "128m"}
        assert len(project.load(wish).cases) == 2


def test_what_it_makes_goes_to_the_disk_and_not_through_memory(project: Project) -> None:
    # 96 MiB in 3 files, of which the harness holds 8 MiB at a time
    command = (
        "mkdir -p data beside; for n in 1 2 3; do head -c 33554432 /dev/zero > beside/$n; done; "
        "echo '{\"input\": 1}' > $PACABENCH_DATASET_PATH"
    )
    files = ", files: {columns: [f], directory: beside}"
    tracemalloc.start()
    try:
        project.load({"command": command, "size": "256m"}, more=files)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    made = [path.stat() for path in (project.folder / "cache/prepared").glob("*/project/beside/3")]
    assert max(made, key=lambda it: it.st_mtime).st_size == 32 * 1024**2
    assert peak < 48 * 1024**2


def test_it_is_on_disk_before_it_counts(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    real_fsync, real_replace = os.fsync, Path.replace

    def fsync(fd: int) -> None:
        order.append(f"sync {Path(f'/proc/self/fd/{fd}').readlink()}")
        real_fsync(fd)

    def replace(self: Path, target: Path) -> Path:
        order.append(f"rename {self}")
        return real_replace(self, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", replace)
    project.load()
    renames = [n for n, text in enumerate(order) if text.startswith("rename")]
    (rename,) = [n for n in renames if "/prepared/" in order[n]]
    synced = [text for text in order[:rename] if ".partial" in text]
    partial = order[rename].removeprefix("rename ")
    assert f"sync {Path(partial).resolve()}" in synced
    assert any(text.endswith(".partial/project/data/x.jsonl") for text in synced)
    assert any(text.endswith(".partial/project/data") for text in synced)
    assert any(text.endswith("/prepared") for text in order[rename:])
