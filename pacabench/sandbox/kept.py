"""What a keeper says, read by the harness: bounded, and only names that are safe."""

import dataclasses
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import orjson

from pacabench import keeper_script
from pacabench.left_files import MOST_DEPTH, MOST_NAME_CHARS, LeftFiles, Wanted, is_safe_name

HEAD_BYTES = 32 * 1024**2
"""The most that the line with the names may have."""
_CHUNK_BYTES = 1024**2
_SHOWN_LEFT_OUT = 30
_SHOWN_CHARS = 300


class KeeperError(Exception):
    """A keeper did not do what it should."""


def wish(wanted: Wanted) -> dict[str, Any]:
    """``wanted`` as a keeper takes it."""
    return {
        **dataclasses.asdict(wanted),
        "most_depth": MOST_DEPTH,
        "most_chars": MOST_NAME_CHARS,
    }


@dataclasses.dataclass(frozen=True, slots=True)
class Given:
    """What comes: the line before the bytes."""

    files: Sequence[tuple[str, int]]
    left_out: tuple[str, ...]


def read_head(source: IO[bytes], wanted: Wanted) -> Given:
    """The line before the bytes; ``source`` is at the first byte after it.

    Raises:
        KeeperError: it is none, or says what no keeper may.
    """
    line = source.readline(HEAD_BYTES)
    try:
        said = orjson.loads(line)
        files = [(str(name), int(size)) for name, size in said["files"]]
        left_out = tuple(str(entry)[:_SHOWN_CHARS] for entry in said["left_out"][:_SHOWN_LEFT_OUT])
    except (ValueError, KeyError, TypeError) as error:
        raise KeeperError(f"it did not say what files there are ({error})") from error
    sizes = [size for _, size in files]
    names = {name for name, _ in files}
    if (
        len(files) > wanted.most_files
        or min(sizes, default=0) < 0
        or sum(sizes) > wanted.most_bytes
        or len(names) != len(files)
        or not all(map(is_safe_name, names))
    ):
        raise KeeperError("it gave more than was asked for, or names that are not safe")
    return Given(files, left_out)


def read_left(source: IO[bytes], wanted: Wanted) -> LeftFiles:
    """All that a keeper gave.

    Raises:
        KeeperError: it is not whole, or not what was asked for.
    """
    given = read_head(source, wanted)
    files = {}
    for name, size in given.files:
        files[name] = source.read(size)
        if len(files[name]) != size:
            raise KeeperError("its output ended early")
    return LeftFiles(wanted.patterns, files, given.left_out)


def collect(folder: Path, wanted: Wanted) -> LeftFiles:
    """What is wanted of a directory of this machine that an agent had. Blocks.

    Nothing, where the agent removed it, or put something else in its place.

    Raises:
        KeeperError, OSError: it cannot be read.
    """
    buffer = io.BytesIO()
    try:
        root = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError, PermissionError) as error:
        return LeftFiles(wanted.patterns, {}, (f"the work directory: {error.strerror}",))
    try:
        keeper_script.give(root, wish(wanted), buffer)
    finally:
        os.close(root)
    buffer.seek(0)
    return read_left(buffer, wanted)


def save(source: IO[bytes], wanted: Wanted, into: Path) -> tuple[str, ...]:
    """Write all that a keeper gave below ``into``, a directory of our own; what was left out.

    Raises:
        KeeperError: it is not whole, or not what was asked for.
        OSError: it cannot be written.
    """
    given = read_head(source, wanted)
    for name, size in given.files:
        path = into / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file:
            left = size
            while left:
                piece = source.read(min(left, _CHUNK_BYTES))
                if not piece:
                    raise KeeperError("its output ended early")
                file.write(piece)
                left -= len(piece)
    return given.left_out
