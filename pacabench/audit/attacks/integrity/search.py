"""Looks for the provider's real key and for expected answers, by the form of such words."""

import os
import re
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

from pacabench.audit.attacks.kit import Found, Given, found

_FORM = re.compile(rb"canary-(key|expected)-[0-9a-f]{32}")
_NOT_WALKED = (
    "/proc", "/sys", "/dev", "/usr/lib", "/usr/lib64", "/usr/share", "/usr/bin", "/usr/sbin",
    "/usr/include", "/usr/libexec", "/var/lib/dpkg",
)  # fmt: skip
_MOST_BYTES = 8 * 1024**2
_OF_PROCESS = (
    "environ", "cmdline", "comm", "mountinfo", "mounts", "mountstats", "cgroup", "status", "maps",
    "limits", "cpuset", "attr/current",
)  # fmt: skip
_OF_KERNEL = (
    "/proc/mounts", "/proc/net/unix", "/proc/net/tcp", "/proc/keys", "/proc/cmdline",
    "/proc/sys/kernel/hostname", "/proc/sys/kernel/domainname",
)  # fmt: skip
_NAMES = ("/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/etc/mtab", "/proc/self/cgroup")


def attack(given: Given) -> Found:
    """``given["place"]``: where. Tells of the kinds that were found and where, not of the words."""
    searches = {
        "files": _files,
        "environment": _environment,
        "processes": _processes,
        "names": _names,
    }
    seen: dict[str, list[str]] = {}
    looked = 0
    for place, data in searches[given["place"]]():
        looked += 1
        for kind in {match[1].decode() for match in _FORM.finditer(data)}:
            seen.setdefault(kind, []).append(place)
    return found(bool(seen), found=seen, looked_at=looked)


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - thousands of them
            return file.read(_MOST_BYTES)
    except OSError:
        return b""


def _files() -> Iterator[tuple[str, bytes]]:
    """Every file that can be read, but for packages of the distribution, and the names of all."""
    for folder, folders, names in os.walk("/"):
        folders[:] = [
            name
            for name in folders
            if os.path.join(folder, name) not in _NOT_WALKED  # noqa: PTH118
        ]
        yield folder, " ".join([*folders, *names]).encode(errors="replace")
        for name in names:
            path = os.path.join(folder, name)  # noqa: PTH118 - thousands of them
            if os.path.isfile(path) and not os.path.islink(path):  # noqa: PTH113, PTH114
                yield path, _read(path)


def _environment() -> Iterator[tuple[str, bytes]]:
    yield "environment", repr(dict(os.environ)).encode()
    yield "arguments", repr(sys.argv).encode()
    for number in filter(str.isdigit, os.listdir("/proc")):  # noqa: PTH208 - names
        yield f"environment of {number}", _read(f"/proc/{number}/environ")


def _processes() -> Iterator[tuple[str, bytes]]:
    for number in filter(str.isdigit, os.listdir("/proc")):  # noqa: PTH208 - names
        for name in _OF_PROCESS:
            yield f"/proc/{number}/{name}", _read(f"/proc/{number}/{name}")
    for path in _OF_KERNEL:
        yield path, _read(path)


def _names() -> Iterator[tuple[str, bytes]]:
    yield "hostname", socket.gethostname().encode()
    yield "uname", repr(os.uname()).encode()
    for path in _NAMES:
        yield path, _read(path)
    for directory in (Path.cwd(), Path.home()):
        yield "directory", str(directory).encode()
