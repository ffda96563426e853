"""What each container may do: the hardened profiles, with the reason beside each field.

These are bodies of ``POST /containers/create`` (Engine API 1.40 and later) and not docker-py's
keyword arguments, so that what is asked of the engine can be read in one place. Engines ignore what
they do not know: ``probe.py`` checks the effects.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pacabench.config.prepare import PrepareConfig
from pacabench.config.schema import SandboxConfig, SandboxProfile
from pacabench.proxy.control import RUNTIME_DIR
from pacabench.sandbox.docker.labels import opaque_name
from pacabench.sandbox.docker.seccomp import seccomp_profile

WORK_DIR = "/work"
_OPEN_FILES = 4096
"""More than the engine itself may have is refused at the start."""
_BYTES_PER_INODE = 4096
_FEWEST_INODES = 1024
_OWN_USER = "65532:65532"
"""Sidecar and lane holders. Agents never get this one."""
PREPARE_UID = 65531
"""Of commands that make data sets, and of nobody else."""


@dataclass(frozen=True, slots=True)
class Profile:
    """What an agent's container is kept from. As it stands: ``strict``.

    Whatever the profile, an agent sees no network but its lane, has bounded memory, processes, CPU
    time and tmpfs, no socket of the engine, no device and nothing of the host's file system.
    """

    own_user: bool = True
    """Runs as its lane's own user. False: as root, for debuggers and package managers."""
    no_capabilities: bool = True
    """False: those that the engine gives by default."""
    no_new_privileges: bool = True
    """False: setuid programs work."""
    filtered_calls: bool = True
    """System calls by our own list. False: by none, so that strace, gdb and perf work."""
    rare_calls: bool = False
    """That list has calls, too, that hardly any program makes."""
    read_only_root: bool = True
    """False: it may write anywhere in its image, to the engine's disk and without a bound."""
    noexec_tmp: bool = True
    """False: for agents that write programs or libraries to /tmp and load them."""
    shm_bytes: int = 0
    """Of /dev/shm: 0, there is none. Browsers and Python's multiprocessing need one."""
    workdir_copied: bool = False
    """The WORKDIR of an image that holds the agent's code itself is replaced by a copy that the
    agent may write to. Else only code that PacaBench put into the image is."""
    own_kernel: bool = False
    """System calls go to a kernel that is not the host's, by the OCI runtime that is named."""


PROFILES: Mapping[SandboxProfile, Profile] = {
    "strict": Profile(),
    "compat": Profile(
        rare_calls=True, noexec_tmp=False, shm_bytes=256 * 1024**2, workdir_copied=True
    ),
    # Our list is asked for as well; which calls a foreign kernel answers is its own business.
    "vm": Profile(own_kernel=True),
    "unsafe": Profile(
        own_user=False,
        no_capabilities=False,
        no_new_privileges=False,
        filtered_calls=False,
        read_only_root=False,
        noexec_tmp=False,
        shm_bytes=256 * 1024**2,
    ),
}


PREPARE_PROFILE = replace(PROFILES["strict"], noexec_tmp=False)
"""Of commands that make data sets: they may build what they need in /tmp."""


def memory_of_prepare(config: PrepareConfig) -> int:
    """What it writes to its volume is charged to it."""
    return config.memory + config.size


def profile_of(limits: SandboxConfig) -> Profile:
    """The profile that an agent's settings name."""
    return PROFILES[limits.profile]


@dataclass(frozen=True, slots=True)
class AgentBox:
    """What differs from one agent's container to the next."""

    image: str
    command: Sequence[str]
    env: Mapping[str, str]
    work_dir: str
    tmpfs: Sequence[str]
    """Directories to cover with a bounded tmpfs: the work directory, the image's volumes."""
    limits: SandboxConfig
    holder: str
    """Container id of the lane's holder."""
    uid: int
    kept: str | None = None
    """The volume that its work directory is, in place of a tmpfs of its own."""


def agent_container(box: AgentBox, labels: Mapping[str, str]) -> dict[str, Any]:
    """An untrusted agent: it sees its files, its lane's loopback, and nothing else."""
    limits, profile = box.limits, profile_of(box.limits)
    # An own one per lane: limits that the kernel keeps per user are not shared, and a process
    # that got out of its container would own nothing of another's.
    uid = box.uid if profile.own_user else 0
    return {
        **_common(box.image, box.command, labels),
        "WorkingDir": box.work_dir,
        "Env": [f"{name}={value}" for name, value in box.env.items()],
        "User": f"{uid}:{uid}",
        "HostConfig": {
            **_locked_down(profile),
            **({"Runtime": limits.runtime} if profile.own_kernel else {}),
            # The lane: no interface but lo, no route, no resolver.
            "NetworkMode": f"container:{box.holder}",
            "Tmpfs": _agent_tmpfs(box, profile, uid),
            **({"Mounts": [_volume(box.kept, box.work_dir)]} if box.kept is not None else {}),
            "Memory": limits.memory,
            # The same as Memory: no swap, which would only make it slow instead of ended.
            "MemorySwap": limits.memory,
            "NanoCpus": int(limits.cpus * 1e9),
            "PidsLimit": limits.pids,
            # When the machine runs out of memory an agent goes before anything else.
            "OomScoreAdj": 500,
            # Not nproc: it counts per user over all containers. fsize bounds memfd files too.
            "Ulimits": [
                _ulimit("nofile", _OPEN_FILES),
                _ulimit("core", 0),
                _ulimit("fsize", max(limits.tmp_size, limits.memory)),
            ],
        },
    }


