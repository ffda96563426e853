"""Crashes on purpose, after raising its limit, and looks whether memory was dumped."""

import os
import resource
import signal
from pathlib import Path

from pacabench.audit.attacks.kit import Found, Given, found, missing


def attack(given: Given) -> Found:
    """See above."""
    del given
    pattern = Path("/proc/sys/kernel/core_pattern").read_text(encoding="utf-8").strip()
    if pattern.startswith("|"):
        return missing("cores go to a program of the machine's, which is asked for no limit")
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    child = os.fork()
    if child == 0:
        resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
        os.kill(os.getpid(), signal.SIGABRT)
    _, status = os.waitpid(child, 0)
    cores = [path.name for path in Path().iterdir() if "core" in path.name]
    for name in cores:
        Path(name).unlink()
    return found(os.WCOREDUMP(status) or bool(cores), cores=cores, hard_limit=hard)
