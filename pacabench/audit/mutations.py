"""The protections that controls take away, each by one change of the container's create body."""

import json
from collections.abc import Callable

from pacabench.audit.attack import Body, Mutation
from pacabench.audit.bench import Bench
from pacabench.proxy.control import RUNTIME_DIR

Apply = Callable[[Body, Bench], Body]
_CAPABILITIES = ("SYS_ADMIN", "SYS_PTRACE", "NET_ADMIN", "NET_RAW", "MKNOD", "SETUID", "SETGID")
"""Not ALL: an engine that runs in a container of its own cannot give what it has not got."""
_MORE_CAPABILITIES = ("SYS_CHROOT", "DAC_READ_SEARCH", "SYS_BOOT", "SYS_MODULE")


def _host(body: Body) -> Body:
    config: Body = body["HostConfig"]
    return config


def _set_option(body: Body, name: str, option: str | None) -> None:
    """Replace what ``SecurityOpt`` says of ``name``."""
    kept = [given for given in _host(body)["SecurityOpt"] if not given.startswith(name)]
    _host(body)["SecurityOpt"] = [*kept, *([option] if option else [])]


def _on_bridge(body: Body, bench: Bench) -> Body:
    """Names that the engine does not know go to the fake internet, not to the real one."""
    where = {"NetworkMode": bench.ground.network, "Dns": [bench.ground.wan.told["address"]]}
    _host(body).update(where)
    return body


def _in_namespace(place: Callable[[Bench], str]) -> Apply:
    def apply(body: Body, bench: Bench) -> Body:
        _host(body)["NetworkMode"] = f"container:{place(bench)}"
        return body

    return apply


def _host_config(**changes: object) -> Apply:
    def apply(body: Body, _: Bench) -> Body:
        _host(body).update(changes)
        return body

    return apply


def _as_root(body: Body, _: Bench) -> Body:
    body["User"] = "0:0"
    return body


def _unconfined(body: Body, _: Bench) -> Body:
    """Engines with AppArmor or SELinux have those besides."""
    _set_option(body, "seccomp=", "seccomp=unconfined")
    _set_option(body, "apparmor", "apparmor=unconfined")
    return body


def _new_privileges(body: Body, _: Bench) -> Body:
    _set_option(body, "no-new-privileges", None)
    return body


def _with_capabilities(*names: str) -> Apply:
    return _all(_as_root, _unconfined, _host_config(CapAdd=list(names)))


def _all(*steps: Apply) -> Apply:
    def apply(body: Body, bench: Bench) -> Body:
        for step in steps:
            body = step(body, bench)
        return body

    return apply


def _with_runtime_volume(body: Body, bench: Bench) -> Body:
    body["User"] = "65532:65532"  # the sidecar's own, since only it may enter
    _host(body)["Binds"] = [f"{bench.runtime_volume}:{RUNTIME_DIR}:rw"]
    return body


def _with_engine_socket(body: Body, bench: Bench) -> Body:
    _host(body)["Binds"] = [f"{bench.ground.volume}:/run:rw"]
    return body


def _with_processes(body: Body, bench: Bench) -> Body:
    _host(body)["PidMode"] = f"container:{bench.ground.wan.id}"
    return body


def _with_shared_memory(body: Body, bench: Bench) -> Body:
    _host(body)["IpcMode"] = f"container:{bench.ground.wan.id}"
    _host(body)["Tmpfs"].pop("/dev/shm", None)  # noqa: S108 - an own one would hide the other's
    return body


ON_BRIDGE = Mutation("bridge", "the lane: the agent is on an ordinary bridge network", _on_bridge)
NAMED_HOST = Mutation(
    "bridge-host-name",
    "the lane: the agent is on a bridge network and told the host's name",
    _all(_on_bridge, _host_config(ExtraHosts=["host.docker.internal:host-gateway"])),
)
IPV6_ON_BRIDGE = Mutation(
    "bridge-ipv6",
    "the lane: the agent is on a bridge network, where IPv6 is on",
    _all(_on_bridge, _host_config(Sysctls={"net.ipv6.conf.all.disable_ipv6": "0"})),
)
NET_RAW_ON_BRIDGE = Mutation(
    "bridge-net-raw",
    "the lane, the seccomp profile and the dropped capability NET_RAW",
    _all(_on_bridge, _with_capabilities("NET_RAW")),
)
NET_ADMIN_ON_BRIDGE = Mutation(
    "bridge-net-admin",
    "the lane, the seccomp profile and the dropped capability NET_ADMIN",
    _all(_on_bridge, _with_capabilities("NET_ADMIN")),
)
IN_WAN = Mutation(
    "fake-internet",
    "the lane: the agent is in the network namespace of the fake internet",
    _in_namespace(lambda bench: bench.ground.wan.id),
)
NAIVE_PROXY = Mutation(
    "naive-proxy",
    "the gateway: on the lane's port is a proxy that does whatever it is told",
    IN_WAN.apply,
)
WITH_NEIGHBOUR = Mutation(
    "shared-lane",
    "the own lane: the agent is in its neighbour's",
    _in_namespace(lambda bench: bench.neighbour.holder),
)
EMPTY_LANE = Mutation(
    "empty-lane",
    "the listener in the lane: nobody holds the proxy's port",
    _host_config(NetworkMode="none"),
)
RUNTIME_VOLUME = Mutation(
    "runtime-volume",
    "the volume of sidecar and lane holders: the agent has it mounted",
    _with_runtime_volume,
)
NO_SECCOMP = Mutation("no-seccomp", "the seccomp profile", _unconfined)
NEW_PRIVILEGES = Mutation("new-privileges", "no-new-privileges", _new_privileges)
WRITABLE_ROOT = Mutation(
    "writable-root",
    "the read-only root file system, and the user without rights",
    _all(_as_root, _host_config(ReadonlyRootfs=False)),
)
WITH_CAPABILITIES = Mutation(
    "capabilities",
    "the dropped capabilities, the user without rights and the seccomp profile",
    _with_capabilities(*_CAPABILITIES),
)
MORE_CAPABILITIES = Mutation(
    "more-capabilities",
    "the dropped capabilities (rare ones), the user without rights and the seccomp profile",
    _with_capabilities(*_MORE_CAPABILITIES),
)
HOST_CGROUPS = Mutation(
    "host-cgroups",
    "the own cgroup namespace, the dropped capabilities and the seccomp profile",
    _all(_with_capabilities("SYS_ADMIN"), _host_config(CgroupnsMode="host")),
)
NO_MASKS = Mutation(
    "no-masks",
    "the engine's masked and read-only paths in /proc, and the user without rights",
    _all(_as_root, _host_config(MaskedPaths=[], ReadonlyPaths=[])),
)
ENGINE_SOCKET = Mutation(
    "engine-socket", "the ban on binds: the agent has an engine's socket", _with_engine_socket
)
SHARED_PROCESSES = Mutation(
    "shared-processes", "the own process namespace: it is another container's", _with_processes
)
SHARED_MEMORY = Mutation(
    "shared-memory", "the own IPC namespace: it is another container's", _with_shared_memory
)
A_DEVICE = Mutation(
    "a-device",
    "the ban on devices: /dev/mem is there",
    _host_config(
        Devices=[
            {
                "PathOnHost": "/dev/zero",
                "PathInContainer": "/dev/mem",
                "CgroupPermissions": "rwm",
            }
        ]
    ),
)


def altered(mutation: Mutation, bench: Bench) -> Callable[[Body], Body]:
    """``mutation`` as what the sandbox takes: it gets a copy and may change it."""
    return lambda body: mutation.apply(json.loads(json.dumps(body)), bench)
