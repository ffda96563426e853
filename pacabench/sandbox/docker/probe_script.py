"""Runs inside a lane with an agent's profile and prints, as one JSON line, what it could do.

Standard library only, and it imports nothing of this package: it runs alone in the sidecar's image.
It tells what it found; what that means is judged in ``promises.py``.
"""

import ctypes
import errno
import json
import mmap
import os
import resource
import signal
import socket
import stat
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from functools import partial
from pathlib import Path

ELSEWHERE = ("192.0.2.1", "172.17.0.1", "169.254.169.254", "10.0.0.1")
"""TEST-NET-1 for the public ones, a usual bridge gateway, cloud metadata, a private address."""
SOCKETS = {  # family, type, protocol
    "AF_PACKET": (17, 3, 0x0300),
    "AF_VSOCK": (40, 1, 0),
    "AF_ALG": (38, 5, 0),
    "AF_KEY": (15, 3, 2),
    "AF_CAN": (29, 3, 1),
    "AF_TIPC": (30, 4, 0),
    "AF_BLUETOOTH": (31, 3, 1),
    "AF_XDP": (44, 3, 0),
    "NETLINK_AUDIT": (16, 3, 9),
    "NETLINK_XFRM": (16, 3, 6),
    "raw IP": (2, 3, 1),
}
CALLS = {  # number on x86-64, on arm64, arguments that do no harm where it is let through
    "io_uring_setup": (425, 425, (1, 0)),
    "keyctl": (250, 219, (0, -3, 0)),
    "add_key": (248, 217, (0, 0, 0, 0, -2)),
    "request_key": (249, 218, (0, 0, 0, 0)),
    "userfaultfd": (323, 282, (1,)),
    "bpf": (321, 280, (0, 0, 0)),
    "perf_event_open": (298, 241, (0, 0, -1, -1, 0)),
    "ptrace": (101, 117, (2, 1, 0, 0)),
    "process_vm_readv": (310, 270, (os.getpid(), 0, 0, 0, 0, 0)),
    "modify_ldt": (154, None, (0, 0, 0)),
    "setns": (308, 268, (-1, 0)),
    "unshare(user)": (272, 97, (0x10000000,)),
    "unshare(net)": (272, 97, (0x40000000,)),
    "mount": (165, 40, (0, 0, 0, 0, 0)),
    "clone3": (435, 435, (0, 0)),
}
HIDDEN = (
    "/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/sched_debug", "/proc/latency_stats",
    "/proc/scsi", "/proc/acpi", "/sys/firmware",
)  # fmt: skip
UNCHANGEABLE = (
    "/proc/sysrq-trigger", "/proc/sys/kernel/core_pattern", "/proc/sys/kernel/hostname",
    "/proc/sys/vm/overcommit_memory", "/sys/kernel/uevent_helper", "/sys/fs/cgroup/release_agent",
)  # fmt: skip
GETPID_32 = bytes.fromhex("53b814000000cd805bc3")
"""x86: ``push rbx; mov eax, 20; int 0x80; pop rbx; ret``: getpid as 32-bit programs call it."""
STATUS = {"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp", "Groups"}
LIMIT_FILES = {  # cgroup version 1, version 2
    "memory": ("memory/memory.limit_in_bytes", "memory.max"),
    "memory_and_swap": ("memory/memory.memsw.limit_in_bytes", ""),
    "swap": ("", "memory.swap.max"),
    "pids": ("pids/pids.max", "pids.max"),
    "cpu": ("cpu/cpu.cfs_quota_us", "cpu.max"),
    "cpu_period": ("cpu/cpu.cfs_period_us", ""),
}
RLIMITS = {
    "nofile": resource.RLIMIT_NOFILE,
    "core": resource.RLIMIT_CORE,
    "fsize": resource.RLIMIT_FSIZE,
}
REAPED_WITHIN_S = 0.5


def read(path: str) -> str:
    """A file's text; empty when it cannot be read."""
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def outcome(work: Callable[[], object]) -> str:
    """``done``, or the name of the error."""
    try:
        work()
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error))
    return "done"


def in_child(work: Callable[[], int]) -> str:
    """As :func:`outcome`, of ``work`` in a process of its own, which it may spoil or lose.

    ``work`` returns an ``errno``; a signal that ended it is named.
    """
    child = os.fork()
    if child == 0:
        try:
            os._exit(work())
        except OSError as error:
            os._exit(error.errno or 1)
        finally:
            os._exit(1)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code < 0:
        return signal.Signals(-code).name
    return name_of(code)


