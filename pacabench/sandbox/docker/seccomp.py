"""The seccomp profile of agents: ``seccomp.json``.

Made from the engine's own default list (moby/profiles, ``seccomp/default.json``, November 2026) for
processes without any capability, on x86-64 and arm64. What was taken out of that list, and why:

- All rules for capabilities, because agents have none: mount, setns, unshare, bpf,
  perf_event_open, kernel modules, clocks, reboot, chroot, quotas.
- ``ptrace``, ``process_vm_readv``, ``process_vm_writev``: a debugger's tools, and a classic way at
  kernel bugs. ``modify_ldt``: the same.
- ``fanotify_mark``: nothing without ``fanotify_init``.
- All 32-bit sub-architectures and the calls that only they have (``socketcall``, ``ipc``, ...).
  Through ``int 0x80`` a filter on ``socket`` is passed by: AF_VSOCK was reached so.
- ``socket`` for every family but AF_UNIX, AF_INET, AF_INET6 and AF_NETLINK, the latter for
  NETLINK_ROUTE only; no AF_PACKET, AF_VSOCK, AF_ALG, AF_XDP, Bluetooth, CAN or TIPC.
  ``socketpair`` for AF_UNIX only.
- Rules marked ``rare``, for most profiles: what hardly any program calls. Each name is read and
  written by the engine, containerd, its shim and runc, again and again while a container lives, and
  so costs every attempt; and what is not let through has no bugs for an agent. Each such rule says
  why it is one. ``compat`` has them.

Not in that list, and not in this one: io_uring (older engines' own lists have it), keyctl and its
kin, userfaultfd, kexec, swapon.
``clone3`` answers ENOSYS, so that C libraries use ``clone``, whose flags a filter can read.
What is not allowed fails with EPERM; by runc from 1.0 on with ENOSYS where the call is newer than
every one that is named here and that it knows, so that programs do without it.
"""

import functools
import json
from importlib import resources
from typing import Any


@functools.cache
def seccomp_profile(*, rare: bool = False) -> str:
    """The profile as the engine takes it in ``SecurityOpt``, as short as it can be said.

    ``rare``: with the calls that hardly any program makes.
    """
    text = resources.files(__package__).joinpath("seccomp.json").read_text(encoding="utf-8")
    profile = json.loads(text)
    rules = [rule for rule in profile["syscalls"] if rare or not rule.get("rare")]
    plain = [rule for rule in rules if rule.keys() <= {"comment", "rare", "names", "action"}]
    assert {rule["action"] for rule in plain} == {"SCMP_ACT_ALLOW"}
    together: list[dict[str, Any]] = [
        {"names": [name for rule in plain for name in rule["names"]], "action": "SCMP_ACT_ALLOW"}
    ]
    profile["syscalls"] = together + [
        {key: rule[key] for key in rule if key not in {"comment", "rare"}}
        for rule in rules
        if rule not in plain
    ]
    return json.dumps(profile, separators=(",", ":"))
