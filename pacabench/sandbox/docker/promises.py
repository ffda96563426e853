"""What a profile promises, held against what a probe found. Pure.

Only what the profile promises is asked for: ``unsafe`` promises its lane and its limits, and no
more. A finding that the probe could not make counts as a promise that is not kept.

A kernel of its own (``vm``) shows its guest less than the host's would: the engine's limits are
around the whole guest, and a guest's devices and privileges are in the guest alone. What is not
shown there is not asked for; what is shown has to hold.
"""

import ipaddress
import re
from collections.abc import Iterator, Mapping
from typing import Any

from pacabench.config.prepare import PrepareConfig
from pacabench.config.schema import SandboxConfig
from pacabench.sandbox.docker.profile import (
    PREPARE_PROFILE,
    PREPARE_UID,
    WORK_DIR,
    Profile,
    memory_of_prepare,
    most_inodes,
    profile_of,
)

Found = Mapping[str, Any]

_UNREACHABLE = {"ENETUNREACH", "EHOSTUNREACH", "EACCES", "EPERM"}
_NO_CALL = {"EPERM", "ENOSYS", "SIGSYS", "SIGSEGV"}
"""A call that the kernel looked at fails in other ways. SIGSEGV: it knows no 32-bit calls."""
_HTTP_ERRORS = range(400, 500)
_OPAQUE_NAME = re.compile(r"pb-[0-9a-f]{16}")
_DEVICES = {"core", "fd", "full", "mqueue", "null", "ptmx", "pts", "random", "shm"}
_DEVICES |= {"stderr", "stdin", "stdout", "tty", "urandom", "zero", "console"}
_DEVICES_OF_GUESTS = {"fuse", "net"}
"""Made by the guest's kernel, for itself."""
_OF_THE_HOST = {"ipc": 0xEFFFFFFF, "uts": 0xEFFFFFFE, "pid": 0xEFFFFFFC, "cgroup": 0xEFFFFFFB}
"""The kernel's numbers for the namespaces that a machine starts with (``linux/proc_ns.h``)."""
_MOUNTS = {"/", "/dev", "/proc", "/sys", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf"}
_MOUNTS_BELOW = ("/dev/", "/proc/", "/sys/")
_INIT_MOUNT = re.compile(r"(/usr)?/s?bin/docker-init|/dev/init")
_NOT_ON_DISK = {"tmpfs", "proc", "sysfs", "devpts", "mqueue", "cgroup", "cgroup2"}
_ROUNDING_BYTES = 4096
_DOOMED_FIRST = 500


def broken_promises(
    found: Found, limits: SandboxConfig, *, uid: int, host_kernel: str
) -> list[str]:
    """What an agent can do that its profile promises it cannot, a sentence each.

    ``uid`` is the lane's, ``host_kernel`` the release of the engine's machine.
    """
    profile = profile_of(limits)
    lane = [_network(found), _lane(found), _names(found)]
    return _sentences(lane, _whole(found, profile, limits, uid=uid, host_kernel=host_kernel))


def broken_promises_of_prepare(found: Found, config: PrepareConfig, host_kernel: str) -> list[str]:
    """As :func:`broken_promises`, of the container of a data set's ``prepare``.

    It has no lane. With ``network: engine`` where it gets to is the user's own wish.
    """
    limits = SandboxConfig(
        memory=memory_of_prepare(config),
        cpus=config.cpus,
        pids=config.pids,
        tmp_size=config.size,
    )
    network = [_network(found), _names(found)] if config.network == "none" else []
    whole = _whole(found, PREPARE_PROFILE, limits, uid=PREPARE_UID, host_kernel=host_kernel)
    return [sentence.replace("an agent", "prepare") for sentence in _sentences(network, whole)]


def _whole(
    found: Found, profile: Profile, limits: SandboxConfig, *, uid: int, host_kernel: str
) -> list[Iterator[str]]:
    """All but what it is told of the network."""
    return [
        _identity(found, profile, uid),
        _calls(found, profile, host_kernel),
        _tmpfs(found, profile, limits),
        _files(found, profile),
        _views(found, profile),
        _company(found, profile),
        _guest_limits(found, limits) if profile.own_kernel else _limits(found, limits),
        _rlimits(found, limits),
    ]


def _sentences(*checks: list[Iterator[str]]) -> list[str]:
    return [text for some in checks for check in some for text in _as_far_as_found(check)]


def _as_far_as_found(check: Iterator[str]) -> Iterator[str]:
    """A check, also where the probe left out what it needs, or said it in another form."""
    try:
        yield from check
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        yield f"the probe did not find out all that it should ({error!r})"


def _network(found: Found) -> Iterator[str]:
    if found["interfaces"] != ["lo"]:
        yield f"an agent has network interfaces besides loopback ({found['interfaces']})"
    if found["routes"]:
        yield f"an agent has routes ({found['routes']})"
    for address, outcomes in found["elsewhere"].items():
        if not _UNREACHABLE.issuperset(outcomes):
            yield f"an agent can send to {address} ({outcomes})"


def _lane(found: Found) -> Iterator[str]:
    if found["proxy"] not in _HTTP_ERRORS:
        yield f"the proxy does not answer in a lane ({found['proxy']})"


def _names(found: Found) -> Iterator[str]:
    """What files and the kernel tell of where the agent is."""
    words = list(_words(found["resolv_conf"]))
    told = [word for line in words if line[0] in {"nameserver", "search"} for word in line[1:]]
    if not {"127.0.0.1", "."}.issuperset(told):
        yield f"an agent sees the host's resolvers or domains ({told})"
    addresses = [line[0] for line in _words(found["hosts"]) if not _is_no_host(line[0])]
    if addresses:
        yield f"an agent sees addresses in /etc/hosts ({addresses})"
    if not _OPAQUE_NAME.fullmatch(found["hostname"]):
        yield f"an agent's host has a name that tells something ({found['hostname']})"


def _words(text: str) -> Iterator[list[str]]:
    lines = (line.split("#")[0].split() for line in text.splitlines())
    return (line for line in lines if line)


def _is_no_host(text: str) -> bool:
    """Loopback, multicast, and the empty network that every engine writes there."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    return address.is_loopback or address.is_multicast or text == "fe00::0"


def _identity(found: Found, profile: Profile, uid: int) -> Iterator[str]:
    status = found["status"]
    if profile.own_user:
        if (found["uid"], found["gid"]) != (uid, uid):
            yield f"an agent runs as {found['uid']}:{found['gid']} and not as {uid}:{uid}"
        if set(status.get("Groups", "?").split()) - {str(uid)}:
            yield f"an agent is in more groups than its own ({status.get('Groups')})"
    if profile.no_capabilities:
        for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            unsaid = "0" if profile.own_kernel and name == "CapAmb" else "f"
            if int(status.get(name, unsaid), 16):
                yield f"an agent has capabilities ({name} {status.get(name)})"
        if found["make_device"] == "done" and not profile.own_kernel:
            yield "an agent can make device files"
    set_in = {"1", None} if profile.own_kernel else {"1"}
    if profile.no_new_privileges and status.get("NoNewPrivs") not in set_in:
        yield "an agent can gain privileges (NoNewPrivs is not set)"


def _calls(found: Found, profile: Profile, host_kernel: str) -> Iterator[str]:
    if profile.own_kernel:
        if found["kernel"] == host_kernel:
            yield f"an agent's system calls go to the host's own kernel ({host_kernel})"
        return
    if not profile.filtered_calls:
        return
    if found["status"].get("Seccomp") != "2":
        yield "an agent's system calls are not filtered (Seccomp)"
    for name, outcome in found["calls"].items():
        if outcome not in _NO_CALL:
            yield f"an agent can call {name} ({outcome})"
    for name, outcome in found["sockets"].items():
        if outcome != "EPERM":  # another error is the kernel's, and the filter let it through
            yield f"an agent can ask for {name} sockets ({outcome})"


def _tmpfs(found: Found, profile: Profile, limits: SandboxConfig) -> Iterator[str]:
    guest = profile.own_kernel
    for name, path in (("tmp", "/tmp"), ("work", "the work directory")):  # noqa: S108 - a name
        yield from _bounded(found[name], path, limits.tmp_size, guest=guest)
    shm = found["shm"]
    if profile.shm_bytes == 0:
        if shm is not None and not guest:  # some have one always, in the guest's own memory
            yield "an agent has a /dev/shm"
    elif shm is None:
        yield "an agent has no /dev/shm"
    else:
        yield from _bounded(shm, "/dev/shm", profile.shm_bytes, guest=guest)  # noqa: S108 - a name


def _bounded(found: Found, path: str, most_bytes: int, *, guest: bool) -> Iterator[str]:
    size, inodes = found["bytes"], found["inodes"]
    if not 0 < size <= most_bytes + _ROUNDING_BYTES:
        yield f"{path} is not bounded ({size} bytes)"
    counted = inodes > 0 or not guest
    if counted and not 0 < inodes <= most_inodes(most_bytes):
        yield f"the number of files in {path} is not bounded ({inodes})"


def _files(found: Found, profile: Profile) -> Iterator[str]:
    if profile.read_only_root and not _read_only_root(found, profile):
        yield "the root file system is writable"
    if profile.noexec_tmp and found["run_from_tmp"] != "EACCES":
        yield f"an agent can run programs from /tmp ({found['run_from_tmp']})"
    if found["run_from_work"] != "done":
        yield f"an agent's own programs do not run ({found['run_from_work']})"
    for mount in found["mounts"]:
        yield from _mount(mount, profile)


def _read_only_root(found: Found, profile: Profile) -> bool:
    if profile.own_kernel:  # gVisor says so of mounts alone
        return all(not it["writable"] for it in found["mounts"] if it["path"] == "/")
    return bool(found["root"]["read_only"])


def _mount(mount: Found, profile: Profile) -> Iterator[str]:
    path, kind = mount["path"], mount["kind"]
    known = path in _MOUNTS or path in {"/tmp", WORK_DIR} or _INIT_MOUNT.fullmatch(path)  # noqa: S108
    if not known and not path.startswith(_MOUNTS_BELOW):
        yield f"an agent sees a mount that is none of its own ({path})"
    if mount["writable"] and kind not in _NOT_ON_DISK and profile.read_only_root:
        yield f"an agent can write to the disk ({path})"
    counts = profile.own_user and not profile.own_kernel
    if counts and "inodes" in mount and mount["inodes"] <= 0:
        yield f"the number of files in {path} is not bounded"


def _views(found: Found, profile: Profile) -> Iterator[str]:
    """What the kernel and the engine show of themselves and of the machine."""
    for name, number in _OF_THE_HOST.items():
        if not profile.own_kernel and found["namespaces"].get(name) in {number, None}:
            yield f"an agent is in the host's {name} namespace"
    if any(line.split(":", 2)[-1] != "/" for line in found["cgroups"]):
        yield f"an agent sees the engine's control groups ({found['cgroups']})"
    if found["told"]:
        yield f"an agent can read what tells of the machine ({found['told']})"
    for path, outcome in found["open_to_write"].items():
        if outcome == "done":
            yield f"an agent can write to {path}"


def _company(found: Found, profile: Profile) -> Iterator[str]:
    """What is in the container besides the agent."""
    known = _DEVICES | _DEVICES_OF_GUESTS if profile.own_kernel else _DEVICES
    if extra := sorted(set(found["devices"]) - known):
        yield f"an agent sees devices ({extra})"
    if found["terminal"] == "done":
        yield "an agent has a terminal"
    if found["engine_socket"]:
        yield "an agent sees the engine's socket"
    if found["pid"] == 1 or not found["orphan_is_reaped"]:
        yield "nobody waits for processes that an agent leaves behind (no init)"


def _limits(found: Found, limits: SandboxConfig) -> Iterator[str]:
    told = found["limits"]
    if not _at_most(told["memory"], limits.memory):
        yield f"memory is not limited ({told['memory'] or 'no cgroup limit'})"
    swap = _at_most(told["swap"], 0) or _at_most(told["memory_and_swap"], limits.memory)
    counted = told["swap"] or told["memory_and_swap"]  # else the kernel does not account for swap
    if counted and not swap:
        yield f"swap is not limited ({counted})"
    if not _at_most(told["pids"], limits.pids):
        yield f"processes are not limited ({told['pids'] or 'no cgroup limit'})"
    quota = f"{told['cpu']} {told['cpu_period']}".split()
    if quota[:1] in ([], ["max"], ["-1"]) or not _at_most_cpus(quota, limits.cpus):
        yield f"CPU time is not limited ({' '.join(quota) or 'no cgroup limit'})"
    if not _at_least(found["oom_score_adj"], _DOOMED_FIRST):
        yield "an agent is not the first to go when the machine is out of memory"


def _guest_limits(found: Found, limits: SandboxConfig) -> Iterator[str]:
    """Of a kernel of its own: as much memory as its machine has, or control groups inside."""
    told, total = found["limits"]["memory"], found["memory_total"]
    if not _at_most(told, limits.memory) and not 0 < total <= limits.memory:
        yield f"memory is not limited ({total} bytes in the guest)"


def _rlimits(found: Found, limits: SandboxConfig) -> Iterator[str]:
    rlimits = found["rlimits"]
    if rlimits["core"] != 0:
        yield "core dumps are written"
    if not 0 < rlimits["fsize"] <= max(limits.memory, limits.tmp_size) or rlimits["nofile"] <= 0:
        yield "open files or file sizes are not limited"


def _at_most(text: str, most: int) -> bool:
    return text.isdigit() and int(text) <= most


def _at_least(text: str, least: int) -> bool:
    return text.isdigit() and int(text) >= least


def _at_most_cpus(quota: list[str], cpus: float) -> bool:
    """``quota`` microseconds of CPU time in every ``period``."""
    if not all(part.isdigit() for part in quota) or len(quota) != 2:  # noqa: PLR2004 - a pair
        return False
    return int(quota[0]) <= int(quota[1]) * cpus * 1.01 + 1
