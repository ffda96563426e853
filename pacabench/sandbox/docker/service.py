"""One service of one session: a container in the agent's lane, from create to removal."""

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pacabench.aio import first_of
from pacabench.config.schema import SandboxConfig
from pacabench.config.services import PROXY_PORTS, ServiceConfig
from pacabench.errors import SandboxError
from pacabench.providers import VIRTUAL_KEY
from pacabench.sandbox.docker import containers
from pacabench.sandbox.docker.attach import Attachment, attach
from pacabench.sandbox.docker.containers import SIGKILL, End
from pacabench.sandbox.docker.engine import Engine
from pacabench.sandbox.docker.execution import run_command
from pacabench.sandbox.docker.images.output import clean_line
from pacabench.sandbox.docker.images.service import ServiceImage
from pacabench.sandbox.docker.lanes import Lane
from pacabench.sandbox.docker.profile import AgentBox, service_container
from pacabench.sandbox.lines import Tail
from pacabench.store.files import open_regular, write_all

_OUTPUT_KEPT_BYTES = 16 * 1024
"""Of what a service wrote in one session; the last part."""
_LOG_LIMIT_BYTES = 2 * 1024**2
"""Of a service's log file. Then it is moved to ``.old``, in place of an older one."""
_QUOTED_LINES = 4
_NO_EXIT_SEEN_S = 365 * 86400.0
_KILLED_WITHIN_S = 30.0
_END_KNOWN_WITHIN_S = 5.0


@dataclass(frozen=True, slots=True)
class ServicePlan:
    """What the containers of one service of one agent are made from."""

    agent: str
    config: ServiceConfig
    image: ServiceImage
    env: Mapping[str, str]
    """Keys of providers already taken out."""
    limits: SandboxConfig
    log: Path

    @property
    def title(self) -> str:
        """For messages."""
        return f"service {self.config.name!r} of agent {self.agent!r}"

    def box(self, lane: Lane, *, uid: int, key: str | None) -> AgentBox:
        """One container of it, in ``lane``; ``key`` goes where its variables ask for it."""
        own = {name: value.replace(VIRTUAL_KEY, key or "") for name, value in self.env.items()}
        return AgentBox(
            image=self.image.id,
            command=self.image.command,
            env={"HOME": "/tmp", **own},  # noqa: S108 - inside the container
            work_dir=self.image.workdir,
            tmpfs=[*self.image.volumes, *self.config.writable],
            limits=self.limits,
            holder=lane.holder,
            uid=uid,
        )


