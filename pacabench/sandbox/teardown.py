"""An agent's ``teardown`` once it was started: the same in every sandbox."""

import asyncio
import contextlib

from pacabench.aio import finish
from pacabench.sandbox.base import Session

WITHIN_S = 300.0


async def see_out(session: Session) -> str | None:
    """Give a teardown ``WITHIN_S``, and close ``session``. What went wrong, None if nothing did.

    The session is closed on cancellation too.

    Raises:
        SandboxError: it broke for a reason of the sandbox's own.
    """
    try:
        await session.send(b"", last=True)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(WITHIN_S):
                while await session.read_line() is not None:
                    pass
    finally:
        end = await finish(session.close())
    if end.killed:
        return f"it was not done within {WITHIN_S:.0f} s"
    if end.exit_code == 0:
        return None
    how = f"ended by signal {end.signal}" if end.signal else f"exited with {end.exit_code}"
    return f"it {how}: {end.stderr_tail[-500:]}"