def name_of(number: int) -> str:
    """``done`` for 0, else the name of the ``errno``."""
    return errno.errorcode.get(number, str(number)) if number else "done"


def status() -> dict[str, str]:
    """Of ``/proc/self/status`` what matters here."""
    lines = (line.partition(":") for line in read("/proc/self/status").splitlines())
    return {name: value.strip() for name, _, value in lines if name in STATUS}


def routes() -> list[str]:
    """Those that are not on loopback."""
    old = [line.split() for line in read("/proc/net/route").splitlines()[1:]]
    new = [line.split() for line in read("/proc/net/ipv6_route").splitlines()]
    found = [(fields[0], fields[1]) for fields in old] + [(line[-1], line[0]) for line in new]
    return [f"{device} {target}" for device, target in found if device != "lo"]


def send_datagram(address: str) -> None:
    """As a DNS query would be sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.sendto(b"x", (address, 53))


def connect(address: str) -> None:
    """As HTTP would be spoken."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        sock.settimeout(1)
        sock.connect((address, 80))


def make_socket(family: int, kind: int, protocol: int) -> None:
    """A socket that an agent has no use for."""
    socket.socket(family, kind, protocol).close()


def raw_call(number: int, arguments: tuple[int, ...]) -> int:
    """A raw system call: 0, or its ``errno``."""
    libc = ctypes.CDLL(None, use_errno=True)
    done = libc.syscall(ctypes.c_long(number), *map(ctypes.c_long, arguments)) >= 0
    return 0 if done else ctypes.get_errno()


def calls() -> dict[str, str]:
    """Each of :data:`CALLS`, in a child where it would change the process that makes it."""
    place = {"x86_64": 0, "aarch64": 1}.get(os.uname().machine)
    found: dict[str, str] = {}
    for name, (*numbers, arguments) in CALLS.items():
        if place is None or (number := numbers[place]) is None:
            continue
        call = partial(raw_call, number, arguments)
        found[name] = in_child(call) if name.startswith("unshare") else name_of(call())
    if place == 0:
        found["int 0x80"] = in_child(old_call)
        found["x32 calls"] = in_child(partial(raw_call, 0x40000000 | 39, ()))
    return found


def old_call() -> int:
    """A 32-bit system call out of a 64-bit program: 0 when it was answered."""
    with mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC) as m:
        m.write(GETPID_32)
        address = ctypes.addressof(ctypes.c_char.from_buffer(m))
        answer = ctypes.CFUNCTYPE(ctypes.c_int)(address)()
        os._exit(0 if answer == os.getpid() else -answer)


def mounts() -> list[dict[str, object]]:
    """Every mount: where, of what kind, whether it can be written to."""
    found: list[dict[str, object]] = []
    for line in read("/proc/self/mountinfo").splitlines():
        before, _, after = line.partition(" - ")
        fields = before.split()
        path, kind = fields[4], after.split()[0]
        writable = "rw" in fields[5].split(",")
        entry: dict[str, object] = {"path": path, "kind": kind, "writable": writable}
        if kind == "tmpfs" and writable and Path(path).is_dir() and os.access(path, os.W_OK):
            entry.update(bounds(path))
        found.append(entry)
    return found


def bounds(path: str) -> dict[str, int]:
    """Bytes, inodes and writability of the file system at ``path``."""
    found = os.statvfs(path)
    return {
        "bytes": found.f_blocks * found.f_frsize,
        "inodes": found.f_files,
        "read_only": bool(found.f_flag & os.ST_RDONLY),
    }


def run_from(folder: str) -> None:
    """Start a program that was written to ``folder``."""
    program = Path(folder, "program")
    program.write_text("#!/bin/true\n")
    program.chmod(0o700)
    try:
        os.waitpid(os.posix_spawn(program, [str(program)], {}), 0)
    finally:
        program.unlink()  # the directory may be one that somebody works in later


def make_device() -> None:
    """A device file, here the one of /dev/mem's kind."""
    os.mknod(Path(tempfile.gettempdir(), "device"), stat.S_IFCHR | 0o600, os.makedev(1, 1))


def tells(path: str) -> bool:
    """Whether anything can be read there."""
    try:
        if Path(path).is_dir():
            return any(Path(path).iterdir())
        with Path(path).open("rb") as file:
            return bool(file.read(1))
    except OSError:
        return False


