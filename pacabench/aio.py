"""asyncio habits shared by several places: clean-up that cannot be cut, waits that end."""

import asyncio
from collections.abc import Awaitable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def running_time() -> float:
    """Seconds on the running loop's clock, for deadlines: see :mod:`pacabench.standstill`."""
    return asyncio.get_running_loop().time()


async def finish(work: Coroutine[Any, Any, T]) -> T:
    """Run ``work`` to its end even when the caller is cancelled meanwhile.

    For clean-up: a container must go although the user pressed Ctrl-C twice. The cancellation is
    not lost, it is raised once ``work`` is done.
    """
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as error:
            if task.cancelled():
                break
            cancelled = error
        except BaseException:  # noqa: BLE001 - re-raised by task.result() below
            break
    if cancelled is not None:
        task.exception()  # seen, so that asyncio does not warn
        raise cancelled
    return task.result()


async def settle(tasks: set[asyncio.Task[Any]]) -> None:
    """Cancel ``tasks`` and wait until every one has ended, whatever it raised."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def together(*works: Coroutine[Any, Any, Any]) -> None:
    """Run ``works`` at the same time, all to their end.

    The first that fails cancels the others, and its exception is raised as it is.
    """
    try:
        async with asyncio.TaskGroup() as group:
            for work in works:
                group.create_task(work)
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from None


async def first_of(*waits: Awaitable[Any]) -> None:
    """Return as soon as one of ``waits`` is done; the others are cancelled.

    An exception of the one that ended first is raised.
    """
    tasks = {asyncio.ensure_future(wait) for wait in waits}
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await settle({task for task in tasks if not task.done()})
    for task in done:
        task.result()
