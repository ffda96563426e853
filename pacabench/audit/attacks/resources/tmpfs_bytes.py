"""Fills /tmp and the work directory."""

import contextlib
import os
from pathlib import Path

from pacabench.audit.attacks.kit import Found, Given, found

_BLOCK = 1024**2


def attack(given: Given) -> Found:
    """See above."""
    places = ["/tmp", os.getcwd()]  # noqa: S108, PTH109 - where agents may write
    taken = {place: _fill(Path(place, "fill"), given["try_bytes"]) for place in places}
    return found(max(taken.values()) > given["tmp_bytes"], taken=taken)


def _fill(path: Path, most: int) -> int:
    written = 0
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as file:
        while written < most:
            written += file.write(b"x" * _BLOCK)
    path.unlink(missing_ok=True)
    return written
