"""Writes to the directories that the image declares as VOLUMEs: disk of the engine's machine."""

import contextlib
from pathlib import Path

from pacabench.audit.attacks.kit import Found, Given, found

_BLOCK = 1024**2


def attack(given: Given) -> Found:
    """See above."""
    mounts = [
        line.split() for line in Path("/proc/mounts").read_text(encoding="ascii").splitlines()
    ]
    kinds = {mount[1]: mount[2] for mount in mounts}
    taken = {place: _fill(Path(place, "fill"), given["try_bytes"]) for place in given["volumes"]}
    disk = [place for place in given["volumes"] if taken[place] and kinds.get(place) != "tmpfs"]
    broke = bool(disk) or max(taken.values()) > given["tmp_bytes"]
    return found(broke, taken=taken, on_disk=disk)


def _fill(path: Path, most: int) -> int:
    written = 0
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as file:
        while written < most:
            written += file.write(b"x" * _BLOCK)
    path.unlink(missing_ok=True)
    return written
