"""The named profiles, in real lanes: what each loosens, what it still holds, and what is found."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pacabench.config.schema import BuildConfig
from pacabench.errors import SandboxUnavailableError, WeakSandboxError
from pacabench.events import Notice
from pacabench.sandbox.base import SandboxAgent
from pacabench.sandbox.docker.engine import Engine
from pacabench.sandbox.docker.images.base import ensure_default_base
from tests.integration.docker.conftest import OBEDIENT, Rig, tell

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300)]  # images may have to be built

LOOK = """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
def attempt(work):
    try:
        work()
        return "done"
    except OSError as error:
        return type(error).__name__
def program(folder):
    path = folder + "/program"
    open(path, "w").write("#!/bin/true\\n")
    os.chmod(path, 0o700)
    subprocess.run([path], check=True)
traced = libc.ptrace(2, 1, 0, 0), ctypes.get_errno()
ctypes.set_errno(0)
queue = libc.msgget(0, 0o600), ctypes.get_errno()
say({
    "uid": os.getuid(),
    "run_from_tmp": attempt(lambda: program("/tmp")),
    "run_from_work": attempt(lambda: program(os.getcwd())),
    "write_to_root": attempt(lambda: open("/opt/new", "w").write("x")),
    "shared_memory": attempt(lambda: open("/dev/shm/new", "w").write("x")),
    "ptrace": traced[1],
    "queue": queue[1],
    "addresses": sorted(os.listdir("/sys/class/net")),
    "hosts": open("/etc/hosts").read(),
})
"""
_KERNELS = ("runsc", "kata", "kata-runtime", "kata-qemu", "kata-fc", "kata-clh")
"""Names under which people register them."""
EPERM, ESRCH = 1, 3
STRICT = {
    "run_from_tmp": "PermissionError",
    "run_from_work": "done",
    "write_to_root": "OSError",
    "shared_memory": "FileNotFoundError",
    "ptrace": EPERM,
    "queue": EPERM,
    "addresses": ["lo"],
}
COMPAT = {**STRICT, "run_from_tmp": "done", "shared_memory": "done", "queue": 0}
UNSAFE = {**COMPAT, "uid": 0, "write_to_root": "done", "ptrace": ESRCH}
FILL = """
def fill():
    try:
        with open("/dev/shm/big", "wb") as file:
            while True:
                file.write(b"x" * 1_000_000)
    except OSError as error:
        return error.errno, os.path.getsize("/dev/shm/big")
def count():
    os.unlink("/dev/shm/big")
    for number in range(1_000_000):
        try:
            os.close(os.open(f"/dev/shm/{number}", os.O_CREAT))
        except OSError as error:
            return error.errno, number
