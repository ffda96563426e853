"""Runs inside an image: prints, as one JSON line, what its interpreter is.

Only the standard library, and nothing newer than Python 3.8.
"""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import re
import struct
import subprocess
import sys
import sysconfig
from pathlib import Path


def libc() -> tuple[str, int, int]:
    """``("glibc", 2, 36)`` or ``("musl", 1, 2)``."""
    try:
        text = os.confstr("CS_GNU_LIBC_VERSION") or ""
    except (AttributeError, OSError, ValueError):
        text = ""
    match = re.match(r"glibc (\d+)\.(\d+)", text)
    if match:
        return "glibc", int(match.group(1)), int(match.group(2))
    for loader in sorted([*Path("/lib").glob("ld-musl-*"), *Path("/usr/lib").glob("ld-musl-*")]):
        run = subprocess.run([str(loader)], stderr=subprocess.PIPE, check=False)
        found = re.search(rb"Version (\d+)\.(\d+)", run.stderr)
        if found:
            return "musl", int(found.group(1)), int(found.group(2))
    return "", 0, 0


def machine() -> str:
    """The machine wheels are made for: that of the interpreter and not of the kernel."""
    name = platform.machine()
    if struct.calcsize("P") == 4:  # noqa: PLR2004 - bytes of a 32-bit pointer
        return {"x86_64": "i686", "aarch64": "armv7l"}.get(name, name)
    return name


def implementation_version() -> str:
    """As PEP 508 writes it."""
    info = sys.implementation.version
    text = f"{info.major}.{info.minor}.{info.micro}"
    return text if info.releaselevel == "final" else f"{text}{info.releaselevel[0]}{info.serial}"


def describe() -> dict[str, object]:
    """Everything the harness wants to know."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    return {
        "executable": sys.executable,
        "implementation": sys.implementation.name,
        "version": version,
        "machine": machine(),
        "libc": libc(),
        "free_threaded": bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
        "has_pip": importlib.util.find_spec("pip") is not None,
        "markers": {
            "implementation_name": sys.implementation.name,
            "implementation_version": implementation_version(),
            "os_name": os.name,
            "platform_machine": machine(),
            "platform_python_implementation": platform.python_implementation(),
            "platform_release": platform.release(),
            "platform_system": platform.system(),
            "platform_version": platform.version(),
            "python_full_version": platform.python_version(),
            "python_version": version,
            "sys_platform": sys.platform,
        },
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(describe()) + "\n")
