"""What a killed harness left of its ``process`` sandbox: agents that go on, homes that lie about.

Every agent carries the harness that started it in a variable, and so do its children, whatever
session or group they moved to. Every temporary home carries it in its name.
"""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil

from pacabench.owner import Owner, current_owner, is_alive

MARK = "PACABENCH_HARNESS"
"""Name of the variable."""
_PREFIX = "pacabench-home-"


def mark(owner: Owner) -> str:
    """The variable's value for agents of ``owner``."""
    return f"{owner.pid}_{owner.started!r}"


def make_home(owner: Owner) -> Path:
    """A fresh temporary directory for one session of ``owner``."""
    return Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{mark(owner)}_"))


def session_mark(home: Path) -> str:
    """The variable's value for the agent of the session that has ``home``."""
    return home.name.removeprefix(_PREFIX)


def kill_marked(marked: str) -> None:
    """Kill every process of a session, whatever process group it moved to. Blocks briefly."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get(MARK) == marked:
                process.kill()


def find_orphans() -> list[psutil.Process]:
    """Processes of agents whose harness is dead. Blocks for some milliseconds."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            marked = process.environ().get(MARK)
            if marked is not None and _is_orphan(marked):
                found.append(process)
    return found


def remove_orphans() -> int:
    """Kill agents and remove homes of this machine's dead harnesses; how many agents there were.

    What a live harness holds is never touched. Blocks for some milliseconds.
    """
    killed = 0
    for process in find_orphans():
        with contextlib.suppress(psutil.Error):
            process.kill()
            killed += 1
    for home in _homes():
        if _is_orphan(home.name.removeprefix(_PREFIX)):
            shutil.rmtree(home, ignore_errors=True)
    return killed


def _homes() -> Iterator[Path]:
    return Path(tempfile.gettempdir()).glob(f"{_PREFIX}*")


def _is_orphan(marked: str) -> bool:
    pid, _, rest = marked.partition("_")
    started, _, _ = rest.partition("_")
    try:
        owner = replace(current_owner(), pid=int(pid), started=float(started))
    except ValueError:
        return False  # not ours
    return not is_alive(owner)