say([fill(), count()])
"""


async def test_each_profile_loosens_what_it_says_and_nothing_else(rig: Rig) -> None:
    agents = {name: rig.agent(name=name, profile=name) for name in ("strict", "compat", "unsafe")}
    found: dict[str, Any] = {}
    async with rig.open(*agents.values(), concurrency=1) as sandbox:
        facts = sandbox.facts
        for name in ("unsafe", "strict", "compat"):
            session = await sandbox.start(agents[name])
            if name == "unsafe":  # what it leaves in its lane meets nobody else
                await tell(session, "open('/etc/hosts', 'a').write('192.0.2.1 left'); say(1)")
            found[name] = await tell(session, LOOK)
            if name == "compat":
                (full, size), (no_more, files) = await tell(session, FILL)
                assert (full, no_more) == (28, 28)
                assert size <= 256 * 1024**2
                assert files < 70_000
            await session.close()
    for name, expected in (("strict", STRICT), ("compat", COMPAT), ("unsafe", UNSAFE)):
        assert {key: found[name][key] for key in expected} == expected, name
    assert "left" in found["unsafe"]["hosts"]
    assert "left" not in found["strict"]["hosts"] + found["compat"]["hosts"]
    assert found["strict"]["uid"] >= 20_000
    assert {name: kept.profile for name, kept in facts.profiles.items()} == {
        "strict": "strict", "compat": "compat", "unsafe": "unsafe",
    }  # fmt: skip
    assert [probe["broken"] for probe in facts.probes] == [[], [], []]
    dangers = [event for event in rig.events if isinstance(event, Notice)]
    assert next(it.text for it in dangers if it.level == "danger").startswith("agent 'unsafe'")


async def test_every_distinct_profile_and_limit_is_probed_once(rig: Rig) -> None:
    agents = [
        rig.agent(name="a"),
        rig.agent(name="b"),
        rig.agent(name="c", memory="64m"),
        rig.agent(name="d", profile="compat"),
    ]
    async with rig.open(*agents) as sandbox:
        probes = sandbox.facts.probes
    assert [probe["agents"] for probe in probes] == [["a", "b"], ["c"], ["d"]]
    assert [probe["found"]["limits"]["memory"] for probe in probes] == [
        str(2 * 1024**3), str(64 * 1024**2), str(2 * 1024**3),
    ]  # fmt: skip
    assert [probe["found"]["run_from_tmp"] for probe in probes] == ["EACCES", "EACCES", "done"]


async def test_a_runtime_that_the_engine_has_not_is_named_with_those_it_has(rig: Rig) -> None:
    agent = rig.agent(profile="vm", runtime="no-such-runtime")
    with pytest.raises(SandboxUnavailableError, match=r"'no-such-runtime'.*it has: .*runc"):
        async with rig.open(agent):
            pass


async def test_a_runtime_that_is_no_vm_is_found_out_and_only_goes_on_by_wish(rig: Rig) -> None:
    agent, tight = rig.agent(profile="vm", runtime="runc"), rig.agent(name="tight")
    with pytest.raises(WeakSandboxError, match=r"the host's own kernel.*--allow-weak-sandbox"):
        async with rig.open(agent):
            pass
    async with rig.open(agent, tight, allow_weak=True) as sandbox:
        (weak,) = sandbox.facts.weaknesses
        assert list(weak.agents) == ["obedient"]
        assert "the host's own kernel" in weak.promise
        session = await sandbox.start(agent)
        assert await tell(session, "say(1)") == 1
        await session.close()
    said = [event for event in rig.events if isinstance(event, Notice) and event.level == "danger"]
    assert [event.text for event in said] == [f"not held as promised (obedient): {weak.promise}"]


async def test_a_kernel_of_its_own_holds_what_strict_does(rig: Rig, engine: Engine) -> None:
    info = await engine.call(lambda client: client.info())
    runtime = next((name for name in _KERNELS if name in info["Runtimes"]), None)
    if runtime is None:
        known = ", ".join(sorted(info["Runtimes"]))
        pytest.skip(f"this engine has no OCI runtime with a kernel of its own; it has {known}")
    agent = rig.agent(profile="vm", runtime=runtime)
    async with rig.open(agent) as sandbox:
        (probe,) = sandbox.facts.probes
        session = await sandbox.start(agent)
        found = await tell(session, LOOK)
        kernel = await tell(session, "say(os.uname().release)")
        await session.close()
    assert probe["broken"] == []
    assert kernel != info["KernelVersion"]
    # Other kernels have other words for it.
    for name in ("run_from_tmp", "write_to_root", "shared_memory"):
        assert found[name].endswith("Error"), name
    assert found["addresses"] == ["lo"]
    assert found["uid"] >= 20_000


async def own_image(rig: Rig, engine: Engine, profile: str, folder: str) -> SandboxAgent:
    """An agent that the user's own image holds, in ``folder``."""
    base = await ensure_default_base(engine, cache_dir=rig.cache_dir, listener=rig.events.append)
    context = rig.folder / "context"
    context.mkdir(exist_ok=True)
    (context / "agent.py").write_text(OBEDIENT)
    lines = [f"FROM {base['Id']}", "COPY agent.py /app/agent.py", "RUN chmod 0700 /app/agent.py"]
    (context / "Dockerfile").write_text("\n".join([*lines, f"WORKDIR {folder}", ""]))
    agent = rig.agent("python3 -u agent.py" if folder == "/app" else "python3 -u /app/agent.py")
    limits = agent.sandbox.model_copy(
        update={"profile": profile, "build": BuildConfig(context=Path("context"))}
    )
    return replace(agent, sandbox=limits, source=None)


async def test_compat_makes_the_own_directory_of_an_own_image_writable(
    rig: Rig, engine: Engine
) -> None:
    agent = await own_image(rig, engine, "compat", "/app")
    async with rig.open(agent) as sandbox:
        session = await sandbox.start(agent)
        wrote = await tell(
            session, "open('/app/beside', 'w').write('x'); say([os.getcwd(), os.listdir()])"
        )
        await session.close()
        again = await sandbox.start(agent)
        assert await tell(again, "say(os.listdir('/app'))") == ["agent.py"]
        await again.close()
    assert wrote[0] == "/app"
    assert sorted(wrote[1]) == ["agent.py", "beside"]