def _agent_tmpfs(box: AgentBox, profile: Profile, uid: int) -> dict[str, str]:
    """All that an agent may write to. The code in the work directory must run, /tmp need not."""
    size, tmp_flags = box.limits.tmp_size, "noexec" if profile.noexec_tmp else "exec"
    return {
        "/tmp": _tmpfs(size, uid=uid, mode="1777", flags=tmp_flags),  # noqa: S108 - inside the container
        **{
            path: _tmpfs(size, uid=uid, mode="0700", flags="exec")
            for path in box.tmpfs
            if box.kept is None or path != box.work_dir
        },
        # Our own mount and not the engine's, which has a bound on bytes alone.
        **(
            {"/dev/shm": _tmpfs(profile.shm_bytes, uid=uid, mode="1777", flags="noexec")}  # noqa: S108 - as above
            if profile.shm_bytes
            else {}
        ),
    }


def service_container(box: AgentBox, labels: Mapping[str, str]) -> dict[str, Any]:
    """A service beside an agent: held as tightly, and nobody talks to its stdin."""
    own = {"OpenStdin": False, "StdinOnce": False, "AttachStdin": False}
    return {**agent_container(box, labels), **own}


def holder_container(
    *, image: str, command: Sequence[str], volume: str, labels: Mapping[str, str]
) -> dict[str, Any]:
    """A lane holder, trusted: keeps a network namespace, hands one socket to the sidecar."""
    return {
        **_common(image, command, labels),
        # Agents share the holder's UTS namespace's name and its /etc/hosts.
        "Hostname": opaque_name(),
        "User": _OWN_USER,
        "HostConfig": {
            **_locked_down(),
            "NetworkMode": "none",
            # Else even `none` copies the host's resolver addresses and search domains.
            "Dns": ["127.0.0.1"],
            "DnsSearch": ["."],
            # Read-only is enough to connect to the socket in it.
            "Binds": [f"{volume}:{RUNTIME_DIR}:ro"],
            "Memory": 64 * 1024**2,
            "MemorySwap": 64 * 1024**2,
            # Two processes, and room for the threads of the runtime's own that an `exec` takes.
            "PidsLimit": 64,
            "Ulimits": [_ulimit("nofile", 64), _ulimit("core", 0)],
        },
    }


def keeper_container(
    *,
    image: str,
    command: Sequence[str],
    volume: str,
    place: str,
    uid: int,
    size_bytes: int,
    labels: Mapping[str, str],
) -> dict[str, Any]:
    """A keeper, trusted: reads what an agent left, as the files' owner and with no other right."""
    # What it puts into the volume itself is charged to it.
    memory = size_bytes + 128 * 1024**2
    return {
        **_common(image, command, labels),
        "Hostname": opaque_name(),
        "User": f"{uid}:{uid}",
        "HostConfig": {
            **_locked_down(),
            "NetworkMode": "none",
            "Dns": ["127.0.0.1"],
            "DnsSearch": ["."],
            "Mounts": [_volume(volume, place)],
            "Memory": memory,
            "MemorySwap": memory,
            "PidsLimit": 16,
            "Ulimits": [_ulimit("nofile", 256), _ulimit("core", 0)],
        },
    }


def prepare_container(
    *,
    image: str,
    command: Sequence[str],
    env: Mapping[str, str],
    volume: str,
    area: str,
    work_dir: str,
    config: PrepareConfig,
    labels: Mapping[str, str],
) -> dict[str, Any]:
    """A data set's ``prepare``: as an agent under ``strict``, and with no network by default."""
    memory = memory_of_prepare(config)
    offline = {"NetworkMode": "none", "Dns": ["127.0.0.1"], "DnsSearch": ["."]}
    return {
        **_common(image, command, labels),
        "Hostname": opaque_name(),
        "WorkingDir": work_dir,
        "Env": [f"{name}={value}" for name, value in env.items()],
        "User": f"{PREPARE_UID}:{PREPARE_UID}",
        "HostConfig": {
            **_locked_down(PREPARE_PROFILE),
            **(offline if config.network == "none" else {"NetworkMode": "default"}),
            "Mounts": [_volume(volume, area)],
            "Tmpfs": {"/tmp": _tmpfs(config.size, uid=PREPARE_UID, mode="1777", flags="exec")},  # noqa: S108 - inside the container
            "Memory": memory,
            "MemorySwap": memory,
            "NanoCpus": int(config.cpus * 1e9),
            "PidsLimit": config.pids,
            "OomScoreAdj": 500,
            "Ulimits": [
                _ulimit("nofile", _OPEN_FILES),
                _ulimit("core", 0),
                _ulimit("fsize", config.size),
            ],
        },
    }


