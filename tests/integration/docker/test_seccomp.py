"""The list of system calls: what was taken out is refused, and works where the list is not."""

import json
from typing import Any

import docker
import pytest

from pacabench.events import Event
from pacabench.sandbox.docker.engine import Engine
from pacabench.sandbox.docker.images.sidecar import ensure_sidecar_image
from pacabench.sandbox.docker.probe import probe_command
from pacabench.sandbox.docker.probe_script import CALLS, SOCKETS
from pacabench.sandbox.docker.seccomp import seccomp_profile

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300)]  # images may have to be built

REFUSED = {"EPERM", "ENOSYS", "SIGSYS", "SIGSEGV"}
NOT_IN_EVERY_KERNEL = {"modify_ldt", "int 0x80", "x32 calls", "userfaultfd", "add_key", "keyctl"}
NOT_IN_EVERY_KERNEL |= {"request_key", "perf_event_open", "io_uring_setup", "bpf"}
OURS_ALONE = {"ptrace"}
"""Every engine's own list lets it through."""


def look(image: str, **kept: Any) -> dict[str, str]:
    """What calls and sockets a container comes to, kept as it is told."""
    client = docker.from_env(timeout=60)
    try:
        container = client.containers.create(
            image,
            entrypoint=probe_command(),
            command=[],
            network_mode="none",
            read_only=True,
            tmpfs={"/tmp": "size=1m"},
            working_dir="/tmp",
            labels={"pacabench.role": "test"},
            **kept,
        )
        try:
            container.start()
            container.wait()
            said = container.logs(stderr=False)
        finally:
            container.remove(force=True)
    finally:
        client.close()
    found = json.loads(said)
    return {**found["calls"], **found["sockets"]}


async def test_each_call_that_was_taken_out_is_refused_and_works_without_the_list(
    engine: Engine, tmp_path_factory: pytest.TempPathFactory
) -> None:
    events: list[Event] = []
    image = await ensure_sidecar_image(
        engine, cache_dir=tmp_path_factory.getbasetemp(), listener=events.append
    )
    unfiltered = look(image, user="0", cap_add=["SYS_ADMIN"], security_opt=["seccomp=unconfined"])
    plain = {"user": "20001", "cap_drop": ["ALL"]}
    default = look(image, **plain)
    ours = look(image, **plain, security_opt=[f"seccomp={seccomp_profile()}"])
    # That of `compat` differs in rare calls alone, and none of those is looked for.
    assert ours == look(image, **plain, security_opt=[f"seccomp={seccomp_profile(rare=True)}"])
    for name in ours:
        print(f"{name:18} {unfiltered[name]:12} {default[name]:12} {ours[name]}")  # noqa: T201
    assert set(ours) >= {*CALLS, *SOCKETS}
    assert {name: ours[name] for name in SOCKETS} == dict.fromkeys(SOCKETS, "EPERM")
    calls = set(ours) - set(SOCKETS)
    assert {name for name in calls if ours[name] not in REFUSED} == set()
    # The controls: every one of them is live where nothing filters.
    dead = {name for name in calls if unfiltered[name] in REFUSED}
    assert dead <= NOT_IN_EVERY_KERNEL, dead
    assert {name for name in SOCKETS if unfiltered[name] == "EPERM"} == set()
    assert {name for name in OURS_ALONE if default[name] in REFUSED} == set()
