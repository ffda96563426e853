"""Finds out whether the engine keeps what the profile asks for.

Engines ignore options that they do not know, and the read-back of ``docker inspect`` only repeats
the question. So before the first case one container looks around from within a real lane with an
agent's own profile; a promise that does not hold stops the run.
"""

import json
from collections.abc import Iterator, Mapping
from importlib import resources
from typing import Any

from pacabench.config.schema import SandboxConfig
from pacabench.errors import WeakSandboxError
from pacabench.proxy.control import LANE_PORT

PROBE_WITHIN_S = 60.0
_UNREACHABLE = {"ENETUNREACH", "EHOSTUNREACH", "EACCES", "EPERM"}
_DEVICES = {"core", "fd", "full", "mqueue", "null", "ptmx", "pts", "random", "shm"}
_DEVICES |= {"stderr", "stdin", "stdout", "tty", "urandom", "zero", "console"}
_HTTP_ERRORS = range(400, 500)
_ROUNDING_BYTES = 4096


def probe_command() -> list[str]:
    """What the probing container runs."""
    script = resources.files(__package__).joinpath("probe_script.py").read_text(encoding="utf-8")
    return ["python3", "-I", "-S", "-c", script, str(LANE_PORT)]


def read_probe(line: bytes | None, last_words: str) -> Mapping[str, Any]:
    """What the probing container printed.

    Raises:
        WeakSandboxError: it printed nothing usable.
    """
    try:
        found = json.loads(line or b"")
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise WeakSandboxError(
            "the sandbox could not be probed: the probing container said nothing usable "
            f"({last_words[-500:].strip() or 'not even an error'})"
        )
    return found


def check_promises(found: Mapping[str, Any], limits: SandboxConfig, uid: int) -> None:
    """Compare what the probe ``found`` with what is promised.

    Raises:
        WeakSandboxError: names every promise that does not hold.
    """
    broken = [*_network(found), *_privileges(found, uid), *_files(found, limits)]
    broken += _limits(found, limits)
    if broken:
        raise WeakSandboxError(
            "this engine does not keep what the sandbox promises: " + "; ".join(broken) + ". "
            "Agents that you do not trust must not run here: update the engine or use another one"
        )


def _network(found: Mapping[str, Any]) -> Iterator[str]:
    if found["interfaces"] != ["lo"]:
        yield f"an agent has network interfaces besides loopback ({found['interfaces']})"
    if found["routes"]:
        yield f"an agent has routes ({found['routes']})"
    for address, outcomes in found["elsewhere"].items():
        if not _UNREACHABLE.issuperset(outcomes):
            yield f"an agent can send to {address} ({outcomes})"
    lines = [line.split("#")[0].split() for line in found["resolv_conf"].splitlines()]
    told = [word for line in lines if line[:1] in (["nameserver"], ["search"]) for word in line[1:]]
    if not {"127.0.0.1", "."}.issuperset(told):
        yield f"an agent sees the host's resolvers or domains ({told})"
    if found["proxy"] not in _HTTP_ERRORS:
        yield f"the proxy does not answer in a lane ({found['proxy']})"
    for family, outcome in found["sockets"].items():
        if outcome == "done":
            yield f"an agent can make {family} sockets"


def _privileges(found: Mapping[str, Any], uid: int) -> Iterator[str]:
    if (found["uid"], found["gid"]) != (uid, uid):
        yield f"an agent runs as {found['uid']}:{found['gid']} and not as {uid}:{uid}"
    status = found["status"]
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        if int(status.get(name, "f"), 16):
            yield f"an agent has capabilities ({name} {status.get(name)})"
    if status.get("NoNewPrivs") != "1":
        yield "an agent can gain privileges (NoNewPrivs is not set)"
    if status.get("Seccomp") != "2":
        yield "an agent's system calls are not filtered (Seccomp)"
    for name, outcome in found["calls"].items():
        if outcome == "done":
            yield f"an agent can call {name}"
    if found["engine_socket"]:
        yield "an agent sees the engine's socket"
    if extra := sorted(set(found["devices"]) - _DEVICES):
        yield f"an agent sees devices ({extra})"


def _files(found: Mapping[str, Any], limits: SandboxConfig) -> Iterator[str]:
    if not found["root"]["read_only"]:
        yield "the root file system is writable"
    if found["writable_on_disk"]:
        yield f"an agent can write to the disk ({found['writable_on_disk']})"
    for name, path in (("tmp", "/tmp"), ("work", "the work directory")):  # noqa: S108 - a name
        size, inodes = found[name]["bytes"], found[name]["inodes"]
        if not 0 < size <= limits.tmp_size + _ROUNDING_BYTES:
            yield f"{path} is not bounded ({size} bytes)"
        if not 0 < inodes <= limits.tmp_size:
            yield f"the number of files in {path} is not bounded ({inodes})"


def _limits(found: Mapping[str, Any], limits: SandboxConfig) -> Iterator[str]:
    told, rlimits = found["limits"], found["rlimits"]
    if not _at_most(told["memory"], limits.memory):
        yield f"memory is not limited ({told['memory'] or 'no cgroup limit'})"
    swap = _at_most(told["swap"], 0) or _at_most(told["memory_and_swap"], limits.memory)
    counted = told["swap"] or told["memory_and_swap"]  # else the kernel does not account for swap
    if counted and not swap:
        yield f"swap is not limited ({counted})"
    if not _at_most(told["pids"], limits.pids):
        yield f"processes are not limited ({told['pids'] or 'no cgroup limit'})"
    if told["cpu"].split(" ")[0] in {"", "max", "-1"}:
        yield "CPU time is not limited"
    if rlimits["core"] != 0:
        yield "core dumps are written"
    if rlimits["nofile"] <= 0 or rlimits["fsize"] <= 0:
        yield "open files or file sizes are not limited"


def _at_most(text: str, most: int) -> bool:
    return text.isdigit() and int(text) <= most
