"""An agent's services: fresh for each session, in its lane, ready before it starts, gone with it.

The agent is started after the last of them is ready. So no program in the lane but theirs can
answer a health check, take a service's port before it, or crash because one is not there yet.
"""

import asyncio
from collections.abc import Awaitable, Iterable, Mapping, Sequence

from pacabench.aio import finish, first_of, together
from pacabench.errors import SandboxError
from pacabench.sandbox.base import SandboxAgent, SandboxContext
from pacabench.sandbox.docker.engine import Engine
from pacabench.sandbox.docker.execution import executing
from pacabench.sandbox.docker.images.service import ensure_service_image
from pacabench.sandbox.docker.lanes import Lane
from pacabench.sandbox.docker.service import Service, ServicePlan
from pacabench.store.names import service_log_name

_PORT_WATCH = """
import select, socket, sys, time
sys.stdin.readline()
missing = [int(port) for port in sys.argv[1:]]
while missing:
    for port in list(missing):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            continue
        missing.remove(port)
        print(port, flush=True)
    if missing and select.select([sys.stdin], [], [], 0.05)[0]:
        break
"""
"""Runs in the lane's holder, which is ours, and so needs nothing in the service's image. Says which
port takes connections, each when it does. Ends with its stdin."""


async def plan_services(
    engine: Engine, agent: SandboxAgent, context: SandboxContext
) -> list[ServicePlan]:
    """What ``agent``'s services are made from; their images are there then.

    Raises:
        ImageError: one cannot be had.
    """
    return [
        ServicePlan(
            agent=agent.name,
            config=service,
            image=await ensure_service_image(
                engine, agent, service, cache_dir=context.cache_dir, listener=context.listener
            ),
            env=agent.service_env.get(service.name, {}),
            limits=agent.sandbox.model_copy(
                update={
                    "memory": service.memory,
                    "cpus": service.cpus,
                    "pids": service.pids,
                    "tmp_size": service.tmp_size,
                }
            ),
            log=context.run_dir / "logs" / service_log_name(agent.name, service.name),
        )
        for service in agent.config.services
    ]


class Services:
    """All services of one session; none for most agents."""

    def __init__(
        self, engine: Engine, plans: Sequence[ServicePlan], starts: asyncio.Semaphore
    ) -> None:
        self._engine = engine
        self._starts = starts
        self._all = [Service(engine, plan) for plan in plans]

    async def start(self, lane: Lane, labels: Mapping[str, str], key: str | None) -> None:
        """Start every one in ``lane``, and wait until all are ready. :meth:`remove` them then.

        ``key`` is the session's virtual key. A place in ``starts`` is held for each start alone
        and never while one waits, so that sessions cannot wait for each other.

        Raises:
            SandboxError: one cannot be started, ended, or is not ready in time.
            SandboxUnavailableError: an image lacks what is needed to run anything.
        """
        starting = [
            self._start_one(service, lane, lane.uid + number, labels, key)
            for number, service in enumerate(self._all, start=1)
        ]
        await together(*starting, self._watch_ports(lane))

    async def _start_one(
        self,
        service: Service,
        lane: Lane,
        uid: int,
        labels: Mapping[str, str],
        key: str | None,
    ) -> None:
        async with self._starts:
            await finish(service.open(service.plan.box(lane, uid=uid, key=key), labels))
        await service.wait_ready()

    async def _watch_ports(self, lane: Lane) -> None:
        """Tell services that wait for a port when it takes connections."""
        waiting = {
            service.plan.config.healthcheck.tcp: service
            for service in self._all
            if service.plan.config.healthcheck.tcp is not None
        }
        if not waiting:
            return
        command = ["python3", "-I", "-S", "-c", _PORT_WATCH, *map(str, waiting)]
        async with executing(self._engine, lane.holder, command) as execution:
            said = b""
            while (line := await execution.stream.read_line()) is not None:
                said = line
                if line.isdigit() and int(line) in waiting:
                    waiting.pop(int(line)).listening.set()
        if waiting:
            why = said.decode(errors="replace") + execution.stream.stderr_tail
            raise SandboxError(f"a lane cannot be watched for services: {why[-500:].strip()}")

    async def wait_trouble(self) -> str:
        """Wait until one of them ends by itself; what happened. Without any it waits for ever."""
        fallen: list[str] = []

        async def watch(service: Service) -> None:
            try:
                end = await service.wait_ended()
            except SandboxError as error:
                fallen.append(f"{service.plan.title}: {error}")
            else:
                fallen.append(service.describe(end))

        if not self._all:
            await asyncio.Event().wait()
        await first_of(*(watch(service) for service in self._all))
        return fallen[0]

    async def check(self) -> None:
        """Make sure that all of them run.

        Raises:
            SandboxError: one does not, or the engine does not tell.
        """
        await _all_well(service.trouble() for service in self._all)

    async def end(self) -> None:
        """End all, in the middle of a case.

        Raises:
            SandboxError: one had ended by itself.
        """
        await _all_well(service.end() for service in self._all)

    async def remove(self) -> None:
        """Remove every one, whatever became of it. Idempotent.

        Raises:
            SandboxError: one cannot be removed.
        """
        ended = await asyncio.gather(
            *(service.remove() for service in self._all), return_exceptions=True
        )
        for error in ended:
            if error is not None:
                raise error


async def _all_well(asked: Iterable[Awaitable[str | None]]) -> None:
    for trouble in await asyncio.gather(*asked, return_exceptions=True):
        if isinstance(trouble, BaseException):
            raise trouble
        if trouble is not None:
            raise SandboxError(f"{trouble}, in the middle of a case")
