"""Agents in hardened throwaway containers, each in a lane whose only way out is the sidecar."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

from pacabench.aio import finish, together
from pacabench.config.schema import SandboxConfig
from pacabench.errors import ImageError, SandboxError, SandboxUnavailableError
from pacabench.events import Notice, Preparing
from pacabench.proxy.control import LANE_PORT, WEB_PORT
from pacabench.proxy.terms import FREE, Terms
from pacabench.sandbox.base import (
    AgentProfile,
    Sandbox,
    SandboxAgent,
    SandboxContext,
    SandboxFacts,
    Session,
)
from pacabench.sandbox.docker.engine import Engine, open_engine
from pacabench.sandbox.docker.images.agent import AgentImage, ensure_agent_image
from pacabench.sandbox.docker.images.sidecar import ensure_sidecar_image
from pacabench.sandbox.docker.keeper import KeeperRecipe
from pacabench.sandbox.docker.labels import Role, RunLabels
from pacabench.sandbox.docker.lanes import Lane
from pacabench.sandbox.docker.oci import check_runtimes
from pacabench.sandbox.docker.probe import MakeBox, probe_all, weaknesses
from pacabench.sandbox.docker.profile import AgentBox, agent_container, profile_of
from pacabench.sandbox.docker.runtime import RuntimePlan
from pacabench.sandbox.docker.service import ServicePlan
from pacabench.sandbox.docker.services import Services, plan_services
from pacabench.sandbox.docker.session import DockerSession, agent_command
from pacabench.sandbox.docker.sidecar_network import plan_network
from pacabench.sandbox.docker.supervisor import Supervisor, supervise
from pacabench.sandbox.docker.sweep import remove_session, sweep
from pacabench.sandbox.environment import agent_variables, virtual_key, web_variables
from pacabench.sandbox.teardown import see_out

_ORIGIN = f"http://127.0.0.1:{LANE_PORT}"
_WEB_ORIGIN = f"http://127.0.0.1:{WEB_PORT}"
_STARTS_PER_CORE = 2
"""With more starts at a time the engine gets slower, not faster."""

Alteration = Callable[[dict[str, Any]], dict[str, Any]]
"""Gets the body that an agent's container would be made with; returns the one that is used."""


@asynccontextmanager
async def open_docker_sandbox(context: SandboxContext) -> AsyncIterator[Sandbox]:
    """A sandbox on the engine that ``docker`` would use.

    What dead harnesses left is removed first, what live ones hold never. On exit everything that
    this sandbox made is gone, and what earlier ones of its run made, too.

    Raises:
        EngineUnreachableError: no engine answers.
        ImageError: an image is missing and cannot be made.
        WeakSandboxError: the engine does not keep a promise.
        SandboxUnavailableError: the sidecar cannot be started.
    """
    labels = RunLabels(context.run_id, str(context.run_dir), context.owner)
    async with open_engine() as engine:
        swept = await sweep(engine, listener=context.listener)
        info = await engine.info()
        api_version = await engine.call(lambda client: str(client.api_version), repeatable=True)
        check_runtimes(context.agents, info, api_version)
        images = {agent.name: await _image(engine, agent, context) for agent in context.agents}
        services = {
            agent.name: await plan_services(engine, agent, context) for agent in context.agents
        }
        sidecar_image = await ensure_sidecar_image(
            engine, cache_dir=context.cache_dir, listener=context.listener
        )
        network = plan_network(context.providers, info, web=context.web)
        if network.notice is not None:
            context.listener(Notice("info", network.notice))
        plan = RuntimePlan(
            engine=engine,
            context=context,
            labels=labels,
            image=sidecar_image,
            network=network,
            most_lanes=context.concurrency,
        )
        try:
            async with supervise(plan) as supervisor:
                sandbox = DockerSandbox(plan, supervisor, images, info, services)
                _warn_of_unsafe(context)
                await sandbox.probe()
                await sandbox.try_services()
                yield sandbox
            if any(leftover.run_id == context.run_id for leftover in swept):
                # What could not be saved at the start may be by now.
                await sweep(engine, listener=context.listener, run_id=context.run_id)
        finally:
            await finish(remove_session(engine, labels))


def _warn_of_unsafe(context: SandboxContext) -> None:
    for agent in context.agents:
        if agent.sandbox.profile == "unsafe":
            text = f"agent {agent.name!r} runs with profile `unsafe`: as root, with no filter of "
            text += "system calls and a writable root file system. For debugging alone."
            context.listener(Notice("danger", text))


