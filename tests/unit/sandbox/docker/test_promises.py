"""Every promise of a profile, broken alone: the sentence that says so, and no other."""

import copy
import re
from typing import Any

import pytest

from pacabench.config.prepare import PrepareConfig
from pacabench.config.schema import SandboxConfig
from pacabench.sandbox.docker.probe_script import CALLS, SOCKETS
from pacabench.sandbox.docker.profile import PREPARE_UID
from pacabench.sandbox.docker.promises import broken_promises, broken_promises_of_prepare

MIB = 1024**2
UID = 51520
ROOM = {"bytes": 256 * MIB, "inodes": 65536, "read_only": False}
SHM = {"bytes": 256 * MIB, "inodes": 65536, "read_only": False}
HELD: dict[str, Any] = {  # a strict agent on an engine that keeps its promises
    "interfaces": ["lo"],
    "routes": [],
    "elsewhere": {"192.0.2.1": ["ENETUNREACH", "ENETUNREACH"]},
    "resolv_conf": "# by the engine\nnameserver 127.0.0.1\nsearch .\n",
    "hosts": "127.0.0.1\tlocalhost\n::1\tip6-localhost\nfe00::0\tip6-localnet\nff02::1\tall\n",
    "hostname": "pb-82d77063110e7064",
    "proxy": 403,
    "sockets": dict.fromkeys(SOCKETS, "EPERM"),
    "root": {"bytes": 1, "inodes": 1, "read_only": True},
    "tmp": ROOM,
    "work": ROOM,
    "shm": None,
    "run_from_tmp": "EACCES",
    "run_from_work": "done",
    "make_device": "EPERM",
    "mounts": [
        {"path": "/", "kind": "overlay", "writable": False},
        {"path": "/proc/keys", "kind": "tmpfs", "writable": True},
        {"path": "/usr/sbin/docker-init", "kind": "ext4", "writable": False},
        {"path": "/etc/hosts", "kind": "ext4", "writable": False},
        {"path": "/tmp", "kind": "tmpfs", "writable": True, **ROOM},
        {"path": "/work", "kind": "tmpfs", "writable": True, **ROOM},
    ],
    "told": [],
    "open_to_write": {"/proc/sysrq-trigger": "EACCES"},
    "devices": ["fd", "null", "urandom"],
    "terminal": "ENXIO",
    "engine_socket": False,
    "kernel": "6.1.0-host",
    "uid": UID,
    "gid": UID,
    "status": {
        "Groups": str(UID),
        **dict.fromkeys(("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"), "0000000000000000"),
        "NoNewPrivs": "1",
        "Seccomp": "2",
    },
    "limits": {
        "memory": str(2048 * MIB),
        "memory_and_swap": str(2048 * MIB),
        "swap": "",
        "pids": "256",
        "cpu": "100000",
        "cpu_period": "100000",
    },
    "rlimits": {"nofile": 4096, "core": 0, "fsize": 2048 * MIB},
    "oom_score_adj": "500",
    "calls": {**dict.fromkeys(CALLS, "EPERM"), "clone3": "ENOSYS", "int 0x80": "SIGSYS"},
    "namespaces": {"ipc": 1, "uts": 2, "pid": 3, "cgroup": 4},
    "cgroups": ["1:cpu:/", "0::/"],
    "pid": 6,
    "orphan_is_reaped": True,
}
CAPABILITIES = ("CapInh", "CapPrm", "CapEff", "CapBnd")
CGROUP_2 = {"memory_and_swap": "", "swap": "0", "cpu": "100000 100000", "cpu_period": ""}


def broken(found: dict[str, Any], **settings: Any) -> list[str]:
    settings = {"profile": "strict", **settings}
    return broken_promises(found, SandboxConfig(**settings), uid=UID, host_kernel="6.1.0-host")


def changed(path: str, value: Any) -> dict[str, Any]:
    found = copy.deepcopy(HELD)
    *parents, last = path.split(".")
    place = found
    for name in parents:
        place = place[name]
    place[last] = value
    return found


def mounted(**mount: Any) -> dict[str, Any]:
    return changed("mounts", [*HELD["mounts"], mount])


