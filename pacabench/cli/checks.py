"""What ``doctor`` looks at. Pure: from what engine and machine say of themselves to findings."""

import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Status = Literal["ok", "note", "missing"]
"""``note``: worth knowing, runs work. ``missing``: docker runs cannot work."""

_OLDEST_API = (1, 40)
_LOW_DISK_BYTES = 2 * 1024**3
_GIB = 1024**3


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    group: str
    name: str
    status: Status
    found: str
    means: str = ""
    """What follows from it, and what to do; empty where nothing has to be done."""


def engine_checks(version: Mapping[str, Any], info: Mapping[str, Any]) -> list[Check]:
    """The engine itself, from ``GET /version`` and ``GET /info``."""
    api = str(version.get("ApiVersion", "0.0"))
    kind = str(info.get("OSType", "unknown"))
    return [
        Check(
            "engine",
            "version",
            "ok" if _numbers(api) >= _OLDEST_API else "missing",
            f"{version.get('Version', '?')}, API {api}",
            "" if _numbers(api) >= _OLDEST_API else "PacaBench needs API 1.40 (Docker 19.03).",
        ),
        Check(
            "engine",
            "system",
            "ok" if kind == "linux" else "missing",
            f"{info.get('OperatingSystem', kind)}, kernel {info.get('KernelVersion', '?')}, "
            f"{info.get('Architecture', '?')}, {info.get('NCPU', '?')} CPUs, "
            f"{int(info.get('MemTotal', 0)) / _GIB:.1f} GiB",
            "" if kind == "linux" else "Switch Docker to Linux containers.",
        ),
        _seccomp(info),
        _users(info),
    ]


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())


def _security(info: Mapping[str, Any]) -> list[str]:
    return [str(option) for option in info.get("SecurityOptions") or ()]


def _seccomp(info: Mapping[str, Any]) -> Check:
    if any(option.startswith("name=seccomp") for option in _security(info)):
        return Check("engine", "seccomp", "ok", "supported")
    return Check(
        "engine",
        "seccomp",
        "missing",
        "not supported",
        "Nothing would keep agents from dangerous system calls, so runs are refused. Use a kernel "
        "and an engine with seccomp.",
    )


def _users(info: Mapping[str, Any]) -> Check:
    options = _security(info)
    for part, text in (("rootless", "rootless engine"), ("userns", "user namespaces")):
        if any(option.startswith(f"name={part}") for option in options):
            return Check("engine", "users", "ok", text)
    return Check(
        "engine",
        "users",
        "note",
        "the engine runs as root, without user namespaces",
        "Agents run as users without rights all the same; a rootless engine is one more wall.",
    )


_LIMITS = (
    ("memory", "MemoryLimit", "missing", "An agent could take all memory of this machine."),
    ("swap", "SwapLimit", "note", "An agent over its memory limit swaps before it is ended."),
    ("pids", "PidsLimit", "missing", "A fork bomb would hit the whole machine."),
    ("cpu", "CpuCfsQuota", "note", "`sandbox.cpus` has no effect; agents share all CPUs."),
)


def limit_checks(info: Mapping[str, Any]) -> list[Check]:
    """Which limits of the control groups work."""
    where = f"cgroup v{info.get('CgroupVersion', '1')}, {info.get('CgroupDriver', '?')}"
    if info.get("CgroupDriver") == "none":
        where = "no control groups (a rootless engine needs cgroup v2 and systemd for limits)"
    checks: list[Check] = []
    for name, key, status, means in _LIMITS:
        if info.get(key):
            checks.append(Check("limits", name, "ok", f"enforced ({where})"))
        else:
            worst: Status = "missing" if status == "missing" else "note"
            checks.append(Check("limits", name, worst, f"not enforced: {where}", means))
    return checks


def image_checks(kinds: Iterable[str], *, base: str | None, can_make: str | None) -> list[Check]:
    """The images that every run needs.

    ``kinds`` are those of our images that are there, ``base`` a base image that is there, and
    ``can_make`` what keeps this machine from making one (None: nothing).
    """
    checks = []
    if base is not None:
        checks.append(Check("images", "base", "ok", base))
    else:
        how = "made from Debian packages" if can_make is None else f"not made here: {can_make}"
        checks.append(
            Check(
                "images",
                "base",
                "note",
                "none yet",
                f"The first run pulls one; where no registry answers, it is {how}.",
            )
        )
    present = set(kinds)
    for name, text in (("sidecar", "the proxy's image"), ("agent", "images of agents")):
        if name in present:
            checks.append(Check("images", name, "ok", "there"))
        else:
            means = f"The first run makes {text}; `pacabench images build` does it ahead."
            checks.append(Check("images", name, "note", "none yet", means))
    return checks


def disk_checks(places: Sequence[tuple[str, Path]]) -> list[Check]:
    """Free space at each place that is visible from here."""
    return [_disk(name, place) for name, place in places if _visible(place).exists()]


def _visible(place: Path) -> Path:
    """``place``, or the nearest directory above it that is there."""
    while not place.exists() and place != place.parent:
        place = place.parent
    return place


def _disk(name: str, place: Path) -> Check:
    usage = shutil.disk_usage(_visible(place))
    found = f"{usage.free / _GIB:.1f} GiB free of {usage.total / _GIB:.1f} at {place}"
    if usage.free >= _LOW_DISK_BYTES:
        return Check("disk", name, "ok", found)
    return Check(
        "disk", name, "note", found, "Little: a full disk stops a run (it stays resumable)."
    )


def key_checks(
    known: Iterable[str], own: Mapping[str, str], everything: Mapping[str, str]
) -> list[Check]:
    """Which of the variables in ``known`` hold something. Names only, never values.

    ``own`` are the process's variables, ``everything`` those plus ``.env``.
    """
    present = [name for name in sorted(known) if everything.get(name, "").strip()]
    if not present:
        means = "Enough for the scripted provider and for local servers; others refuse calls."
        return [Check("keys", "provider keys", "note", "none", means)]
    return [
        Check("keys", name, "ok", "in the environment" if own.get(name) else "in .env")
        for name in present
    ]
