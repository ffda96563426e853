"""Agents as plain processes of this machine: for agents the user trusts, or with no engine.

Own session and process group, environment from scratch, resource limits, a temporary home, and the
proxy in the harness on a random port of 127.0.0.1. It keeps honest programs apart; it is no
protection: the agent may read the user's files and reach the network.
"""

import asyncio
import os
import shutil
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from pacabench.errors import SandboxError, SandboxUnavailableError
from pacabench.events import Notice
from pacabench.left_files import LeftFiles, Wanted
from pacabench.model import ExitFacts
from pacabench.proxy.gateway import Gateway
from pacabench.proxy.spool import live_spool
from pacabench.proxy.terms import FREE, Terms
from pacabench.sandbox.base import Sandbox, SandboxAgent, SandboxContext, SandboxFacts, Session
from pacabench.sandbox.child import Child, ending
from pacabench.sandbox.docker.images.source_files import scan_source
from pacabench.sandbox.environment import agent_variables, virtual_key
from pacabench.sandbox.kept import KeeperError, collect
from pacabench.sandbox.orphans import (
    MARK,
    kill_marked,
    make_home,
    remove_orphans,
    session_mark,
)
from pacabench.sandbox.teardown import see_out
from pacabench.sandbox.venv import ensure_environment

_LAUNCHER = Path(__file__).with_name("launch.py")
_SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin:/opt/homebrew/bin"


@asynccontextmanager
async def open_process_sandbox(context: SandboxContext) -> AsyncIterator[Sandbox]:
    """A sandbox of plain processes. What dead harnesses left running is ended first.

    Raises:
        SandboxUnavailableError: an agent's Python environment cannot be made, or one has services,
            or a list of what it may reach, which nothing here would hold it to.
    """
    if context.web:
        raise SandboxUnavailableError(
            "the process sandbox cannot hold agents to `sandbox.egress.allow`: they reach the "
            "whole network; use `--sandbox docker`, or take the list away"
        )
    for agent in context.agents:
        if agent.config.services:
            raise SandboxUnavailableError(
                f"agent {agent.name!r} has services, and those need containers: run it with "
                "`--sandbox docker`, or take `services` out and start them yourself"
            )
    if killed := await asyncio.to_thread(remove_orphans):
        context.listener(Notice("info", f"ended {killed} processes that a killed run left"))
    programs = {
        agent.name: await ensure_environment(agent, context.cache_dir, context.listener)
        for agent in context.agents
    }
    if not context.providers:
        yield ProcessSandbox(context, programs, None)
        return
    with live_spool(context.run_dir / "spool", "process") as spool:
        gateway = Gateway(
            context.providers,
            context.default_provider,
            context.on_call,
            spool,
            on_notice=lambda text: context.listener(Notice("warning", f"proxy: {text}")),
            on_health=context.on_health,
            on_text=context.on_text,
            on_wait=context.on_wait,
            live_waits=context.live_waits,
            patience=context.patience,
            tapes=context.tapes,
            on_ask=context.on_ask,
        )
        async with gateway:
            yield ProcessSandbox(context, programs, gateway)


class ProcessSandbox:
    """Starts agents as processes."""

    def __init__(
        self, context: SandboxContext, programs: dict[str, Path], gateway: Gateway | None
    ) -> None:
        self._context = context
        self._programs = programs
        self._gateway = gateway
        self._facts = SandboxFacts(kind="process", engine=None, image_digests={})

    @property
    def facts(self) -> SandboxFacts:
        """For the manifest."""
        return self._facts

    async def start(self, agent: SandboxAgent) -> Session:
        """See :meth:`pacabench.sandbox.base.Sandbox.start`."""
        key = virtual_key()
        home = make_home(self._context.owner)
        session: ProcessSession | None = None
        lane = home.name
        origin: str | None = None
        try:
            if self._gateway is not None:
                origin = f"http://127.0.0.1:{await _open_lane(self._gateway, lane)}"
            variables = agent_variables(
                agent.env, origin=origin, key=key, providers=self._context.providers
            )
            work = await asyncio.to_thread(_own_copy, agent, home) if agent.leaves_files else None
            child = await _spawn(
                agent, agent.config.command, self._environment(agent, home, variables), work
            )
            terms = self._context.terms_of(agent)
            session = ProcessSession(child, self._gateway, lane, key, home, terms, work)
        except OSError as error:
            raise SandboxError(f"agent {agent.name} cannot be started: {error}") from error
        finally:
            if session is None:
                if self._gateway is not None and origin is not None:
                    await self._gateway.remove_lane(lane)
                await asyncio.to_thread(shutil.rmtree, home, ignore_errors=True)
        return session

    async def run_teardown(self, agent: SandboxAgent) -> None:
        """See :meth:`pacabench.sandbox.base.Sandbox.run_teardown`."""
        command = agent.config.teardown
        if command is None:
            return
        home = make_home(self._context.owner)
        try:
            variables = agent_variables(agent.env, origin=None, key="")
            child = await _spawn(agent, command, self._environment(agent, home, variables))
        except OSError as error:
            await asyncio.to_thread(shutil.rmtree, home, ignore_errors=True)
            self._warn_of_teardown(agent, str(error))
            return
        problem = await see_out(ProcessSession(child, None, home.name, "", home))
        if problem is not None:
            self._warn_of_teardown(agent, problem)

    def _warn_of_teardown(self, agent: SandboxAgent, problem: str) -> None:
        text = f"teardown of agent {agent.name!r} failed: {problem}"
        self._context.listener(Notice("warning", text))

    def _environment(
        self, agent: SandboxAgent, home: Path, variables: dict[str, str]
    ) -> dict[str, str]:
        return {
            "PATH": f"{self._programs[agent.name]}{os.pathsep}{_SYSTEM_PATH}",
            "HOME": str(home),
            "TMPDIR": str(home),
            "LANG": "C.UTF-8",
            "PYTHONUNBUFFERED": "1",
            **variables,
            MARK: session_mark(home),
        }


