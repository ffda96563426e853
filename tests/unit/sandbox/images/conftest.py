"""Wheels made on the spot, so that no index is asked, and an interpreter to install them for."""

import base64
import hashlib
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from pacabench.sandbox.docker.images.platforms import Interpreter

MakeWheel = Callable[..., Path]


@pytest.fixture
def interpreter() -> Interpreter:
    """What no machine that runs these tests is."""
    return Interpreter(
        executable="/usr/bin/python3",
        implementation="cpython",
        version="3.9",
        machine="aarch64",
        libc="glibc",
        libc_version=(2, 31),
        free_threaded=False,
        has_pip=False,
        markers={
            "os_name": "posix",
            "platform_machine": "aarch64",
            "platform_system": "Linux",
            "python_full_version": "3.9.2",
            "python_version": "3.9",
            "sys_platform": "linux",
        },
    )


@pytest.fixture
def wheelhouse(tmp_path: Path) -> Path:
    path = tmp_path / "wheelhouse"
    path.mkdir()
    return path


@pytest.fixture
def make_wheel(wheelhouse: Path) -> MakeWheel:
    def make(
        name: str,
        version: str = "1.0",
        *,
        tag: str = "py3-none-any",
        requires: tuple[str, ...] = (),
        script: str | None = None,
    ) -> Path:
        info = f"{name}-{version}.dist-info"
        metadata = [f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"]
        metadata += [f"Requires-Dist: {item}\n" for item in requires]
        files = {
            f"{name}/__init__.py": f"VERSION = {version!r}\ndef main():\n    print(VERSION)\n",
            f"{info}/METADATA": "".join(metadata),
            f"{info}/WHEEL": f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n",
        }
        if script:
            files[f"{info}/entry_points.txt"] = f"[console_scripts]\n{script} = {name}:main\n"
        path = wheelhouse / f"{name}-{version}-{tag}.whl"
        record = ""
        with zipfile.ZipFile(path, "w") as archive:
            for file, text in files.items():
                archive.writestr(file, text)
                digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest())
                record += f"{file},sha256={digest.decode().rstrip('=')},{len(text)}\n"
            archive.writestr(f"{info}/RECORD", f"{record}{info}/RECORD,,\n")
        return path

    return make
