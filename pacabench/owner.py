"""Which harness something belongs to, and whether that harness still lives.

Containers carry this in their labels and a run's lock in its file. A process id alone proves
nothing: ids are used again, other machines and containers count their own, and a restart ends all.
"""

import hashlib
import os
import socket
import sys
import uuid
from dataclasses import dataclass
from pathlib import Path

import psutil

_SAME_START_S = 0.05
"""Two readings of one process's start may differ by a float's rounding through a label."""
_START_TICKS_FIELD = 19
"""Of ``/proc/PID/stat``, counted after the command name's closing bracket: field 22, starttime."""


@dataclass(frozen=True, slots=True)
class Owner:
    """A harness process, so named that no other one ever has the same name."""

    host: str
    """For people: the machine's name."""
    machine: str
    """Tells machines apart, and containers with process ids of their own. Survives a restart."""
    boot: str
    """Differs after a restart of the machine; empty where the system does not say."""
    pid: int
    started: float
    """Seconds since boot on Linux, so that setting the clock changes nothing; elsewhere Unix
    seconds."""


def current_owner() -> Owner:
    """This process."""
    pid = os.getpid()
    return Owner(
        host=socket.gethostname(),
        machine=_machine(),
        boot=_boot(),
        pid=pid,
        started=_started(pid),
    )


def is_alive(owner: Owner) -> bool:
    """Whether that very process still runs.

    True also for owners that cannot be judged from here (another machine, another container's
    process ids, a process that the system hides): what is theirs is better left alone.
    """
    if owner.machine != _machine():
        return True
    if owner.boot != _boot():
        return False
    try:
        process = psutil.Process(owner.pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        return abs(_started(owner.pid) - owner.started) < _SAME_START_S
    except psutil.NoSuchProcess:
        return False
    except (psutil.AccessDenied, OSError):
        return psutil.pid_exists(owner.pid)


def _machine() -> str:
    """16 hex digits.

    On Linux the machine id is joined by the host name, because cloned machines share the former,
    and by the process id namespace. Elsewhere host names follow the network, and the hardware
    address stands in.
    """
    if sys.platform == "linux":
        parts = [_read("/etc/machine-id"), socket.gethostname(), _pid_namespace()]
    else:
        parts = [sys.platform, hex(uuid.getnode())]
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=8).hexdigest()


def _boot() -> str:
    return _read("/proc/sys/kernel/random/boot_id").replace("-", "")[:16]


def _pid_namespace() -> str:
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""


def _started(pid: int) -> float:
    """When ``pid`` began.

    Raises:
        psutil.Error: no such process, or it is hidden.
        OSError: as above.
    """
    if sys.platform == "linux":
        stat = Path(f"/proc/{pid}/stat").read_bytes()
        ticks = stat.rpartition(b")")[2].split()[_START_TICKS_FIELD]
        return int(ticks) / os.sysconf("SC_CLK_TCK")
    return psutil.Process(pid).create_time()
