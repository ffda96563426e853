"""Finds out whether the engine keeps what the profiles ask for.

Engines ignore options that they do not know, and the read-back of ``docker inspect`` only repeats
the question. So before the first case a container looks around from within a real lane, once for
every distinct profile and limits that agents have; a promise that does not hold stops the run.
"""

import asyncio
import json
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from importlib import resources
from typing import Any

from pacabench.aio import finish
from pacabench.config.schema import SandboxConfig
from pacabench.errors import SandboxError, SandboxUnavailableError, WeakSandboxError
from pacabench.model import ExitFacts
from pacabench.proxy.control import LANE_PORT
from pacabench.sandbox.base import SandboxAgent, Weakness
from pacabench.sandbox.docker.lanes import Lane
from pacabench.sandbox.docker.profile import WORK_DIR, AgentBox
from pacabench.sandbox.docker.promises import broken_promises
from pacabench.sandbox.docker.session import DockerSession

PROBE_WITHIN_S = 60.0
_SHOWN_CHARS = 500
_TRIES = 3
"""A lane or a container that went down under a probe says nothing of what the engine promises."""
_TELLING = ("profile", "runtime", "memory", "cpus", "pids", "tmp_size")
"""Settings that change what a probe finds."""

MakeBox = Callable[[Lane, str | None], AgentBox]
OpenProbe = Callable[[MakeBox, SandboxConfig], Coroutine[Any, Any, DockerSession]]
"""Starts a container in a lane of its own, as an agent's is started."""


@dataclass(frozen=True, slots=True)
class Probe:
    """What one container found, for all agents that are kept as it was."""

    agents: Sequence[str]
    limits: SandboxConfig
    took_ms: float
    """From the wish for a lane to the container's removal."""
    found: dict[str, Any] = field(default_factory=dict)
    broken: Sequence[str] = ()

    def as_record(self) -> dict[str, Any]:
        """As the manifest keeps it."""
        settings = {name: getattr(self.limits, name) for name in _TELLING}
        return {
            "agents": list(self.agents),
            **settings,
            "took_ms": self.took_ms,
            "broken": list(self.broken),
            "found": self.found,
        }


async def probe_all(
    agents: Sequence[SandboxAgent], image: str, open_probe: OpenProbe, *, host_kernel: str
) -> list[Probe]:
    """Look around once for each distinct way in which ``agents`` are kept.

    Raises:
        SandboxUnavailableError: a probe cannot run.
    """
    groups: dict[tuple[Any, ...], list[SandboxAgent]] = {}
    for agent in agents:
        key = tuple(getattr(agent.sandbox, name) for name in _TELLING)
        groups.setdefault(key, []).append(agent)
    try:
        async with asyncio.TaskGroup() as group:
            probing = [
                group.create_task(_probe(members, image, open_probe, host_kernel))
                for members in groups.values()
            ]
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from errors
    return [task.result() for task in probing]


async def _probe(
    agents: Sequence[SandboxAgent], image: str, open_probe: OpenProbe, host_kernel: str
) -> Probe:
    names, limits = [agent.name for agent in agents], agents[0].sandbox

    def make_box(lane: Lane, _: str | None) -> AgentBox:
        return AgentBox(
            image=image,
            command=probe_command(),
            env={},
            work_dir=WORK_DIR,
            tmpfs=[WORK_DIR],
            limits=limits,
            holder=lane.holder,
            uid=lane.uid,
        )

    started = time.monotonic()
    for tries_left in reversed(range(_TRIES)):
        try:
            line, end, uid = await _look(open_probe, make_box, limits)
        except (SandboxError, TimeoutError) as error:
            if tries_left and isinstance(error, SandboxError):
                continue
            raise SandboxUnavailableError(
                f"the sandbox could not be probed (profile {limits.profile}): "
                f"{error or f'no answer within {PROBE_WITHIN_S:.0f} s'}"
            ) from error
        if (found := read_probe(line)) is not None:
            break
    took_ms = round((time.monotonic() - started) * 1000, 1)
    if found is None:
        said = end.stderr_tail[-_SHOWN_CHARS:].strip() or "not even an error"
        broken = [f"the probing container said nothing usable ({said})"]
        return Probe(names, limits, took_ms, {}, broken)
    broken = broken_promises(found, limits, uid=uid, host_kernel=host_kernel)
    return Probe(names, limits, took_ms, found, broken)


async def _look(
    open_probe: OpenProbe, make_box: MakeBox, limits: SandboxConfig
) -> tuple[bytes | None, ExitFacts, int]:
    """What one probing container said, how it ended, and which user it was.

    Raises:
        SandboxError: it, or its lane, went down.
        TimeoutError: it says nothing.
    """
    session = await open_probe(make_box, limits)
    try:
        async with asyncio.timeout(PROBE_WITHIN_S):
            line = await session.read_line()
    finally:
        end = await finish(session.close())
    return line, end, session.uid


def probe_command() -> list[str]:
    """What the probing container runs."""
    script = resources.files(__package__).joinpath("probe_script.py").read_text(encoding="utf-8")
    return ["python3", "-I", "-S", "-c", script, str(LANE_PORT)]


def read_probe(line: bytes | None) -> dict[str, Any] | None:
    """What the probing container printed; None when that is of no use."""
    try:
        found = json.loads(line or b"")
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def weaknesses(probes: Sequence[Probe], *, allowed: bool) -> list[Weakness]:
    """The promises that do not hold.

    Raises:
        WeakSandboxError: there are some, and they are not ``allowed``.
    """
    weak = [Weakness(probe.agents, promise) for probe in probes for promise in probe.broken]
    if weak and not allowed:
        several = len(probes) > 1
        whose = [f" [{', '.join(it.agents)}]" if several else "" for it in weak]
        said = "; ".join(it.promise + who for it, who in zip(weak, whose, strict=True))
        raise WeakSandboxError(
            f"this engine does not keep what the sandbox promises: {said}. Agents that you do not "
            "trust must not run here: update the engine or use another one. For agents that you "
            "do trust, --allow-weak-sandbox goes on, and the run says so wherever it is shown"
        )
    return weak
