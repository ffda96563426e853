"""An image's interpreter, and which wheels fit it (PEP 425, 600, 656)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

_OLDEST_GLIBC = {"x86_64": 5, "i686": 5}
"""Minor of the oldest glibc 2.x that has manylinux tags; 17 on other machines."""
_ALIASES = {5: "manylinux1", 12: "manylinux2010", 17: "manylinux2014"}


@dataclass(frozen=True, slots=True)
class Interpreter:
    """The ``python3`` of an image, as it described itself."""

    executable: str
    implementation: str
    """``cpython``, ``pypy``."""
    version: str
    """``3.12``."""
    machine: str
    """``x86_64``, ``aarch64``; a 32-bit interpreter on a 64-bit kernel counts as 32-bit."""
    libc: Literal["glibc", "musl", ""]
    """Empty where it is neither, or none that is known: no wheels are looked up then."""
    libc_version: tuple[int, int]
    free_threaded: bool
    has_pip: bool
    markers: Mapping[str, str]
    """PEP 508's environment, which conditions of dependencies are judged by."""

    @property
    def tag(self) -> str:
        """Short, for messages and cache keys: ``cp312t-glibc2.36-x86_64``."""
        kind = "cp" if self.implementation == "cpython" else self.implementation
        threads = "t" if self.free_threaded else ""
        libc = f"{self.libc}{self.libc_version[0]}.{self.libc_version[1]}"
        return f"{kind}{self.version.replace('.', '')}{threads}-{libc}-{self.machine}"


def platform_tags(interpreter: Interpreter) -> list[str]:
    """Platform tags that the image can load, best first.

    All are written out, because pip takes ``--platform`` literally.
    """
    major, minor = interpreter.libc_version
    machine = interpreter.machine
    if interpreter.libc == "musl":
        libc = [f"musllinux_{major}_{older}" for older in range(minor, -1, -1)]
    else:
        libc = []
        for older in range(minor, _OLDEST_GLIBC.get(machine, 17) - 1, -1):
            libc.append(f"manylinux_{major}_{older}")
            if older in _ALIASES:
                libc.append(_ALIASES[older])
    return [f"{tag}_{machine}" for tag in [*libc, "linux"]]


def pip_target_arguments(interpreter: Interpreter) -> list[str]:
    """Options of pip that choose wheels for ``interpreter`` and never a build."""
    arguments = [
        "--only-binary=:all:",
        f"--python-version={interpreter.version}",
        "--implementation=cp",
    ]
    if interpreter.free_threaded:
        arguments += [f"--abi=cp{interpreter.version.replace('.', '')}t", "--abi=none"]
    return arguments + [f"--platform={tag}" for tag in platform_tags(interpreter)]
