"""Wheels are installed on the host for another machine, with the real pip and no index."""

import asyncio
import stat
import sys
import textwrap
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pacabench.errors import ImageError
from pacabench.events import Event
from pacabench.sandbox.docker.images.output import Narrator
from pacabench.sandbox.docker.images.platforms import Interpreter
from pacabench.sandbox.docker.images.wheels import (
    NoWheelError,
    install_wheels,
    pip_command,
    with_portable_shebang,
)

MakeWheel = Callable[..., Path]
Install = Callable[..., "asyncio.Future[Path]"]


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture
def install(
    tmp_path: Path, wheelhouse: Path, interpreter: Interpreter, events: list[Event]
) -> Install:
    """Install the given requirement lines; the only index is the wheelhouse."""
    (tmp_path / "project").mkdir()

    async def run(*lines: str, image: Interpreter = interpreter, content: str = "") -> Path:
        file = tmp_path / "project" / "requirements.txt"
        text = "\n".join(["--no-index", f"--find-links {wheelhouse}", *lines])
        file.write_text(text)
        return await install_wheels(
            file,
            content or text,
            image,
            cache_dir=tmp_path / "cache",
            narrator=Narrator(events.append, "agent a"),
        )

    return run  # type: ignore[return-value]  # a coroutine function, awaited like a future


