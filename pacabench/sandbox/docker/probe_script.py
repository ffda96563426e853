"""Runs inside a lane with an agent's profile and prints, as one JSON line, what it could do.

Standard library only, and it imports nothing of this package: it runs alone in the sidecar's image.
It tells what it found; what that means is judged in ``probe.py``.
"""

import ctypes
import errno
import json
import os
import resource
import socket
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable
from functools import partial
from pathlib import Path

ELSEWHERE = ("192.0.2.1", "172.17.0.1", "169.254.169.254", "10.0.0.1")
"""TEST-NET-1 for the public ones, a usual bridge gateway, cloud metadata, a private address."""
FAMILIES = {"AF_PACKET": 17, "AF_VSOCK": 40, "AF_ALG": 38}
CALLS = {
    "x86_64": {"io_uring_setup": 425, "keyctl": 250, "bpf": 321, "userfaultfd": 323},
    "aarch64": {"io_uring_setup": 425, "keyctl": 219, "bpf": 280, "userfaultfd": 282},
}
CLONE_NEWUSER = 0x10000000
CLONE_NEWNET = 0x40000000
STATUS = {"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp", "Groups"}
NOT_ON_DISK = {"tmpfs", "proc", "sysfs", "devpts", "mqueue", "cgroup", "cgroup2"}
LIMIT_FILES = {  # cgroup version 1, version 2
    "memory": ("memory/memory.limit_in_bytes", "memory.max"),
    "memory_and_swap": ("memory/memory.memsw.limit_in_bytes", ""),
    "swap": ("", "memory.swap.max"),
    "pids": ("pids/pids.max", "pids.max"),
    "cpu": ("cpu/cpu.cfs_quota_us", "cpu.max"),
}
RLIMITS = {
    "nofile": resource.RLIMIT_NOFILE,
    "core": resource.RLIMIT_CORE,
    "fsize": resource.RLIMIT_FSIZE,
}


def read(path: str) -> str:
    """A file's text; empty when it cannot be read."""
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


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


def outcome(work: Callable[[], object]) -> str:
    """``done``, or the name of the error."""
    try:
        work()
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error))
    return "done"


def send_datagram(address: str) -> None:
    """As a DNS query would be sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.sendto(b"x", (address, 53))


def connect(address: str) -> None:
    """As HTTP would be spoken."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        sock.settimeout(1)
        sock.connect((address, 80))


def raw_socket(family: int) -> None:
    """A socket of another family."""
    socket.socket(family, socket.SOCK_RAW).close()


def system_call(number: int) -> str:
    """A raw system call with zeros: ``done`` or the name of its error."""
    libc = ctypes.CDLL(None, use_errno=True)
    zeros = [ctypes.c_long(0)] * 5
    if libc.syscall(ctypes.c_long(number), *zeros) >= 0:
        return "done"
    return errno.errorcode.get(ctypes.get_errno(), "?")


def unshare(flags: int) -> str:
    """Make a namespace: ``done`` or the name of the error."""
    libc = ctypes.CDLL(None, use_errno=True)
    return "done" if libc.unshare(flags) == 0 else errno.errorcode.get(ctypes.get_errno(), "?")


def writable_on_disk() -> list[str]:
    """Mounts that are writable and not in memory."""
    found = []
    for line in read("/proc/self/mountinfo").splitlines():
        before, _, after = line.partition(" - ")
        fields = before.split()
        if "rw" in fields[5].split(",") and after.split()[0] not in NOT_ON_DISK:
            found.append(fields[4])
    return found


def bounds(path: str) -> dict[str, int]:
    """Bytes, inodes and writability of the file system at ``path``."""
    found = os.statvfs(path)
    return {
        "bytes": found.f_blocks * found.f_frsize,
        "inodes": found.f_files,
        "read_only": bool(found.f_flag & os.ST_RDONLY),
    }


def limits() -> dict[str, str]:
    """The cgroup's limits as the kernel has them; empty where there is none."""
    root = "/sys/fs/cgroup"
    second = Path(root, "cgroup.controllers").exists()
    found = {name: read(f"{root}/{files[second]}").strip() for name, files in LIMIT_FILES.items()}
    return {"version": "2" if second else "1", **found}


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


def main(port: str) -> None:
    """Print everything."""
    machine = os.uname()
    found = {
        "interfaces": sorted(name for _, name in socket.if_nameindex()),
        "routes": routes(),
        "elsewhere": {
            address: [outcome(partial(send_datagram, address)), outcome(partial(connect, address))]
            for address in ELSEWHERE
        },
        "resolv_conf": read("/etc/resolv.conf"),
        "hostname": machine.nodename,
        "proxy": proxy(port),
        "uid": os.getuid(),
        "gid": os.getgid(),
        "status": status(),
        "root": bounds("/"),
        "tmp": bounds(tempfile.gettempdir()),
        "work": bounds("."),
        "writable_on_disk": writable_on_disk(),
        "limits": limits(),
        "rlimits": {name: resource.getrlimit(kind)[1] for name, kind in RLIMITS.items()},
        "sockets": {
            name: outcome(partial(raw_socket, family)) for name, family in FAMILIES.items()
        },
        "calls": {
            **{name: system_call(n) for name, n in CALLS.get(machine.machine, {}).items()},
            "unshare_user": unshare(CLONE_NEWUSER),
            "unshare_net": unshare(CLONE_NEWNET),
        },
        "devices": sorted(path.name for path in Path("/dev").iterdir()),
        "engine_socket": Path("/var/run/docker.sock").exists(),
    }
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
