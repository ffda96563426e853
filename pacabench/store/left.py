"""``left/``: what evaluators wanted of agents' work directories, a tar for each attempt.

It is on disk before the answer is judged: whatever judges it again has the same files.
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from pacabench.errors import JournalError
from pacabench.left_files import MOST_TAR_BYTES, LeftFiles, pack_left, unpack_left
from pacabench.store.files import file_error, make_directory, read_regular, write_new
from pacabench.store.names import left_name

FOLDER = "left"


def keep_left(run_dir: Path, attempt_id: str, left: LeftFiles) -> str:
    """Keep ``left`` durably, and return the file's name below ``left/``.

    Raises:
        JournalError: it cannot be written.
    """
    name = left_name(attempt_id)
    folder = run_dir / FOLDER
    try:
        make_directory(folder)
    except OSError as error:
        raise file_error("make", folder, error) from error
    write_new(folder / name, pack_left(left))
    return name


def keeper_of(run_dir: Path) -> Callable[[str, LeftFiles], Awaitable[str]]:
    """:func:`keep_left` for an event loop, which a slow disk must not hold up."""

    async def keep(attempt_id: str, left: LeftFiles) -> str:
        return await asyncio.to_thread(keep_left, run_dir, attempt_id, left)

    return keep


def read_left(run_dir: Path, name: str) -> LeftFiles:
    """What :func:`keep_left` kept under ``name``; untrusted.

    Raises:
        JournalError: it is gone, or something else is there.
    """
    path = run_dir / FOLDER / Path(name).name
    try:
        return unpack_left(read_regular(path, MOST_TAR_BYTES))
    except ValueError as error:
        raise JournalError(f"{path} cannot be used: {error}") from error
