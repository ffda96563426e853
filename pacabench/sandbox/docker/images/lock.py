"""One maker per content, across tasks and across processes that share a cache directory."""

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from pacabench.errors import ImageError

WITHIN_S = 3 * 3600.0
"""Longer than any build or pull may take: then its holder was stopped in the middle."""
_POLL_S = 0.1


@asynccontextmanager
async def content_lock(cache_dir: Path, key: str) -> AsyncIterator[None]:
    """Hold the lock of ``key``. Waits while another task or process holds it.

    ``flock`` belongs to the open file, so two tasks of one process exclude each other too, and the
    kernel drops it when its holder dies. The holder removes the file; who waited on the removed
    one sees that, and starts again with the new one.

    Raises:
        ImageError: it is held for longer than anything takes.
    """
    path = cache_dir / "locks" / f"{key}.lock"
    descriptor = await _acquire(path)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)


async def _acquire(path: Path) -> int:
    try:
        async with asyncio.timeout(WITHIN_S):
            return await _await_turn(path)
    except TimeoutError:
        raise ImageError(
            f"another process has held {path} for {WITHIN_S / 3600:g} hours; is it stopped? "
            "`fuser -v` on that file names it"
        ) from None


async def _await_turn(path: Path) -> int:
    while True:
        descriptor = _open(path)
        try:
            while not _try_lock(descriptor):  # noqa: ASYNC110 - the holder may be another process
                await asyncio.sleep(_POLL_S)
            if _is_at(descriptor, path):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _open(path: Path) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_at(descriptor: int, path: Path) -> bool:
    """Whether the open file is still the one at ``path``."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