def sidecar_container(
    *,
    image: str,
    command: Sequence[str],
    volume: str,
    network: str,
    labels: Mapping[str, str],
    hosts: Sequence[str] = (),
) -> dict[str, Any]:
    """The sidecar, trusted, but what agents send passes through it. Its keys come over stdin."""
    return {
        **_common(image, command, labels),
        "Hostname": opaque_name(),
        "User": _OWN_USER,
        "HostConfig": {
            **_locked_down(),
            "NetworkMode": network,
            "ExtraHosts": list(hosts),
            "Binds": [f"{volume}:{RUNTIME_DIR}:rw"],
            "Tmpfs": {"/tmp": _tmpfs(64 * 1024**2, uid=65532, mode="1777", flags="noexec")},  # noqa: S108 - inside the container
            "Memory": 1024**3,
            "MemorySwap": 1024**3,
            "PidsLimit": 128,
            # Not nofile: more than the engine itself may have is refused. The sidecar takes it all.
            "Ulimits": [_ulimit("core", 0)],
        },
    }


def _common(image: str, command: Sequence[str], labels: Mapping[str, str]) -> dict[str, Any]:
    return {
        "Image": image,  # an id, not a tag that may move
        "Entrypoint": list(command),
        "Cmd": [],
        "Labels": dict(labels),
        # StdinOnce: stdin ends when whoever is attached goes away, so a killed harness is noticed.
        "OpenStdin": True,
        "StdinOnce": True,
        "AttachStdin": True,
        "AttachStdout": True,
        "AttachStderr": True,
        # No terminal: no TIOCSTI, no escape sequences, stderr apart from stdout.
        "Tty": False,
        # An image's own check would run programs beside the agent.
        "Healthcheck": {"Test": ["NONE"]},
    }


def _locked_down(profile: Profile = PROFILES["strict"]) -> dict[str, Any]:
    """What holds for every container, trusted or not, as far as ``profile`` says so."""
    return {
        "CapDrop": ["ALL"] if profile.no_capabilities else [],
        "Privileged": False,
        "SecurityOpt": [
            *(["no-new-privileges:true"] if profile.no_new_privileges else []),
            f"seccomp={_calls(profile)}",
        ],
        "ReadonlyRootfs": profile.read_only_root,
        # System V and POSIX queues of its own, shared with nobody, and no /dev/shm of the engine's.
        "IpcMode": "none",
        # The container's own cgroup is all it sees of them.
        "CgroupnsMode": "private",
        # json-file grew by 1.16 GB in 5 s under a flood; what matters is read from the stream.
        "LogConfig": {"Type": "none"},
        # Reaps orphans and passes signals on; process 1 ignores most of them by default.
        "Init": True,
        # Exit facts are read from the ended container.
        "AutoRemove": False,
        "RestartPolicy": {"Name": "no"},
    }


def _calls(profile: Profile) -> str:
    return seccomp_profile(rare=profile.rare_calls) if profile.filtered_calls else "unconfined"


def most_inodes(size_bytes: int) -> int:
    """How many files, directories and links a tmpfs of this size takes.

    Without a bound of its own it takes hundreds of thousands of empty ones.
    """
    return max(_FEWEST_INODES, size_bytes // _BYTES_PER_INODE)


def _tmpfs(size_bytes: int, *, uid: int, mode: str, flags: str) -> str:
    return (
        f"rw,nosuid,nodev,{flags},size={size_bytes},nr_inodes={most_inodes(size_bytes)},"
        f"uid={uid},gid={uid},mode={mode}"
    )


def tmpfs_options(size_bytes: int, *, uid: int, mapped: bool) -> str:
    """For a volume in place of the work directory's tmpfs: the same, as ``mount`` takes it.

    ``mapped``: the engine's users are not the container's, so no number here could be its owner.
    """
    return _tmpfs(
        size_bytes, uid=0 if mapped else uid, mode="1777" if mapped else "0700", flags="exec"
    )


def _volume(name: str, target: str) -> dict[str, Any]:
    """Empty at first: nothing of what the image has there is copied into it."""
    options = {"NoCopy": True}
    return {"Type": "volume", "Source": name, "Target": target, "VolumeOptions": options}


def _ulimit(name: str, value: int) -> dict[str, Any]:
    return {"Name": name, "Soft": value, "Hard": value}
