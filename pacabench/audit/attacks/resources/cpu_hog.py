"""Computes in many processes at once, and measures how much CPU time it got."""

import os
import resource
import time
from pathlib import Path

from pacabench.audit.attacks.kit import Found, Given, found, unclear

_PROCESSES = 8
_FOR_S = 0.8
_TRIES = 12


def attack(given: Given) -> Found:
    """See above.

    On a machine that is busy with other things it may get less than its share, and then nothing
    shows whether there is an end to it: it is tried again.
    """
    for _ in range(_TRIES):
        cpus = _compute()
        held_back = _held_back()
        if cpus > given["most_cpus"]:
            return found(True, cpus=cpus, held_back=held_back)
        if held_back:
            return found(False, cpus=cpus, held_back=held_back)
        if cpus > given["cpus"]:
            return found(held_back == 0, cpus=cpus, held_back=held_back)
    return unclear("the machine is so busy that the attack got less CPU time than it may have")


def _compute() -> float:
    """How many CPUs all of it got."""
    began, before = time.monotonic(), _used_s()
    for _ in range(_PROCESSES):
        if os.fork() == 0:
            while time.monotonic() - began < _FOR_S:
                pass
            os._exit(0)
    for _ in range(_PROCESSES):
        os.wait()
    return round((_used_s() - before) / (time.monotonic() - began), 3)


def _used_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _held_back() -> int | None:
    """How often the kernel stopped this container for its share; None where it does not tell."""
    for path in ("/sys/fs/cgroup/cpu.stat", "/sys/fs/cgroup/cpu/cpu.stat"):
        try:
            lines = Path(path).read_text(encoding="ascii").splitlines()
        except OSError:
            continue
        counts = dict(line.split() for line in lines)
        return int(counts.get("nr_throttled", 0))
    return None
