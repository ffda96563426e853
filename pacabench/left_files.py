"""Files that an agent left in its work directory: which are wanted, and what came of it.

Untrusted in every respect, names included. They are kept as one tar, so that no name of an agent's
ever names a file of the harness's machine.
"""

import io
import json
import stat
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from pacabench.keeper_script import fits

MOST_BYTES = 64 * 1024**2
"""Of one attempt's files together: they are handed on in memory."""
MOST_FILES = 1000
MOST_NAME_CHARS = 1024
MOST_DEPTH = 32
"""Directories above a file."""
MOST_TAR_BYTES = MOST_BYTES + MOST_FILES * (4 * 512 + 3 * MOST_NAME_CHARS * 4) + 1024**2
"""The most that a tar of them can have: heads, long names, padding."""
_INDEX = "left.json"
_FILES = "files/"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which files are taken out."""

    patterns: tuple[str, ...]
    """``*`` stands for any part of a name, ``**`` for directories; what a directory's name matches
    is all that is in it."""
    most_files: int = MOST_FILES
    most_bytes: int = MOST_BYTES


@dataclass(frozen=True, slots=True)
class LeftFiles:
    """What was taken out."""

    patterns: tuple[str, ...]
    """What was looked for."""
    files: Mapping[str, bytes] = field(default_factory=dict)
    """By name relative to the work directory, in the order of the names."""
    left_out: tuple[str, ...] = ()
    """Names with the reason, of what was wanted and could not be had: links, and what is too much.
    Printable."""

    def choose(self, patterns: tuple[str, ...]) -> "LeftFiles":
        """Those of them that ``patterns`` match.

        Raises:
            ValueError: nobody looked for that.
        """
        missing = [pattern for pattern in patterns if pattern not in self.patterns]
        if missing:
            kept = ", ".join(self.patterns) or "nothing"
            raise ValueError(f"{', '.join(missing)}: not looked for in this run, which kept {kept}")
        chosen = {
            name: content
            for name, content in self.files.items()
            if any(fits(pattern, PurePosixPath(name).parts) for pattern in patterns)
        }
        return LeftFiles(patterns, chosen, self.left_out)


def is_safe_name(name: str) -> bool:
    """Whether ``name`` stays below the directory that it is put into, and can be shown."""
    path = PurePosixPath(name)
    return (
        0 < len(name) <= MOST_NAME_CHARS
        and name.isprintable()
        and str(path) == name
        and not path.is_absolute()
        and ".." not in path.parts
        and len(path.parts) <= MOST_DEPTH + 1
    )


def is_runnable(path: Path | None) -> bool:
    """Whether a file that is given to a container is one that can be started by its name."""
    return path is not None and bool(path.stat().st_mode & stat.S_IXUSR)


def pack_left(left: LeftFiles) -> bytes:
    """``left`` as a tar, the files below ``files/``: the same files give the same bytes."""
    buffer = io.BytesIO()
    sums = {name: zlib.crc32(content) for name, content in left.files.items()}
    about = {"patterns": left.patterns, "left_out": left.left_out, "crc32": sums}
    said = json.dumps(about).encode()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        _add(archive, _INDEX, said)
        for name, content in left.files.items():
            _add(archive, _FILES + name, content)
    return buffer.getvalue()


def unpack_left(data: bytes) -> LeftFiles:
    """What :func:`pack_left` packed, or what somebody put in its place.

    Raises:
        ValueError: it is no such tar.
    """
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
            (index, said), *files = _read(archive)
            known = json.loads(said)
            found = {name.removeprefix(_FILES): content for name, content in files}
            if index != _INDEX or not all(map(is_safe_name, found)):
                raise ValueError("it holds something else than files that were left")
            # Older ones have no sums.
            if known.get("crc32", sums := {n: zlib.crc32(f) for n, f in found.items()}) != sums:
                raise ValueError("it is damaged: its files are not those that were left")
            patterns, left_out = map(str, known["patterns"]), map(str, known["left_out"])
            return LeftFiles(tuple(patterns), found, tuple(left_out))
    except (tarfile.TarError, TypeError, KeyError, OverflowError, EOFError) as error:
        raise ValueError(f"it is no tar of files that were left: {error}") from error


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), 0o444
    archive.addfile(entry, io.BytesIO(content))


def _read(archive: tarfile.TarFile) -> Iterator[tuple[str, bytes]]:
    for count, entry in enumerate(archive):
        # A sparse one has the size that it says, and no bytes for it.
        plain = entry.type == tarfile.REGTYPE and not entry.issparse()
        content = archive.extractfile(entry) if plain and count <= MOST_FILES else None
        if content is None:
            raise ValueError("it holds something else than files that were left")
        yield entry.name, content.read()
