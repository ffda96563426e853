"""Python environments for agents in the ``process`` sandbox, one per content of requirements."""

import asyncio
import fcntl
import hashlib
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from pacabench.errors import SandboxUnavailableError
from pacabench.events import Listener, Preparing
from pacabench.sandbox.base import SandboxAgent

BUILD_TIMEOUT_S = 900.0
_COMPLETE = ".complete"
_LOCK_POLL_S = 0.2
_SHOWN_CHARS = 3000


async def ensure_environment(agent: SandboxAgent, cache_dir: Path, listener: Listener) -> Path:
    """The directory whose programs the agent finds first on its PATH.

    Without ``requirements`` and ``setup`` that is the harness's own Python. Otherwise a virtual
    environment below ``cache_dir``, made once per content of both, in which ``setup`` has run.

    Raises:
        SandboxUnavailableError: pip or ``setup`` failed; carries the end of their output.
    """
    if agent.requirements is None and agent.config.setup is None:
        return Path(sys.executable).parent
    wanted = agent.requirements.read_bytes() if agent.requirements else b""
    digest = hashlib.sha256(
        b"\0".join(
            (
                sys.version.encode(),
                wanted,
                (agent.config.setup or "").encode(),
                bytes(_place(agent)),
            )
        )
    ).hexdigest()[:16]
    home = (cache_dir / "venvs" / digest).absolute()
    programs = home / "bin"
    async with _locked(home.with_suffix(".lock")) as lock:
        if not (home / _COMPLETE).exists():
            listener(Preparing(f"{agent.name}: making its Python environment"))
            await _make(agent, home, lock)
    return programs


def _place(agent: SandboxAgent) -> Path:
    return agent.source or agent.project


async def _make(agent: SandboxAgent, home: Path, lock: int) -> None:
    await _run(agent, [sys.executable, "-m", "venv", "--clear", str(home)], os.environ, lock)
    python = str(home / "bin" / "python")
    if agent.requirements is not None:
        install = [python, "-m", "pip", "install", "--quiet", "-r", str(agent.requirements)]
        await _run(agent, install, os.environ, lock)
    if agent.config.setup is not None:
        path = f"{home / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        env = {**os.environ, "PATH": path, "VIRTUAL_ENV": str(home)}
        await _run(agent, ["/bin/sh", "-c", agent.config.setup], env, lock)
    (home / _COMPLETE).touch()


async def _run(agent: SandboxAgent, command: list[str], env: Mapping[str, str], lock: int) -> None:
    """Run ``command``, which inherits ``lock``: it holds it even when this harness is killed."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=_place(agent),
        env=env,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
        pass_fds=(lock,),
    )
    try:
        async with asyncio.timeout(BUILD_TIMEOUT_S):
            output, _ = await process.communicate()
    except BaseException as error:
        process.kill()
        await process.wait()
        if isinstance(error, TimeoutError):
            raise SandboxUnavailableError(
                f"agent {agent.name}: {command[-1]!r} did not end within {BUILD_TIMEOUT_S:.0f} s"
            ) from error
        raise
    if process.returncode != 0:
        tail = output.decode("utf-8", "replace")[-_SHOWN_CHARS:]
        raise SandboxUnavailableError(
            f"agent {agent.name}: {' '.join(command)!r} failed with exit code "
            f"{process.returncode}:\n{tail}"
        )


@asynccontextmanager
async def _locked(path: Path) -> AsyncIterator[int]:
    """Hold ``path`` against other harnesses, and against what a killed one left working."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                await asyncio.sleep(_LOCK_POLL_S)
        yield file.fileno()
