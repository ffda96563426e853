"""Which sandbox for which kind."""

from contextlib import AbstractAsyncContextManager

from pacabench.config.schema import SandboxKind
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