def open_to_write(path: str) -> None:
    """Open ``path`` for writing, and write nothing."""
    os.close(os.open(path, os.O_WRONLY))


def namespaces() -> dict[str, int]:
    """Numbers of the namespaces that this process is in."""
    found: dict[str, int] = {}
    for name in ("ipc", "uts", "pid", "cgroup"):
        try:
            found[name] = Path("/proc/self/ns", name).stat().st_ino
        except OSError:
            continue
    return found


def orphan_is_reaped() -> bool:
    """Whether somebody waits for a process that lost its parent."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        grandchild = os.fork()
        if grandchild == 0:
            os._exit(0)
        os.write(writer, str(grandchild).encode())
        os._exit(0)
    os.waitpid(child, 0)
    place = Path("/proc", os.read(reader, 16).decode())
    deadline = time.monotonic() + REAPED_WITHIN_S
    while place.exists():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.002)
    return True


def limits() -> dict[str, str]:
    """The cgroup's limits as the kernel has them; empty where there is none."""
    root = "/sys/fs/cgroup"
    second = Path(root, "cgroup.controllers").exists()
    found = {name: read(f"{root}/{files[second]}").strip() for name, files in LIMIT_FILES.items()}
    return {"version": "2" if second else "1", **found}


def memory_total() -> int:
    """Bytes of memory that the machine seems to have; 0 when it does not tell."""
    words = read("/proc/meminfo").split()
    return int(words[1]) * 1024 if words[:1] == ["MemTotal:"] else 0


def proxy(port: str) -> int | str:
    """The status with which the lane's port answers a call without a key."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://127.0.0.1:{port}/v1/models", timeout=10) as reply:
            return int(reply.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError as error:
        return str(error)


def network(port: str) -> dict[str, object]:
    """Where it can get to, and what it is told of where it is."""
    return {
        "interfaces": sorted(name for _, name in socket.if_nameindex()),
        "routes": routes(),
        "elsewhere": {
            address: [outcome(partial(send_datagram, address)), outcome(partial(connect, address))]
            for address in ELSEWHERE
        },
        "resolv_conf": read("/etc/resolv.conf"),
        "hosts": read("/etc/hosts"),
        "hostname": os.uname().nodename,
        "proxy": proxy(port),
        "sockets": {name: outcome(partial(make_socket, *it)) for name, it in SOCKETS.items()},
    }


def files() -> dict[str, object]:
    """What it can write to, run, and look at."""
    return {
        "root": bounds("/"),
        "tmp": bounds(tempfile.gettempdir()),
        "work": bounds("."),
        "shm": bounds("/dev/shm") if Path("/dev/shm").exists() else None,  # noqa: S108 - it asks
        "run_from_tmp": outcome(partial(run_from, tempfile.gettempdir())),
        "run_from_work": outcome(partial(run_from, str(Path.cwd()))),
        "make_device": outcome(make_device),
        "mounts": mounts(),
        "told": [path for path in HIDDEN if tells(path)],
        "open_to_write": {path: outcome(partial(open_to_write, path)) for path in UNCHANGEABLE},
        "devices": sorted(path.name for path in Path("/dev").iterdir()),
        "terminal": outcome(partial(open_to_write, "/dev/tty")),
        "engine_socket": any(
            Path(path).exists() for path in ("/var/run/docker.sock", "/run/docker.sock")
        ),
    }


def main(port: str) -> None:
    """Print everything."""
    started = time.perf_counter()
    found = {
        **network(port),
        **files(),
        "kernel": os.uname().release,
        "uid": os.getuid(),
        "gid": os.getgid(),
        "status": status(),
        "limits": limits(),
        "memory_total": memory_total(),
        "rlimits": {name: resource.getrlimit(kind)[1] for name, kind in RLIMITS.items()},
        "oom_score_adj": read("/proc/self/oom_score_adj").strip(),
        "calls": calls(),
        "namespaces": namespaces(),
        "cgroups": read("/proc/self/cgroup").split(),
        "pid": os.getpid(),
        "processes": sum(path.name.isdecimal() for path in Path("/proc").iterdir()),
        "orphan_is_reaped": orphan_is_reaped(),
    }
    found["looked_ms"] = round((time.perf_counter() - started) * 1000, 1)
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
