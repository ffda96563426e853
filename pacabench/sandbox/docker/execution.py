"""Programs run inside a container that is up (the engine's ``exec``), with their output bounded.

Nothing that an agent can touch may be asked this way while the agent runs: a program in a container
is as trustworthy as who else runs in it.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import docker
from docker.errors import APIError

from pacabench.aio import finish
from pacabench.errors import SandboxError
from pacabench.sandbox.docker.attach import Attachment, open_stream
from pacabench.sandbox.docker.connection import explain
from pacabench.sandbox.docker.engine import Engine
from pacabench.sandbox.lines import Tail

_OUTPUT_LIMIT_BYTES = 64 * 1024
_EXIT_KNOWN_WITHIN_S = 2.0
_START = b"go\n"


@dataclass(frozen=True, slots=True)
class Execution:
    """A program that runs in a container."""

    exec_id: str
    stream: Attachment


@asynccontextmanager
async def executing(
    engine: Engine, container_id: str, command: Sequence[str], *, output: Tail | None = None
) -> AsyncIterator[Execution]:
    """Run ``command``, which must first read a line from its stdin, and go when that ends.

    So nothing of its output comes before somebody reads it, and nothing is left behind of a
    program that keeps to it. ``output`` gets stdout in place of the stream's lines.

    Raises:
        SandboxError: it cannot be run; the container may have ended.
    """

    def create(client: docker.APIClient) -> str:
        make: Any = client.exec_create  # without a stub
        return str(make(container_id, list(command), stdin=True)["Id"])

    def start(client: docker.APIClient) -> Any:
        begin: Any = client.exec_start
        return begin(exec_id, socket=True)

    doing = "running a program in a container"
    try:
        exec_id = await engine.call(create)
        stream = await open_stream(
            engine,
            start,
            lambda: Attachment(
                limit_bytes=_OUTPUT_LIMIT_BYTES,
                on_stderr=None,
                on_stdout=output.feed if output is not None else None,
            ),
        )
    except APIError as error:
        raise explain(error, doing) from error
    try:
        await stream.write(_START)
        yield Execution(exec_id, stream)
    finally:
        await finish(stream.close())


async def run_command(engine: Engine, container_id: str, command: str) -> tuple[int, str]:
    """Run a shell command line to its end; its exit code, and the last part of what it wrote.

    Cancelled, it is left to itself: give it a time, and the container an end.

    Raises:
        SandboxError: it cannot be run, or its exit code does not become known.
    """
    output = Tail()
    shell = ["/bin/sh", "-c", 'read -r _ && exec </dev/null && eval "$1"', "sh", command]
    async with executing(engine, container_id, shell, output=output) as execution:
        await execution.stream.wait_ended()
        code = await _exit_code(engine, execution.exec_id)
        return code, execution.stream.stderr_tail + output.text()


async def _exit_code(engine: Engine, exec_id: str) -> int:
    def look(client: docker.APIClient) -> dict[str, Any]:
        inspect: Any = client.exec_inspect
        return dict(inspect(exec_id))

    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_EXIT_KNOWN_WITHIN_S):
            while True:
                try:
                    found = await engine.call(look, repeatable=True)
                except APIError as error:
                    if error.status_code == HTTPStatus.NOT_FOUND:
                        break
                    raise explain(error, "looking at a program in a container") from error
                if not found["Running"] and found["ExitCode"] is not None:
                    return int(found["ExitCode"])
                await asyncio.sleep(0.01)
    raise SandboxError("the engine does not tell how a program in a container ended")
