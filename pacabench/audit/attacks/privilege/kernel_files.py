"""Reads what /proc and /sys tell of the whole machine: keys, timers, memory, firmware."""

import os
from pathlib import Path

from pacabench.audit.attacks.kit import Found, Given, found

_FILES = (
    "/proc/kcore",
    "/proc/kmsg",
    "/proc/keys",
    "/proc/timer_list",
    "/proc/sched_debug",
    "/proc/latency_stats",
)
_FOLDERS = ("/sys/firmware", "/proc/scsi", "/proc/acpi")


def attack(_: Given) -> Found:
    """See above."""
    seen = {path: _read(path) for path in _FILES}
    seen |= {path: _list(path) for path in _FOLDERS}
    return found(any(told.startswith("done") for told in seen.values()), read=seen)


def _read(path: str) -> str:
    """Masked files are the null device: they open, and are empty."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            data = os.read(handle, 64)
        finally:
            os.close(handle)
    except OSError as error:
        return error.strerror or "?"
    return "done" if data else "empty"


def _list(path: str) -> str:
    """Masked directories are empty."""
    try:
        names = [entry.name for entry in Path(path).iterdir()]
    except OSError as error:
        return error.strerror or "?"
    return f"done: {names[:5]}" if names else "empty"
