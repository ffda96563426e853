"""The protections that controls take away, each by one change of the container's create body."""

import json
from collections.abc import Callable

from pacabench.audit.attack import Body, Mutation
from pacabench.audit.bench import Bench


def _host(body: Body) -> Body:
    config: Body = body["HostConfig"]
    return config


def _options(body: Body) -> list[str]:
    options: list[str] = _host(body)["SecurityOpt"]
    return options


def _set_seccomp(body: Body, value: str | None) -> None:
    kept = [option for option in _options(body) if not option.startswith("seccomp=")]
    _host(body)["SecurityOpt"] = [*kept, *([f"seccomp={value}"] if value else [])]


def _root(body: Body) -> None:
    body["User"] = "0:0"


def _in_network(place: Callable[[Bench], str]) -> Callable[[Body, Bench], Body]:
    def apply(body: Body, bench: Bench) -> Body:
        _host(body)["NetworkMode"] = place(bench)
        return body

    return apply


def _with_caps(*names: str) -> Callable[[Body, Bench], Body]:
    def apply(body: Body, _: Bench) -> Body:
        _root(body)
        _host(body)["CapAdd"] = list(names)
        _set_seccomp(body, "unconfined")
        return body

    return apply


def _writable_root(body: Body, _: Bench) -> Body:
    _root(body)
    _host(body)["ReadonlyRootfs"] = False
    return body


def _unconfined(body: Body, _: Bench) -> Body:
    _set_seccomp(body, "unconfined")
    return body


def _raw_on_bridge(body: Body, bench: Bench) -> Body:
    _host(body)["NetworkMode"] = bench.ground.network
    return _with_caps("NET_RAW")(body, bench)


ON_BRIDGE = Mutation(
    "bridge",
    "the lane: the agent is on an ordinary bridge network",
    _in_network(lambda bench: bench.ground.network),
)
IN_WAN = Mutation(
    "fake-internet",
    "the lane: the agent is in the network namespace of the fake internet",
    _in_network(lambda bench: f"container:{bench.ground.wan.id}"),
)
WITH_NEIGHBOUR = Mutation(
    "shared-lane",
    "the own lane: the agent is in its neighbour's",
    _in_network(lambda bench: f"container:{bench.neighbour.holder}"),
)
RAW_ON_BRIDGE = Mutation(
    "bridge-net-raw",
    "the lane, the seccomp profile and the dropped capability NET_RAW",
    _raw_on_bridge,
)
NO_SECCOMP = Mutation("no-seccomp", "the seccomp profile", _unconfined)
WRITABLE_ROOT = Mutation(
    "writable-root", "the read-only root file system, and the user without rights", _writable_root
)
WITH_CAPS = Mutation(
    "capabilities",
    "the dropped capabilities, the user without rights and the seccomp profile",
    _with_caps("SYS_ADMIN", "SYS_PTRACE", "NET_ADMIN", "NET_RAW", "MKNOD", "SETUID", "SETGID"),
)
"""Not ALL: an engine in a container of its own cannot give what it has not got."""


def altered(mutation: Mutation, bench: Bench) -> Callable[[Body], Body]:
    """``mutation`` as what the sandbox takes: it gets a copy and may change it."""
    return lambda body: mutation.apply(json.loads(json.dumps(body)), bench)