async def _spawn(
    agent: SandboxAgent, command: str, env: dict[str, str], work: Path | None = None
) -> Child:
    limits = [str(agent.sandbox.memory), str(agent.sandbox.tmp_size)]
    return await Child.start(
        [sys.executable, "-I", "-S", str(_LAUNCHER), *limits, command],
        cwd=work or agent.source or agent.project,
        env=env,
    )


async def _open_lane(gateway: Gateway, lane: str) -> int:
    """Serve ``lane`` on a free port, and return it."""
    listener = socket.create_server(("127.0.0.1", 0))
    port: int = listener.getsockname()[1]
    try:
        await gateway.add_lane(lane, listener)
    except BaseException:
        listener.close()
        raise
    return port


def _own_copy(agent: SandboxAgent, home: Path) -> Path:
    """A work directory for one session, with a copy of the agent's source as in a container.

    Else it would work in the source itself: what it left could not be told from what was there.
    """
    work = home / "work"
    work.mkdir()
    for entry in scan_source(agent.source or agent.project, agent.ignore).entries:
        target = work / entry.path
        if entry.kind == "directory":
            target.mkdir()
        elif entry.kind == "link":
            target.symlink_to(entry.target)
        else:
            shutil.copyfile(entry.source, target)
            target.chmod(entry.mode)
    return work


def _write_all(folder: Path, files: Mapping[str, bytes]) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(0o444)


class ProcessSession:
    """One agent process and all that it started in its group."""

    def __init__(
        self,
        child: Child,
        gateway: Gateway | None,
        lane: str,
        key: str,
        home: Path,
        terms: Terms = FREE,
        work: Path | None = None,
    ) -> None:
        self._child = child
        self._gateway = gateway
        self._lane = lane
        self._key = key
        self._home = home
        self._terms = terms
        self._work = work
        """Its own work directory; None: it works in its source."""
        self._wanted: Wanted | None = None
        self._left: LeftFiles | SandboxError | None = None
        self._facts: ExitFacts | None = None

    async def bind(self, attempt_id: str) -> None:
        """See :meth:`pacabench.sandbox.base.Session.bind`."""
        if self._gateway is not None:
            self._gateway.bind(self._lane, attempt_id, self._key, self._terms)

    @property
    def failure(self) -> str | None:
        """See :attr:`pacabench.sandbox.base.Session.failure`. The proxy is this process."""
        return None

    async def unbind(self) -> None:
        """See :meth:`pacabench.sandbox.base.Session.unbind`."""
        if self._gateway is not None and self._facts is None:
            await self._gateway.unbind(self._lane)

    async def place(self, files: Mapping[str, bytes]) -> str:
        """See :meth:`pacabench.sandbox.base.Session.place`. They lie in its home."""
        folder = self._home / "files"
        try:
            await asyncio.to_thread(_write_all, folder, files)
        except OSError as error:
            raise SandboxError(f"the case's files cannot be written: {error}") from error
        return str(folder)

    async def send(self, line: bytes, *, last: bool) -> None:
        """See :meth:`pacabench.sandbox.base.Session.send`."""
        self._child.write(line, last=last)

    async def read_line(self) -> bytes | None:
        """See :meth:`pacabench.sandbox.base.Session.read_line`."""
        return await self._child.out.read_line()

    async def take_left(self, wanted: Wanted) -> LeftFiles:
        """See :meth:`pacabench.sandbox.base.Session.take_left`."""
        self._wanted = wanted
        await self.close()
        if isinstance(self._left, LeftFiles):
            return self._left
        raise self._left or SandboxError("nothing was kept of what the agent left")

    async def _take(self) -> None:
        if self._wanted is None or self._work is None:
            return
        try:
            self._left = await asyncio.to_thread(collect, self._work, self._wanted)
        except (OSError, KeeperError) as error:
            self._left = SandboxError(f"the files that were left cannot be taken: {error}")

    async def close(self) -> ExitFacts:
        """See :meth:`pacabench.sandbox.base.Session.close`."""
        if self._facts is None:
            # One whose output has ended is about to exit: let it, for its own exit code.
            by_itself = await self._child.exited(within_s=2.0 if self._child.out.ended else 0.0)
            exit_code, ended_by = ending(await self._child.end())
            await asyncio.to_thread(kill_marked, session_mark(self._home))
            if self._gateway is not None:
                await self._gateway.remove_lane(self._lane)  # its calls are recorded then
            self._facts = ExitFacts(
                exit_code=exit_code,
                signal=ended_by,
                out_of_memory=False,
                killed=not by_itself,
                stdout_bytes=self._child.out.total_bytes,
                stderr_bytes=self._child.err.total_bytes,
                stderr_tail=self._child.err.text(),
            )
            await self._take()
            await asyncio.to_thread(shutil.rmtree, self._home, ignore_errors=True)
        return self._facts
