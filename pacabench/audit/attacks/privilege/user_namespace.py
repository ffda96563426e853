"""Makes a user namespace, in which a process has all capabilities."""

import os
from pathlib import Path

from pacabench.audit.attacks.kit import Found, Given, found, missing, syscall

_NEW_USER = 0x10000000
_CHILD_EXITED = 17
_OFF = {
    "/proc/sys/user/max_user_namespaces": "0",
    "/proc/sys/kernel/unprivileged_userns_clone": "0",
    "/proc/sys/kernel/apparmor_restrict_unprivileged_userns": "1",
}


def attack(_: Given) -> Found:
    """See above."""
    seen = {"clone": _clone(), "unshare": syscall("unshare", _NEW_USER)[1]}
    broke = "done" in seen.values()
    off = [path for path, value in _OFF.items() if _read(path) == value]
    if not broke and off:
        return missing(f"this kernel has user namespaces switched off ({off[0]})", made=seen)
    return found(broke, made=seen)


def _clone() -> str:
    child, result = syscall("clone", _NEW_USER | _CHILD_EXITED, 0, 0, 0, 0)
    if child == 0:
        os._exit(0)
    if child > 0:
        os.waitpid(child, 0)
    return result


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii").strip()
    except OSError:
        return ""
