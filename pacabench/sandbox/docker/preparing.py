"""A data set's ``prepare`` in a container: held as agents are, with no lane and no provider.

What it works on is a volume of its own. A keeper puts the files in before it starts, and takes
those that are wanted out when its container is gone.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pacabench.aio import finish
from pacabench.config.prepare import PrepareConfig
from pacabench.config.schema import AgentConfig, SandboxConfig
from pacabench.errors import SandboxError, SandboxUnavailableError, WeakSandboxError
from pacabench.events import Listener, Notice
from pacabench.left_files import Wanted
from pacabench.owner import current_owner
from pacabench.sandbox.base import SandboxAgent
from pacabench.sandbox.docker import containers
from pacabench.sandbox.docker.attach import attach
from pacabench.sandbox.docker.containers import End
from pacabench.sandbox.docker.engine import Engine, open_engine
from pacabench.sandbox.docker.images.agent import ensure_agent_image
from pacabench.sandbox.docker.images.sidecar import ensure_sidecar_image
from pacabench.sandbox.docker.images.steps import proxy_arguments
from pacabench.sandbox.docker.keeper import Keeper, KeeperRecipe, open_keeper
from pacabench.sandbox.docker.labels import Role, RunLabels
from pacabench.sandbox.docker.probe import PROBE_WITHIN_S, probe_command, read_probe
from pacabench.sandbox.docker.profile import PREPARE_UID, prepare_container
from pacabench.sandbox.docker.promises import broken_promises_of_prepare
from pacabench.sandbox.docker.sandbox import maps_users
from pacabench.sandbox.docker.sweep import remove_session, sweep
from pacabench.sandbox.kept import KeeperError, save

AREA = "/work"
PROJECT = "project"
"""Below :data:`AREA`: the directory that the command runs in."""
_ENDS_WITHIN_S = 30.0
_SHOWN_BYTES = 500


@dataclass(frozen=True, slots=True)
class Preparation:
    """One command, and what it is given."""

    name: str
    """Of the data set."""
    config: PrepareConfig
    project: Path
    requirements: Path | None
    files: Sequence[tuple[str, Path | None]]
    """Name below :data:`AREA`, and where it lies; None: a directory."""
    data: str
    """Below :data:`AREA`: what ``PACABENCH_DATASET_PATH`` names."""
    wanted: Wanted


@dataclass(frozen=True, slots=True)
class Ran:
    """How it went."""

    end: End | None
    """None: it did not end in time, and was killed."""
    left_out: Sequence[str] = ()


async def run_preparation(
    preparation: Preparation,
    into: Path,
    *,
    cache_dir: Path,
    listener: Listener,
    hear: Callable[[bytes], None],
    allow_weak: bool = False,
) -> Ran:
    """Run the command; where it ends well, what is wanted is in the directory ``into`` on return.

    A container of the same form looks around first: what an engine does not keep from it, it would
    not keep from the command. ``hear`` gets its output as it comes. Cancelled, it leaves nothing on
    the engine.

    Raises:
        EngineUnreachableError: no engine answers.
        WeakSandboxError: the engine does not keep a promise, and the user did not allow that.
        ImageError: its image cannot be made.
        SandboxError: it cannot be run, or its files not be taken.
        OSError: a file cannot be read or written.
    """
    labels = RunLabels(f"prepare of {preparation.name}", "", current_owner())
    async with open_engine() as engine:
        await sweep(engine, listener=listener)
        info = await engine.info()
        agent = image_of(
            preparation.name, preparation.config, preparation.requirements, preparation.project
        )
        image = await ensure_agent_image(engine, agent, cache_dir=cache_dir, listener=listener)
        recipe = KeeperRecipe(
            image=await ensure_sidecar_image(engine, cache_dir=cache_dir, listener=listener),
            labels=labels.of(Role.KEEPER),
            size_bytes=preparation.config.size,
            uid=PREPARE_UID,
            mapped=maps_users(info),
            spool_dir=cache_dir,
        )
        try:
            keeper = await open_keeper(engine, recipe)
            try:
                await keeper.put(preparation.files)
                place = _Place(keeper.volume, labels.of(Role.PREPARE))
                weak = await _probe(engine, preparation, recipe.image, place, info)
                _judge(weak, listener, allowed=allow_weak)
                ran = await _run(engine, preparation, _body(preparation, image.id, place), hear)
                if ran.end is None or ran.end.exit_code:
                    return ran
                return Ran(ran.end, await _take(keeper, preparation.wanted, into))
            finally:
                await finish(keeper.close())
        finally:
            await finish(remove_session(engine, labels))


def image_of(
    name: str, config: PrepareConfig, requirements: Path | None, project: Path
) -> SandboxAgent:
    """What the image for data set ``name`` is made of: a base, and requirements."""
    return SandboxAgent(
        config=AgentConfig(name=f"prepare of {name}", command=config.command),
        sandbox=SandboxConfig(image=config.image),
        env={},
        source=None,
        requirements=requirements,
        project=project,
    )


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a preparation's containers are."""

    volume: str
    labels: Mapping[str, str]


