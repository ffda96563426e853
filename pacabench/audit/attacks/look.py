"""Looks for what an earlier case may have left: processes, sockets, files, shared memory."""

import contextlib
from pathlib import Path

from pacabench.audit.attacks.kit import Found, Given, found

_LISTENING = "0A"
_PLACES = ("/tmp", "/work", "/dev/shm")  # noqa: S108 - where agents may write


def attack(given: Given) -> Found:
    """``given["kinds"]``: which of them would be a break."""
    own = tuple(f":{given[name]:04X}" for name in ("lane_port", "web_port"))
    seen = {
        "listeners": [
            row[1]
            for path in ("/proc/net/tcp", "/proc/net/tcp6")
            for row in map(str.split, _lines(path))
            if row[3] == _LISTENING and not row[1].endswith(own)
        ],
        "abstract": [line.split()[-1] for line in _lines("/proc/net/unix") if "@" in line],
        "segments": _lines("/proc/sysvipc/shm"),
        "files": [
            str(path) for place in _PLACES for path in Path(place).rglob("*") if path.is_file()
        ],
        "words": _words(given["form"]),
    }
    return found(any(seen[kind] for kind in given["kinds"]), **seen)


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text(encoding="ascii", errors="replace").splitlines()[1:]
    except OSError:
        return []


def _words(form: str) -> list[str]:
    """Words that begin with ``form`` in files, names and other processes."""
    processes = [path for path in Path("/proc").iterdir() if path.name.isdigit()]
    paths = [path / name for path in processes for name in ("environ", "cmdline")]
    paths += [path for place in _PLACES for path in Path(place).rglob("*") if path.is_file()]
    found_in = []
    for path in paths:
        with contextlib.suppress(OSError):
            if form.encode() in path.read_bytes()[: 1024**2]:
                found_in.append(str(path))
    return found_in
