"""Computes in many processes at once, and measures how much CPU time it got."""

import os
import resource
import time
from pathlib import Path

from pacabench.audit.attacks.kit import Found, Given, found

_PROCESSES = 8
_FOR_S = 0.8


def attack(given: Given) -> Found:
    """See above."""
    began = time.monotonic()
    for _ in range(_PROCESSES):
        if os.fork() == 0:
            while time.monotonic() - began < _FOR_S:
                pass
            os._exit(0)
    for _ in range(_PROCESSES):
        os.wait()
    took_s = time.monotonic() - began
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpus = (used.ru_utime + used.ru_stime) / took_s
    held_back = _held_back()
    broke = cpus > given["most_cpus"] or held_back == 0
    return found(broke, cpus=round(cpus, 3), allowed=given["most_cpus"], held_back=held_back)


def _held_back() -> int | None:
    """How often the kernel stopped this container for its share; None where it does not tell.

    On a machine that is busy with other things the share alone shows nothing.
    """
    for path in ("/sys/fs/cgroup/cpu.stat", "/sys/fs/cgroup/cpu/cpu.stat"):
        try:
            lines = Path(path).read_text(encoding="ascii").splitlines()
        except OSError:
            continue
        counts = dict(line.split() for line in lines)
        return int(counts.get("nr_throttled", 0))
    return None