async def _probe(
    engine: Engine,
    preparation: Preparation,
    image: str,
    place: _Place,
    info: Mapping[str, Any],
) -> list[str]:
    """What the command could do that is promised not to be; ``image`` is ours.

    Raises:
        SandboxUnavailableError: it cannot be found out.
    """
    said = bytearray()
    looking = replace(
        preparation,
        config=preparation.config.model_copy(update={"timeout_seconds": PROBE_WITHIN_S}),
    )
    body = {**_body(looking, image, place), "Entrypoint": probe_command()}
    try:
        ran = await _run(engine, looking, body, said.extend)
    except SandboxError as error:
        raise SandboxUnavailableError(f"prepare's sandbox could not be probed: {error}") from error
    found = read_probe(bytes(said))
    if found is None or ran.end is None or ran.end.exit_code:
        raise SandboxUnavailableError(
            "prepare's sandbox could not be probed: the probe said nothing usable "
            f"({bytes(said[-_SHOWN_BYTES:])!r})"
        )
    return broken_promises_of_prepare(found, preparation.config, str(info.get("KernelVersion")))


def _judge(weak: Sequence[str], listener: Listener, *, allowed: bool) -> None:
    if weak and not allowed:
        raise WeakSandboxError(
            f"this engine does not keep what the sandbox promises: {'; '.join(weak)}. A prepare "
            "that you do not trust must not run here: update the engine or use another one. For "
            "one that you do trust, --allow-weak-sandbox goes on"
        )
    for promise in weak:
        listener(Notice("danger", f"not held as promised (prepare): {promise}"))


def _body(preparation: Preparation, image: str, place: _Place) -> dict[str, Any]:
    config = preparation.config
    online = proxy_arguments() if config.network == "engine" else {}
    env = {
        "HOME": "/tmp",  # noqa: S108 - inside the container
        "LANG": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",
        **online,
        **config.env,
        "PACABENCH_DATASET_PATH": f"{AREA}/{preparation.data}",
    }
    return prepare_container(
        image=image,
        command=["/bin/sh", "-c", f"exec 2>&1\n{config.command}"],
        env=env,
        volume=place.volume,
        area=AREA,
        work_dir=f"{AREA}/{PROJECT}",
        config=config,
        labels=place.labels,
    )


async def _run(
    engine: Engine,
    preparation: Preparation,
    body: Mapping[str, Any],
    hear: Callable[[bytes], None],
) -> Ran:
    doing = f"starting the prepare of data set {preparation.name!r}"
    container = await finish(containers.create(engine, body, doing=doing))
    attachment = None
    try:
        attachment = await attach(engine, container, on_stdout=hear)
        await finish(containers.start(engine, container, doing=doing))
        attachment.close_stdin()
        try:
            async with asyncio.timeout(preparation.config.timeout_seconds):
                await attachment.wait_ended()
        except TimeoutError:
            return Ran(None)
        if attachment.broke_off:
            raise SandboxError("the output of prepare broke off; the engine may have gone down")
        try:
            return Ran(await containers.read_end(engine, container, within_s=_ENDS_WITHIN_S))
        except TimeoutError:  # it closed its output and goes on
            return Ran(None)
    finally:
        await finish(containers.remove(engine, container))
        if attachment is not None:
            await finish(attachment.close())


async def _take(keeper: Keeper, wanted: Wanted, into: Path) -> Sequence[str]:
    source = await keeper.take_stream(wanted)
    try:
        return await asyncio.to_thread(save, source, wanted, into)
    except KeeperError as error:
        raise SandboxError(f"what prepare made cannot be taken: {error}") from error
