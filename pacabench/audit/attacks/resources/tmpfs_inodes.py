"""Makes empty files in /tmp and the work directory: no bytes, but memory of the kernel."""

import contextlib
import os
import shutil
from pathlib import Path

from pacabench.audit.attacks.kit import Found, Given, found


def attack(given: Given) -> Found:
    """See above."""
    places = ["/tmp", os.getcwd()]  # noqa: S108, PTH109 - where agents may write
    made = {place: _fill(Path(place, "many"), given["try_files"]) for place in places}
    return found(max(made.values()) > given["tmp_files"], made=made)


def _fill(folder: Path, most: int) -> int:
    made = 0
    with contextlib.suppress(OSError):
        folder.mkdir()
        for made in range(most):
            os.close(os.open(folder / str(made), os.O_CREAT | os.O_WRONLY))
    shutil.rmtree(folder, ignore_errors=True)
    return made