class Service:
    """A running service. Opened and removed by :class:`~.services.Services`."""

    def __init__(self, engine: Engine, plan: ServicePlan) -> None:
        self.plan = plan
        self.listening = asyncio.Event()
        """Set from outside, when its port takes connections."""
        self._engine = engine
        self._container = ""
        self._started = False
        self._attachment: Attachment | None = None
        self._output = Tail(kept=_OUTPUT_KEPT_BYTES)
        self._last_check = ""

    async def open(self, box: AgentBox, labels: Mapping[str, str]) -> None:
        """Create, attach, start. Shield it, and :meth:`remove` the service when it fails."""
        doing = f"starting {self.plan.title}"
        body = service_container(box, labels)
        self._container = await containers.create(self._engine, body, doing=doing)
        feed = self._output.feed
        self._attachment = await attach(
            self._engine, self._container, on_stderr=feed, on_stdout=feed
        )
        await containers.start(self._engine, self._container, doing=doing)
        self._started = True

    async def wait_ready(self) -> None:
        """Wait until its health check says that it is ready.

        Raises:
            SandboxError: it ended, or its time is over; with its last lines.
        """
        check = self.plan.config.healthcheck
        ending = asyncio.create_task(self.wait_ended())
        try:
            async with asyncio.timeout(check.start_within_seconds):
                await first_of(self._become_ready(), asyncio.shield(ending))
        except TimeoutError:
            waited = f"was not ready within {check.start_within_seconds:g} s"
            asked = f"port {check.tcp} took no connection" if check.tcp else self._last_check
            raise SandboxError(
                f"{self.plan.title} {waited}: {asked or 'no check ended'}{self._last_words()}"
            ) from None
        finally:
            ending.cancel()
        if ending.done() and not ending.cancelled():
            raise SandboxError(f"{self._ended(ending.result())} before it was ready")

    async def _become_ready(self) -> None:
        check = self.plan.config.healthcheck
        if check.command is None:
            await self.listening.wait()
            return
        while True:
            if await self._check(check.command, check.timeout_seconds):
                return
            await asyncio.sleep(check.interval_seconds)

    async def _check(self, command: str, timeout_s: float) -> bool:
        try:
            async with asyncio.timeout(timeout_s):
                code, said = await run_command(self._engine, self._container, command)
        except TimeoutError:
            self._last_check = f"its health check did not end within {timeout_s:g} s"
        except SandboxError as error:
            self._last_check = f"its health check could not be run: {error}"
        else:
            lines = said.strip().splitlines()
            words = f" ({clean_line(lines[-1])})" if lines else ""
            self._last_check = f"its health check exited with {code}{words}"
            return code == 0
        return False

    async def wait_ended(self) -> End | None:
        """Wait until it ends by itself; how it did. None: somebody removed it.

        Raises:
            SandboxError: the engine does not tell.
        """
        assert self._attachment is not None
        await self._attachment.wait_ended()
        # Closing its output is no end.
        return await containers.read_end(self._engine, self._container, within_s=_NO_EXIT_SEEN_S)

    async def trouble(self) -> str | None:
        """What is wrong with it, None while it runs.

        Raises:
            SandboxError: the engine does not tell.
        """
        if await containers.is_alive(self._engine, self._container):
            return None
        return self._ended(await self._read_end(_END_KNOWN_WITHIN_S))

    async def end(self) -> str | None:
        """End it; what went wrong if it had ended before, by itself.

        Raises:
            SandboxError: it does not end, or the engine does not tell.
        """
        trouble = await self.trouble() if self._started else None
        if trouble is not None or not self._started:
            return trouble
        killed = await containers.kill(self._engine, self._container)
        end = await self._read_end(_KILLED_WITHIN_S)
        if killed and end is not None and end.signal == SIGKILL and not end.out_of_memory:
            return None
        return self._ended(end)

    async def _read_end(self, within_s: float) -> End | None:
        try:
            return await containers.read_end(self._engine, self._container, within_s=within_s)
        except TimeoutError:
            raise SandboxError(
                f"{self.plan.title} does not end; see `docker inspect {self._container}`"
            ) from None

    async def remove(self) -> None:
        """Remove its container, and keep what it wrote. Idempotent.

        Raises:
            SandboxError: it cannot be removed.
        """
        if not self._container:
            return
        try:
            await containers.remove(self._engine, self._container)
        finally:
            if self._attachment is not None:
                await self._attachment.close()
        self._keep_output()
        self._container, self._started = "", False

    def describe(self, end: End | None) -> str:
        """Words for an end in the middle of a case."""
        return self._ended(end)

    def _ended(self, end: End | None) -> str:
        if end is None:
            how = "was removed by somebody else"
        elif end.out_of_memory:
            how = f"needed more than its memory of {self.plan.config.memory / 1024**2:g} MB"
        elif end.signal is not None:
            how = f"was ended by signal {end.signal}"
        else:
            how = f"exited with code {end.exit_code}"
        return f"{self.plan.title} {how}{self._last_words()}"

    def _last_words(self) -> str:
        """The last lines of its output, bounded and printable, with what they hint at."""
        lines = [clean_line(line) for line in self._output.text().splitlines()[-50:]]
        lines = [line for line in lines if line][-_QUOTED_LINES:]
        if not lines:
            return " (it wrote nothing)"
        words = f" (its last lines: {' | '.join(lines)})"
        if "address already in use" in words.lower():
            words += (
                f"; the proxy has ports {PROXY_PORTS[0]} and {PROXY_PORTS[-1]}, and an agent's "
                "services share one loopback"
            )
        return words

    def _keep_output(self) -> None:
        path = self.plan.log
        path.parent.mkdir(exist_ok=True)
        if path.exists() and path.stat().st_size > _LOG_LIMIT_BYTES:
            path.replace(path.with_suffix(".old"))
        left_out = self._output.total_bytes - _OUTPUT_KEPT_BYTES
        cut = f", the first {left_out} bytes left out" if left_out > 0 else ""
        head = f"--- {self.plan.title}, until {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC{cut} ---\n"
        text = self._output.text()
        descriptor = open_regular(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        try:
            write_all(descriptor, (head + text).encode("utf-8", "backslashreplace"))
            if not text.endswith("\n"):
                write_all(descriptor, b"\n")
        finally:
            os.close(descriptor)