def test_an_engine_that_holds_breaks_nothing() -> None:
    assert broken(HELD) == []
    found = changed("limits", {**HELD["limits"], **CGROUP_2})
    assert broken(found) == []


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("interfaces", ["eth0", "lo"], "interfaces besides loopback"),
        ("routes", ["eth0 00000000"], "has routes"),
        ("elsewhere", {"10.0.0.1": ["done", "ETIMEDOUT"]}, "can send to 10.0.0.1"),
        ("proxy", "Connection refused", "the proxy does not answer"),
        ("proxy", 200, "the proxy does not answer"),
        ("resolv_conf", "nameserver 10.0.0.53\n", "the host's resolvers"),
        ("resolv_conf", "search corp.example\n", "the host's resolvers"),
        ("hosts", "10.0.0.5\tbuild-host\n", r"addresses in /etc/hosts \(\['10.0.0.5'\]\)"),
        ("hosts", "nonsense\n", "addresses in /etc/hosts"),
        ("hostname", "build-host", "a name that tells something"),
        ("uid", 0, "runs as 0:"),
        ("gid", 100, f"runs as {UID}:100"),
        ("status.Groups", f"{UID} 999", "more groups than its own"),
        ("status.CapBnd", "00000000a80425fb", "has capabilities"),
        ("status.NoNewPrivs", "0", "can gain privileges"),
        ("make_device", "done", "can make device files"),
        ("status.Seccomp", "0", "not filtered"),
        ("calls.io_uring_setup", "EFAULT", "can call io_uring_setup"),
        ("calls.bpf", "EINVAL", "can call bpf"),
        ("calls.keyctl", "done", "can call keyctl"),
        ("calls.int 0x80", "done", "can call int 0x80"),
        ("calls.clone3", "EINVAL", "can call clone3"),
        ("sockets.AF_PACKET", "done", "can ask for AF_PACKET"),
        ("sockets.AF_ALG", "EAFNOSUPPORT", "can ask for AF_ALG"),
        ("root.read_only", False, "the root file system is writable"),
        ("run_from_tmp", "done", "can run programs from /tmp"),
        ("run_from_work", "EACCES", "own programs do not run"),
        ("tmp", {**ROOM, "bytes": 10**12}, "/tmp is not bounded"),
        ("tmp", {**ROOM, "inodes": 0}, "the number of files in /tmp"),
        ("work", {**ROOM, "inodes": 3_085_510}, "the number of files in the work directory"),
        ("shm", SHM, "has a /dev/shm"),
        ("told", ["/proc/kcore"], "can read what tells of the machine"),
        ("open_to_write", {"/proc/sysrq-trigger": "done"}, "can write to /proc/sysrq-trigger"),
        ("devices", ["null", "kvm"], r"sees devices \(\['kvm'\]\)"),
        ("terminal", "done", "has a terminal"),
        ("engine_socket", True, "sees the engine's socket"),
        ("namespaces.ipc", 0xEFFFFFFF, "the host's ipc namespace"),
        ("namespaces", {"ipc": 1, "uts": 2, "pid": 3}, "the host's cgroup namespace"),
        ("cgroups", ["0::/docker/1234"], "the engine's control groups"),
        ("pid", 1, "no init"),
        ("orphan_is_reaped", False, "no init"),
        ("limits.memory", "max", "memory is not limited"),
        ("limits.memory_and_swap", "99999999999", "swap is not limited"),
        ("limits.pids", "max", "processes are not limited"),
        ("limits.cpu", "-1", "CPU time is not limited"),
        ("limits.cpu", "200000", "CPU time is not limited"),
        ("limits.cpu", "", "CPU time is not limited"),
        ("rlimits.core", -1, "core dumps"),
        ("rlimits.fsize", -1, "file sizes are not limited"),
        ("rlimits.fsize", 10**12, "file sizes are not limited"),
        ("oom_score_adj", "0", "not the first to go"),
    ],
)
def test_one_broken_promise_is_said_and_no_other(path: str, value: Any, said: str) -> None:
    (sentence,) = broken(changed(path, value))
    assert re.search(said, sentence)


@pytest.mark.parametrize(
    ("mount", "said"),
    [
        ({"path": "/data", "kind": "tmpfs", "writable": False}, "none of its own (/data)"),
        ({"path": "/etc/hosts", "kind": "ext4", "writable": True}, "to the disk (/etc/hosts)"),
        ({"path": "/sys/fs", "kind": "tmpfs", "writable": True, **ROOM, "inodes": 0}, "files in"),
    ],
)
def test_mounts_are_looked_at_one_by_one(mount: dict[str, Any], said: str) -> None:
    (sentence,) = broken(mounted(**mount))
    assert said in sentence


def test_unsafe_promises_its_lane_and_its_limits_alone() -> None:
    loose = changed("uid", 0)
    loose.update(
        gid=0,
        status={**HELD["status"], "CapEff": "a80425fb", "NoNewPrivs": "0", "Seccomp": "0"},
        calls=dict.fromkeys(CALLS, "done"),
        sockets=dict.fromkeys(SOCKETS, "done"),
        root={**HELD["root"], "read_only": False},
        run_from_tmp="done",
        make_device="done",
        shm=SHM,
    )
    assert broken(loose, profile="unsafe") == []
    assert len(broken(loose)) > 20
    assert broken({**loose, "interfaces": ["eth0"]}, profile="unsafe")
    assert broken({**loose, "devices": ["kvm"]}, profile="unsafe")
    assert broken({**loose, "limits": {**HELD["limits"], "pids": "max"}}, profile="unsafe")


def test_compat_promises_all_but_noexec_and_has_bounded_shared_memory() -> None:
    roomy = {**HELD, "run_from_tmp": "done", "shm": SHM}
    assert broken(roomy, profile="compat") == []
    assert broken({**roomy, "shm": None}, profile="compat") == ["an agent has no /dev/shm"]
    endless = {**roomy, "shm": {**SHM, "inodes": 3_085_510}}
    (sentence,) = broken(endless, profile="compat")
    assert sentence == "the number of files in /dev/shm is not bounded (3085510)"
    assert broken({**roomy, "calls": {"bpf": "done"}}, profile="compat")


