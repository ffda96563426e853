"""Attacks on what a process may do: rights, system calls, the kernel's files, the root."""

from pacabench.audit.attack import Attack, Control, Group
from pacabench.audit.mutations import WITH_CAPS, WRITABLE_ROOT

_UPDATE = "the engine does not apply the profile; update it, or use another one"

PRIVILEGE: tuple[Attack, ...] = (
    Attack(
        id="privilege.capabilities",
        group=Group.PRIVILEGE,
        title="Capabilities",
        tried="having any capability: effective, permitted, inheritable, bounding or ambient",
        expected="all five sets are empty",
        remedy=f"agents have capabilities: {_UPDATE}",
        control=Control(WITH_CAPS),
    ),
    Attack(
        id="privilege.root-files",
        group=Group.PRIVILEGE,
        title="Writing to the root file system",
        tried="making files in /, /etc, /usr, /var and the proxy's code",
        expected="every write fails: the root file system is read-only",
        remedy=f"the root file system is writable: {_UPDATE}",
        control=Control(WRITABLE_ROOT),
    ),
)
