"""Starts every setuid program of the image and looks whose rights it runs with.

Each gets a full pipe as its output, so that it is still there when it is looked at.
"""

import fcntl
import os
import signal
import stat
import time
from pathlib import Path

from pacabench.audit.attacks.kit import Found, Given, found, missing

_PLACES = ("/usr", "/bin", "/sbin", "/opt", "/lib")
_LOOKS = 40
_EVERY_S = 0.01


def attack(_: Given) -> Found:
    """See above."""
    programs = sorted({path for place in _PLACES for path in _setuid_below(place)})
    if not programs:
        return missing("this image has no setuid program")
    seen = {program: _effective_user(program) for program in programs[:8]}
    return found(0 in seen.values(), effective_users=seen)


def _setuid_below(root: str) -> list[str]:
    """Programs that belong to root and say setuid."""
    paths = [
        os.path.join(folder, name)  # noqa: PTH118 - strings throughout
        for folder, _, names in os.walk(root)
        for name in names
    ]
    return [os.path.realpath(path) for path in paths if _is_setuid(path)]


def _is_setuid(path: str) -> bool:
    try:
        found_at = Path(path).lstat()
    except OSError:
        return False
    return stat.S_ISREG(found_at.st_mode) and bool(found_at.st_mode & stat.S_ISUID)


def _effective_user(program: str) -> int:
    """The lowest effective user id that was seen."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    os.write(writer, b"x" * 4096)
    os.set_blocking(writer, True)
    child = os.fork()
    if child == 0:
        os.dup2(writer, 1)
        os.dup2(writer, 2)
        os.execv(program, [program, "--help"])  # noqa: S606 - the attack
    lowest = os.getuid()
    for _ in range(_LOOKS):
        try:
            text = Path(f"/proc/{child}/status").read_text(encoding="ascii")
        except OSError:
            break
        line = next(line for line in text.splitlines() if line.startswith("Uid:"))
        lowest = min(lowest, int(line.split()[2]))
        time.sleep(_EVERY_S)
    try:
        os.kill(child, signal.SIGKILL)
    except OSError:  # it is root's now: closing the pipe ends it
        lowest = 0
    os.close(reader)
    os.close(writer)
    os.waitpid(child, 0)
    return lowest