async def _image(engine: Engine, agent: SandboxAgent, context: SandboxContext) -> AgentImage:
    image = await ensure_agent_image(
        engine, agent, cache_dir=context.cache_dir, listener=context.listener
    )
    needed = PurePosixPath(image.source_dir or image.workdir)
    for volume in image.volumes:
        if needed.is_relative_to(volume):
            raise ImageError(
                f"agent {agent.name!r}: its image declares VOLUME {volume}, which is replaced by "
                f"an empty directory and so hides {needed}; remove the VOLUME, or build the image "
                "with another WORKDIR"
            )
    if agent.leaves_files and not image.writable:
        raise ImageError(
            f"agent {agent.name!r}: an evaluator wants `files` that it leaves, and it cannot write "
            f"to its work directory, {image.workdir} of its image; give it `source`, or "
            "`sandbox.profile: compat`"
        )
    return image


class DockerSandbox:
    """Starts agents as containers."""

    def __init__(
        self,
        plan: RuntimePlan,
        supervisor: Supervisor,
        images: Mapping[str, AgentImage],
        info: Mapping[str, Any],
        services: Mapping[str, Sequence[ServicePlan]] | None = None,
    ) -> None:
        self._plan = plan
        self._supervisor = supervisor
        self._images = images
        self._host_kernel = str(info.get("KernelVersion"))
        self._mapped = maps_users(info)
        self._services = services or {}
        self._starts = asyncio.Semaphore(_STARTS_PER_CORE * int(info.get("NCPU") or 1))
        self._facts = SandboxFacts(
            kind="docker",
            engine=describe_engine(info),
            engine_id=str(info.get("ID") or ""),
            engine_version=str(info.get("ServerVersion") or ""),
            image_digests={
                **{name: image.id for name, image in images.items()},
                **{
                    f"{name}/{service.config.name}": service.image.id
                    for name, of_agent in (services or {}).items()
                    for service in of_agent
                },
                "sidecar": plan.image,
            },
            profiles={
                agent.name: AgentProfile(agent.sandbox.profile, agent.sandbox.runtime)
                for agent in plan.context.agents
            },
        )

    @property
    def facts(self) -> SandboxFacts:
        """For the manifest."""
        return self._facts

    async def start(self, agent: SandboxAgent) -> Session:
        """See :meth:`pacabench.sandbox.base.Sandbox.start`."""
        return await self._start(
            agent, agent.config.command, Role.AGENT, self._services.get(agent.name, ())
        )

    async def run_teardown(self, agent: SandboxAgent) -> None:
        """See :meth:`pacabench.sandbox.base.Sandbox.run_teardown`."""
        command = agent.config.teardown
        if command is None:
            return
        try:
            session = await self._start(agent, command, Role.TEARDOWN)
            problem = await see_out(session)
        except SandboxError as error:
            problem = str(error)
        if problem is None:
            return
        self._plan.context.listener(
            Notice("warning", f"teardown of agent {agent.name!r} failed: {problem}")
        )

    async def probe(self) -> None:
        """Look around from within lanes, before any agent does; goes into the facts.

        Raises:
            WeakSandboxError: a promise does not hold, and the user did not allow that.
            SandboxUnavailableError: the probe cannot run.
        """
        context = self._plan.context
        probes = await probe_all(
            context.agents, self._plan.image, self._open_probe, host_kernel=self._host_kernel
        )
        weak = weaknesses(probes, allowed=context.allow_weak)
        for it in weak:
            text = f"not held as promised ({', '.join(it.agents)}): {it.promise}"
            context.listener(Notice("danger", text))
        self._facts = replace(
            self._facts, probes=[probe.as_record() for probe in probes], weaknesses=weak
        )

    async def _open_probe(self, make_box: MakeBox, limits: SandboxConfig) -> DockerSession:
        rooted = not profile_of(limits).own_user
        return await self.open(make_box, Role.PROBE, doing="probing the sandbox", rooted=rooted)

    async def try_services(self) -> None:
        """Start every agent's services once, before any case, and remove them again.

        Raises:
            SandboxUnavailableError: some do not become ready; they would fail every case.
        """
        for name, services in self._services.items():
            if not services:
                continue
            self._plan.context.listener(Preparing(f"trying the services of agent {name}"))
            _, _, session = await self._enter(
                services, rooted=not profile_of(services[0].limits).own_user
            )
            try:
                await session.start_services(self._plan.labels.of(Role.SERVICE))
            except SandboxError as error:
                raise SandboxUnavailableError(f"no case can be served: {error}") from error
            finally:
                await finish(session.close())

    async def _start(
        self,
        agent: SandboxAgent,
        command: str,
        role: Role,
        services: Sequence[ServicePlan] = (),
    ) -> DockerSession:
        # A teardown is no case, and takes none.
        folder = self._files_dir(agent) if role is Role.AGENT and agent.takes_files else None
        session = await self.open(
            lambda lane, key: self._box(agent, command, lane, key, files_dir=folder),
            role,
            services,
            doing=f"starting agent {agent.name!r}",
            rooted=not profile_of(agent.sandbox).own_user,
            allow=agent.sandbox.allowed_web,
            terms=self._plan.context.terms_of(agent),
            keeps=role is Role.AGENT and agent.leaves_files,
        )
        session.files_dir = folder or ""
        return session

    def _files_dir(self, agent: SandboxAgent) -> str:
        """Below the work directory, or below /tmp where that is read-only."""
        image = self._images[agent.name]
        above = image.workdir.rstrip("/") if image.writable else "/tmp"  # noqa: S108
        return f"{above}/{agent.files_folder}"

    async def open(
        self,
        make_box: MakeBox,
        role: Role,
        services: Sequence[ServicePlan] = (),
        *,
        doing: str,
        rooted: bool = False,
        allow: Sequence[str] = (),
        terms: Terms = FREE,
        keeps: bool = False,
        alter: Alteration | None = None,
    ) -> DockerSession:
        """Start a container in a free lane; ``make_box`` gets the lane and the virtual key.

        ``rooted``: its agent runs as root, and so needs a lane that no other agent comes into.
        ``allow``: what of the web it may reach. ``terms``: what its calls are held to.
        ``keeps``: its work directory outlives it, until the session is closed.
        Only the audit gives ``alter``: its positive controls take one protection away.

        Raises:
            SandboxError, SandboxUnavailableError: as :meth:`start`.
        """
        labels = self._plan.labels
        lane, key, session = await self._enter(services, allow, terms, rooted=rooted)
        try:
            box = make_box(lane, key)
            if keeps:
                box = replace(box, kept=await finish(session.make_keeper(self._keeper_of(box))))
            body = agent_container(box, labels.of(role))
            body = alter(body) if alter is not None else body
            # Started last: nobody is in the lane who could get in the way of a service.
            await together(
                self._in_turn(lambda: session.create(body, doing=doing)),
                self._in_turn(session.start_keeper) if keeps else asyncio.sleep(0),
                session.start_services(labels.of(Role.SERVICE)),
            )
            await self._in_turn(lambda: session.run(doing=doing))
        except BaseException:
            await finish(session.close())
            raise
        return session

    def _keeper_of(self, box: AgentBox) -> KeeperRecipe:
        return KeeperRecipe(
            image=self._plan.image,
            labels=self._plan.labels.of(Role.KEEPER),
            size_bytes=box.limits.tmp_size,
            uid=box.uid if profile_of(box.limits).own_user else 0,
            mapped=self._mapped,
        )

    async def _enter(
        self,
        services: Sequence[ServicePlan],
        allow: Sequence[str] = (),
        terms: Terms = FREE,
        *,
        rooted: bool,
    ) -> tuple[Lane, str | None, DockerSession]:
        """A lane, its virtual key, and a session in it that has nothing started yet."""
        runtime = await self._supervisor.runtime()
        lane = await runtime.lanes.acquire(rooted=rooted)
        key = virtual_key() if self._plan.context.providers else None
        # Without a provider nobody is told of a key, but an attempt is bound by one all the same.
        bound_by = key or (virtual_key() if allow else None)
        engine = self._plan.engine
        beside = Services(engine, services, self._starts)
        return lane, key, DockerSession(engine, runtime, lane, bound_by, beside, allow, terms)

    async def _in_turn(self, start: Callable[[], Coroutine[Any, Any, None]]) -> None:
        async with self._starts:
            await finish(start())

    def _box(
        self,
        agent: SandboxAgent,
        command: str,
        lane: Lane,
        key: str | None,
        *,
        files_dir: str | None,
    ) -> AgentBox:
        image = self._images[agent.name]
        return AgentBox(
            image=image.id,
            command=agent_command(command, image.source_dir, files_dir),
            env={
                "HOME": image.workdir if image.writable else "/tmp",  # noqa: S108 - inside
                "USER": "agent",
                "LANG": "C.UTF-8",
                "PYTHONUNBUFFERED": "1",
                **agent_variables(
                    agent.env,
                    origin=_ORIGIN if key else None,
                    key=key or "",
                    providers=self._plan.context.providers,
                ),
                **(web_variables(_WEB_ORIGIN) if agent.sandbox.allowed_web else {}),
            },
            work_dir=image.workdir,
            tmpfs=[*([image.workdir] if image.writable else []), *image.volumes],
            limits=agent.sandbox,
            holder=lane.holder,
            uid=lane.uid,
        )


def maps_users(info: Mapping[str, Any]) -> bool:
    """Whether the engine gives the users of containers other numbers outside (userns-remap)."""
    return any("name=userns" in str(option) for option in info.get("SecurityOptions") or ())


def describe_engine(info: Mapping[str, Any]) -> str:
    """The engine in one line, for the manifest."""
    return (
        f"Docker {info.get('ServerVersion')}, {info.get('OperatingSystem')}, "
        f"kernel {info.get('KernelVersion')}, {info.get('Architecture')}"
    )
