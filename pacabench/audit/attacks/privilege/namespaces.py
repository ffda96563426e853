"""Makes namespaces of its own: mounts, network, processes, IPC, host name, cgroups."""

from pacabench.audit.attacks.kit import Found, Given, found, syscall

_KINDS = {
    "mount": 0x00020000,
    "cgroup": 0x02000000,
    "uts": 0x04000000,
    "ipc": 0x08000000,
    "pid": 0x20000000,
    "net": 0x40000000,
}


def attack(_: Given) -> Found:
    """See above."""
    seen = {name: syscall("unshare", flag)[1] for name, flag in _KINDS.items()}
    return found("done" in seen.values(), made=seen)
