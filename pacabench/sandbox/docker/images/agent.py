"""The image of an agent: the user's own, or a base with requirements, setup and source on it."""

import asyncio
from dataclasses import dataclass
from pathlib import Path

from pacabench.errors import ImageError
from pacabench.events import Listener, Notice
from pacabench.sandbox.base import SandboxAgent
from pacabench.sandbox.docker.engine import Engine
from pacabench.sandbox.docker.images.base import ensure_default_base, ensure_user_image
from pacabench.sandbox.docker.images.build import find_image
from pacabench.sandbox.docker.images.requirements import requirements_step
from pacabench.sandbox.docker.images.resources import content_key
from pacabench.sandbox.docker.images.setup import setup_step
from pacabench.sandbox.docker.images.source import source_step
from pacabench.sandbox.docker.images.steps import (
    LAYOUT,
    RUN_USER,
    SOURCE_DIR,
    Inspect,
    Site,
    Step,
    built,
    tag_of,
    user_of,
)
from pacabench.sandbox.docker.images.user_build import ensure_user_build
from pacabench.sandbox.docker.images.workdir import WORKDIR_COPY, workdir_step
from pacabench.sandbox.docker.profile import WORK_DIR, profile_of


@dataclass(frozen=True, slots=True)
class AgentImage:
    """What containers of an agent are made from."""

    id: str
    """``sha256:...``: content and not name."""
    source_dir: str | None
    """What a container copies into its work directory; None when the code stays where the user's
    image has it."""
    workdir: str
    """Where the agent works: ``/work``, or the own directory of the user's image."""
    writable: bool
    """Whether the agent may write there."""
    volumes: tuple[str, ...]
    """Paths that the image declares as volumes: anonymous ones would be left behind."""


async def ensure_agent_image(
    engine: Engine, agent: SandboxAgent, *, cache_dir: Path, listener: Listener
) -> AgentImage:
    """The image of ``agent``; what is missing is built, what is there is not touched.

    The listener is told in the event loop's thread. Agents that share a step share its image, and
    calls at the same time, also from other processes, build it once.

    Raises:
        ImageError: it cannot be made; says which step failed, and how.
    """
    site = Site(engine, cache_dir, listener, f"agent {agent.name}")
    try:
        base = await _base(agent, site)
        steps = await asyncio.to_thread(_steps, agent, base)
        image = await _built(base, steps, site)
    except ImageError as error:
        raise ImageError(f"agent {agent.name!r}: {error}") from error
    except OSError as error:  # the cache directory; docker's errors are of this kind too
        raise ImageError(f"agent {agent.name!r}: its image cannot be made: {error}") from error
    settings = image.get("Config") or {}
    own = str(settings.get("WorkingDir") or "")
    copied = _copies_workdir(agent, base)
    if agent.source is None and profile_of(agent.sandbox).workdir_copied and own == "/":
        text = f"agent {agent.name!r}: its image's WORKDIR is /, which stays read-only"
        listener(Notice("warning", f"{text}; give it another one, or write to /tmp"))
    return AgentImage(
        id=str(image["Id"]),
        source_dir=SOURCE_DIR if agent.source is not None else WORKDIR_COPY if copied else None,
        workdir=WORK_DIR if agent.source is not None or not own else own,
        writable=agent.source is not None
        or copied
        or (profile_of(agent.sandbox).workdir_copied and not own),
        volumes=tuple(sorted(settings.get("Volumes") or ())),
    )


def _copies_workdir(agent: SandboxAgent, base: Inspect) -> bool:
    """Whether the user's image has a directory of its own that the agent is to write to."""
    own = str((base.get("Config") or {}).get("WorkingDir") or "")
    return (
        agent.source is None and profile_of(agent.sandbox).workdir_copied and own not in {"", "/"}
    )


async def _base(agent: SandboxAgent, site: Site) -> Inspect:
    if agent.sandbox.image is not None:
        return await ensure_user_image(
            site.engine, agent.sandbox.image, cache_dir=site.cache_dir, listener=site.listener
        )
    if agent.sandbox.build is not None:
        return await ensure_user_build(
            agent.sandbox.build, agent.project, site, network=agent.sandbox.network_of_builds
        )
    return await ensure_default_base(site.engine, cache_dir=site.cache_dir, listener=site.listener)


def _steps(agent: SandboxAgent, base: Inspect) -> list[Step]:
    """What goes on the base. Reads the whole source."""
    steps: list[Step] = []
    before = content_key(LAYOUT, base["Id"])
    user = user_of(base) or RUN_USER
    command, copied = agent.config.setup, _copies_workdir(agent, base)
    more = agent.source is not None or copied
    network = agent.sandbox.network_of_builds
    if agent.requirements is not None:
        last = not command and not more
        owner = user if last else None
        steps.append(requirements_step(before, agent.requirements, user=owner, network=network))
        before = steps[-1].key
    if command:
        steps.append(setup_step(before, command, user=None if more else user, network=network))
        before = steps[-1].key
    if copied:
        steps.append(workdir_step(before, user=user))
    if agent.source is not None:
        most = agent.sandbox.tmp_size
        steps.append(source_step(before, agent.source, agent.ignore, most_bytes=most, user=user))
    return steps


async def _built(base: Inspect, steps: list[Step], site: Site) -> Inspect:
    """The image of the last step. Those before it are only asked for when one is missing."""
    image, missing = base, list(steps)
    for position in range(len(steps), 0, -1):
        found = await find_image(site.engine, tag_of(steps[position - 1]))
        if found is not None:
            image, missing = found, steps[position:]
            break
    for step in missing:
        image = await built(step, image, site)
    return image
