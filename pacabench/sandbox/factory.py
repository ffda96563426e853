"""Which sandbox for which kind."""

import asyncio
from contextlib import AbstractAsyncContextManager

from pacabench.config.schema import SandboxKind
from pacabench.events import Listener
from pacabench.sandbox.base import Sandbox, SandboxContext


def open_sandbox(
    kind: SandboxKind, context: SandboxContext
) -> AbstractAsyncContextManager[Sandbox]:
    """The sandbox of ``kind``; never another one in its place.

    Raises:
        SandboxUnavailableError: on entry, when it cannot serve any case.
    """
    if kind == "docker":
        from pacabench.sandbox.docker.sandbox import open_docker_sandbox  # noqa: PLC0415 - heavy

        return open_docker_sandbox(context)
    from pacabench.sandbox.process import open_process_sandbox  # noqa: PLC0415 - as above

    return open_process_sandbox(context)


async def clear_up(kind: SandboxKind, listener: Listener) -> None:
    """Remove what dead harnesses left in sandboxes of ``kind``, as opening one does.

    For a session that opens none. The calls that nobody heard of are in ``spool/`` then.

    Raises:
        EngineUnreachableError: no engine answers.
        SandboxError: it does not tell what there is.
    """
    if kind == "docker":
        from pacabench.sandbox.docker.engine import open_engine  # noqa: PLC0415 - heavy
        from pacabench.sandbox.docker.sweep import sweep  # noqa: PLC0415 - as above

        async with open_engine() as engine:
            await sweep(engine, listener=listener)
        return
    from pacabench.sandbox.orphans import remove_orphans  # noqa: PLC0415 - as above

    await asyncio.to_thread(remove_orphans)
