"""One sidecar with its volume and its lanes, from start to removal."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from pacabench.aio import finish
from pacabench.errors import SandboxError
from pacabench.events import Notice
from pacabench.proxy.control import LANE_PORT, WEB_PORT, Configure, ProviderSpec
from pacabench.proxy.spool import read_egress, read_spool
from pacabench.proxy.tape_link import replay_rules
from pacabench.sandbox.base import SandboxContext
from pacabench.sandbox.docker import containers
from pacabench.sandbox.docker.attach import attach
from pacabench.sandbox.docker.engine import Engine
from pacabench.sandbox.docker.labels import Role, RunLabels
from pacabench.sandbox.docker.lanes import HolderRecipe, LanePool
from pacabench.sandbox.docker.profile import sidecar_container
from pacabench.sandbox.docker.sidecar import Sidecar, log_writer
from pacabench.sandbox.docker.sidecar_network import (
    SidecarNetwork,
    machine_addresses,
    make_network,
    remove_network,
)
from pacabench.sandbox.docker.spool import fetch_spool
from pacabench.sandbox.docker.volume import make_volume, remove_volume

_NOBODY = ProviderSpec("nobody", "scripted")
"""Stands in where the proxy is off: no agent gets a key for it, so every call is refused."""


@dataclass(frozen=True, slots=True)
class RuntimePlan:
    """What a runtime is made of. The same for each one of a run."""

    engine: Engine
    context: SandboxContext
    labels: RunLabels
    image: str
    """Of the sidecar and the lane holders."""
    network: SidecarNetwork
    most_lanes: int


@dataclass(eq=False, slots=True)
class Runtime:
    """A running sidecar and its lanes."""

    sidecar: Sidecar
    lanes: LanePool
    salvaged: asyncio.Event
    """Set when all that a dead sidecar had noted was delivered."""


@asynccontextmanager
async def open_runtime(plan: RuntimePlan) -> AsyncIterator[Runtime]:
    """A sidecar that serves, and no lane yet. Everything is removed at the end.

    When the sidecar was lost meanwhile, the calls that it had noted for bound attempts are
    delivered before the end.

    Raises:
        SandboxError: the sidecar cannot be started.
    """
    engine, role = plan.engine, Role.SIDECAR
    network: str | None = None
    volume: str | None = None
    container = ""
    try:
        if plan.network.kind == "bridge" and plan.network.existing is None:
            network = await finish(make_network(engine, plan.labels))
        volume = await finish(make_volume(engine, plan.labels))
        body = sidecar_container(
            image=plan.image,
            command=["python3", "-m", "pacabench.proxy.sidecar"],
            volume=volume,
            network=network or plan.network.existing or plan.network.kind,
            hosts=plan.network.hosts,
            labels=plan.labels.of(role),
        )
        container = await finish(containers.create(engine, body, doing="making the sidecar"))
        async with _serving(plan, container, volume) as runtime:
            yield runtime
    finally:
        await finish(_remove_all(engine, container, volume, network))


@asynccontextmanager
async def _serving(plan: RuntimePlan, container: str, volume: str) -> AsyncIterator[Runtime]:
    context = plan.context
    log = context.run_dir / "logs" / "sidecar.log"
    log.parent.mkdir(exist_ok=True)
    attachment = await attach(plan.engine, container, on_stderr=log_writer(log))
    sidecar = Sidecar(attachment, context)
    ports = [LANE_PORT, WEB_PORT] if context.web else [LANE_PORT]
    recipe = HolderRecipe(plan.image, volume, plan.labels.of(Role.LANE), ports)
    lanes = LanePool(plan.engine, sidecar, recipe, most=plan.most_lanes)
    runtime = Runtime(sidecar, lanes, asyncio.Event())
    try:
        async with sidecar:
            await containers.start(plan.engine, container, doing="starting the sidecar")
            await sidecar.configure(_configuration(plan))
            try:
                yield runtime
            finally:
                await finish(_end(plan, runtime, container))
    finally:
        runtime.salvaged.set()
        await finish(lanes.close())
        await finish(attachment.close())


def _configuration(plan: RuntimePlan) -> Configure:
    context = plan.context
    providers = list(plan.network.providers)
    return Configure(
        providers or [_NOBODY],
        context.default_provider if providers else _NOBODY.name,
        context.patience,
        context.live_waits,
        refused=machine_addresses() if context.web else [],
        keeping=context.tapes.keeping,
        replay=replay_rules(context.tapes),
    )


async def _end(plan: RuntimePlan, runtime: Runtime, container: str) -> None:
    """End the sidecar in good order; where that fails, fetch what it had noted."""
    died = runtime.sidecar.lost.is_set()
    if not died:
        await runtime.sidecar.shut_down()
    if died or not runtime.sidecar.lost.is_set():
        try:
            await containers.kill(plan.engine, container)
            await _salvage(plan, runtime, container)
        except (SandboxError, OSError) as error:
            text = f"calls that a dead sidecar had noted may be missing: {error}"
            plan.context.listener(Notice("warning", text))


async def _salvage(plan: RuntimePlan, runtime: Runtime, container: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "spool"
        if await fetch_spool(plan.engine, container, path):
            calls = await asyncio.to_thread(read_spool, path)
            runtime.sidecar.deliver_missing([*calls, *await asyncio.to_thread(read_egress, path)])


async def _remove_all(
    engine: Engine, container: str, volume: str | None, network: str | None
) -> None:
    if container:
        await containers.remove(engine, container)
    if volume is not None:
        await remove_volume(engine, volume)
    if network is not None:
        await remove_network(engine, network)