def test_vm_promises_a_kernel_of_its_own_and_leaves_calls_to_it() -> None:
    guest = {  # as gVisor shows itself
        **HELD,
        "kernel": "4.4.0",
        "calls": {"bpf": "EINVAL"},
        "sockets": {"AF_PACKET": "EAFNOSUPPORT"},
        "namespaces": {},
        "cgroups": [],
        "status": {name: HELD["status"][name] for name in ("Groups", *CAPABILITIES)},
        "root": {**HELD["root"], "read_only": False},
        "tmp": {**ROOM, "inodes": 0},
        "work": {**ROOM, "inodes": 0},
        "shm": {**SHM, "bytes": 2**63 - 4096, "inodes": 0},
        "devices": ["fuse", "null"],
        "limits": dict.fromkeys(HELD["limits"], ""),
        "memory_total": 2048 * MIB,
        "make_device": "done",
        "oom_score_adj": "0",
    }
    assert broken(guest, profile="vm", runtime="runsc") == []
    assert len(broken(guest)) > 10
    (sentence,) = broken({**guest, "kernel": "6.1.0-host"}, profile="vm", runtime="runsc")
    assert "the host's own kernel (6.1.0-host)" in sentence
    for name, value, said in (
        ("interfaces", ["eth0"], "interfaces"),
        ("memory_total", 99 * 1024 * MIB, "memory is not limited"),
        ("memory_total", 0, "memory is not limited"),
        ("mounts", [{"path": "/", "kind": "9p", "writable": True}], "root file system"),
        ("status", {**guest["status"], "CapEff": "f"}, "capabilities"),
        ("status", {"Groups": str(UID)}, "capabilities"),
        ("status", {**guest["status"], "NoNewPrivs": "0"}, "gain privileges"),
        ("tmp", {**ROOM, "bytes": 2**63 - 4096}, "/tmp is not bounded"),
        ("devices", ["kvm"], "devices"),
    ):
        assert said in broken({**guest, name: value}, profile="vm", runtime="runsc")[0]


@pytest.mark.parametrize("missing", sorted(HELD.keys() - {"kernel"}))
def test_what_the_probe_did_not_say_is_a_promise_that_is_not_kept(missing: str) -> None:
    found = {name: value for name, value in HELD.items() if name != missing}
    broken = broken_promises(found, SandboxConfig(), uid=UID, host_kernel="6.1.0-host")
    assert any(repr(missing) in sentence for sentence in broken)


def test_nor_is_what_it_said_in_another_form() -> None:
    broken = broken_promises(
        {**HELD, "status": []}, SandboxConfig(), uid=UID, host_kernel="6.1.0-host"
    )
    assert all("did not find out" in sentence for sentence in broken)
    assert broken


class TestPrepare:
    """The container that a data set is prepared in: held as ``strict``, with no lane."""

    SIZE, MEMORY = 256 * MIB, 1792 * MIB

    def broken(self, network: str = "none", **changes: Any) -> list[str]:
        found = copy.deepcopy(HELD) | {"proxy": "refused", "run_from_tmp": "done"}
        found |= {"uid": PREPARE_UID, "gid": PREPARE_UID}
        found["status"]["Groups"] = str(PREPARE_UID)
        config = PrepareConfig.model_validate(
            {"command": "x", "network": network, "size": self.SIZE, "memory": self.MEMORY}
        )
        return broken_promises_of_prepare(found | changes, config, "6.1.0-host")

    def test_an_engine_that_holds_breaks_nothing(self) -> None:
        assert self.broken() == []

    def test_with_the_engines_network_it_is_there(self) -> None:
        there: dict[str, Any] = {
            "interfaces": ["eth0", "lo"],
            "routes": ["eth0 00000000"],
            "elsewhere": {"10.0.0.1": ["done", "done"]},
            "resolv_conf": "nameserver 10.0.0.53\n",
        }
        assert self.broken("engine", **there) == []
        said = " ".join(self.broken("none", **there))
        assert "prepare has network interfaces besides loopback" in said
        assert "prepare can send to 10.0.0.1" in said

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            ({"uid": 0}, "prepare runs as 0:65531"),
            ({"root": {"read_only": False}}, "the root file system is writable"),
            ({"work": {**ROOM, "bytes": 10**12}}, "the work directory is not bounded"),
            ({"make_device": "done"}, "prepare can make device files"),
            ({"engine_socket": True}, "prepare sees the engine's socket"),
            ({"rlimits": {"nofile": 4096, "core": 0, "fsize": 0}}, "file sizes are not limited"),
        ],
    )
    def test_each_promise_alone(self, change: dict[str, Any], said: str) -> None:
        (sentence,) = self.broken(**change)
        assert said in sentence

    def test_its_memory_is_what_it_asked_for_and_its_files(self) -> None:
        limits = HELD["limits"]
        more = {**limits, "memory": str(2048 * MIB + 1), "memory_and_swap": str(2048 * MIB)}
        assert self.broken(limits=more) == [f"memory is not limited ({2048 * MIB + 1})"]