class TestInstalling:
    async def test_a_wheel_of_another_machine_lands_in_the_directory(
        self, install: Install, make_wheel: MakeWheel
    ) -> None:
        make_wheel("native", tag="cp39-cp39-manylinux_2_17_aarch64")
        place = await install("native")
        assert (place / "native" / "__init__.py").is_file()

    async def test_a_wheel_for_a_newer_glibc_is_refused(
        self, install: Install, make_wheel: MakeWheel
    ) -> None:
        make_wheel("native", tag="cp39-cp39-manylinux_2_34_aarch64")
        with pytest.raises(NoWheelError, match=r"no wheel of native for cp39-glibc2\.31-aarch64"):
            await install("native")

    async def test_conditions_are_judged_for_the_image(
        self, install: Install, make_wheel: MakeWheel, interpreter: Interpreter
    ) -> None:
        make_wheel("old_only")
        make_wheel("windows_only")
        make_wheel("arm_only")
        make_wheel(
            "root_package",
            requires=(
                'old_only; python_version < "3.10"',
                'windows_only; sys_platform == "win32"',
                'arm_only; platform_machine == "aarch64"',
            ),
        )
        place = await install("root_package")
        found = {path.name for path in place.iterdir() if (path / "__init__.py").is_file()}
        assert found == {"root_package", "old_only", "arm_only"}

    async def test_nothing_of_this_machine_is_left_in_it(
        self, install: Install, make_wheel: MakeWheel
    ) -> None:
        make_wheel("tool", script="tool")
        place = await install("tool")
        script = place / "bin" / "tool"
        assert script.read_bytes().startswith(b"#!/usr/bin/env python3\n")
        assert script.stat().st_mode & stat.S_IXUSR
        own = sys.prefix.encode()
        assert not [p for p in place.rglob("*") if p.is_file() and own in p.read_bytes()]

    async def test_progress_is_told(
        self, install: Install, make_wheel: MakeWheel, events: list[Event]
    ) -> None:
        make_wheel("tool")
        await install("tool")
        assert any("agent a: " in str(event) for event in events)

    async def test_settings_that_send_pip_elsewhere_are_left_out(
        self, install: Install, make_wheel: MakeWheel, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PIP_USER", "1")
        monkeypatch.setenv("PIP_PREFIX", "/nowhere")
        monkeypatch.setenv("PIP_PYTHON", "/nowhere/python")
        monkeypatch.setenv("PIP_REQUIRE_VIRTUALENV", "1")
        make_wheel("tool")
        assert (await install("tool") / "tool").is_dir()


class TestCache:
    async def test_the_second_time_no_pip_runs(
        self, install: Install, make_wheel: MakeWheel, wheelhouse: Path
    ) -> None:
        wheel = make_wheel("tool")
        place = await install("tool")
        wheel.unlink()
        assert await install("tool") == place

    async def test_another_interpreter_is_another_place(
        self, install: Install, make_wheel: MakeWheel, interpreter: Interpreter
    ) -> None:
        make_wheel("tool")
        other = replace(interpreter, version="3.12")
        assert await install("tool") != await install("tool", image=other)

    async def test_two_at_once_make_it_once(
        self, install: Install, make_wheel: MakeWheel, events: list[Event]
    ) -> None:
        make_wheel("tool")
        first, second = await asyncio.gather(install("tool"), install("tool"))
        assert first == second
        assert sum("Processing" in str(event) for event in events) <= 1

    async def test_a_failure_leaves_nothing(self, install: Install, tmp_path: Path) -> None:
        with pytest.raises(ImageError):
            await install("absent")
        assert list((tmp_path / "cache" / "wheels").iterdir()) == []

    async def test_what_a_killed_run_left_is_swept_and_not_used(
        self, install: Install, make_wheel: MakeWheel
    ) -> None:
        make_wheel("tool")
        place = await install("tool", content="fixed")
        half = place.with_name(f".{place.name}.0123")
        place.rename(half)
        (half / "tool" / "__init__.py").unlink()
        again = await install("tool", content="fixed")
        assert (again / "tool" / "__init__.py").is_file()
        assert not half.exists()

    async def test_cancelling_ends_pip_and_leaves_nothing(
        self, install: Install, make_wheel: MakeWheel, tmp_path: Path
    ) -> None:
        make_wheel("tool")
        task = asyncio.ensure_future(install("tool"))
        await asyncio.sleep(0.2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        folder = tmp_path / "cache" / "wheels"
        assert not folder.exists() or list(folder.iterdir()) == []


class TestNothingIsBuilt:
    """A requirement's own code must not run on the host, whatever form it comes in."""

    @pytest.fixture
    def hostile(self, tmp_path: Path) -> Path:
        """A source tree whose build backend leaves a mark."""
        source = tmp_path / "hostile"
        source.mkdir()
        (source / "pyproject.toml").write_text(
            textwrap.dedent("""\
                [build-system]
                requires = []
                build-backend = "backend"
                backend-path = ["."]
            """)
        )
        mark = f"import pathlib; pathlib.Path({str(tmp_path / 'mark')!r}).touch()\n"
        (source / "backend.py").write_text(mark)
        (source / "setup.py").write_text(mark)
        return source

    @pytest.mark.parametrize("form", ["{}", "-e {}", "hostile @ file://{}"])
    async def test_a_local_directory(
        self, install: Install, hostile: Path, tmp_path: Path, form: str
    ) -> None:
        with pytest.raises(NoWheelError, match="would have to be built"):
            await install(form.format(hostile))
        assert not (tmp_path / "mark").exists()

    async def test_a_repository(self, install: Install, hostile: Path, tmp_path: Path) -> None:
        for command in ("init -q", "add .", "-c user.name=a -c user.email=a@b commit -qm x"):
            process = await asyncio.create_subprocess_exec(
                "git", "-C", str(hostile), *command.split()
            )
            assert await process.wait() == 0
        with pytest.raises(NoWheelError, match="would have to be built"):
            await install(f"hostile @ git+file://{hostile}")
        assert not (tmp_path / "mark").exists()

    async def test_a_dependency_of_a_wheel(
        self, install: Install, make_wheel: MakeWheel, hostile: Path, tmp_path: Path
    ) -> None:
        make_wheel("decoy", requires=(f"hostile @ file://{hostile}",))
        with pytest.raises(NoWheelError, match="would have to be built"):
            await install("decoy")
        assert not (tmp_path / "mark").exists()

    async def test_the_error_quotes_pip_without_keys(
        self, install: Install, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SECRET_TOKEN", "absent-thing")
        with pytest.raises(NoWheelError) as caught:
            await install("absent-thing")
        assert "No matching distribution found for ***" in str(caught.value)


class TestCommand:
    def test_no_module_of_ours_can_stand_in_for_one_of_pips(
        self, interpreter: Interpreter, tmp_path: Path
    ) -> None:
        command = pip_command(tmp_path / "r.txt", tmp_path / "t", interpreter)
        assert command[:2] == [sys.executable, "-P"]

    def test_the_directory_and_the_file(self, interpreter: Interpreter, tmp_path: Path) -> None:
        command = pip_command(tmp_path / "r.txt", tmp_path / "t", interpreter)
        assert f"--target={tmp_path / 't'}" in command
        assert f"--requirement={tmp_path / 'r.txt'}" in command


class TestShebang:
    def test_a_plain_one(self) -> None:
        text = b"#!/home/me/venv/bin/python3.11\nimport x\n"
        assert with_portable_shebang(text) == b"#!/usr/bin/env python3\nimport x\n"

    def test_the_long_form(self) -> None:
        path = "/very long/path " + "x" * 200
        text = f"#!/bin/sh\n'''exec' \"{path}/python\" \"$0\" \"$@\"\n' '''\nimport x\n"
        assert with_portable_shebang(text.encode()) == b"#!/usr/bin/env python3\nimport x\n"

    def test_another_language(self) -> None:
        assert with_portable_shebang(b"#!/bin/sh\nls\n") == b"#!/bin/sh\nls\n"
