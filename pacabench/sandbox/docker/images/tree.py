"""Directories as build contexts: the same files give the same bytes, and so the same key.

Order, owners and times are ours, so that a fresh clone on another machine makes the same image.
"""

import hashlib
import io
import stat
import tarfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Literal

from pacabench.errors import ImageError

_EPOCH = 315532800  # 1980-01-01, the earliest that zip files can express
_PAGE_BYTES = 4096
_BUFFER_BYTES = 1024**2


@dataclass(frozen=True, slots=True)
class Entry:
    """A file, directory or symlink of a tree."""

    path: str
    """Relative, with ``/``."""
    source: Path
    kind: Literal["file", "directory", "link"]
    mode: int
    size_bytes: int = 0
    target: str = ""


@dataclass(frozen=True, slots=True)
class Tree:
    """What goes into an image from one directory, in a fixed order."""

    entries: tuple[Entry, ...]
    left_out: tuple[str, ...] = ()
    """Symlinks that lead out of the directory."""

    @property
    def size_bytes(self) -> int:
        """What the files take on a tmpfs, where each fills whole pages."""
        return sum(-(-entry.size_bytes // _PAGE_BYTES) * _PAGE_BYTES for entry in self.entries)


def make_tree(entries: Iterable[Entry], left_out: Iterable[str] = ()) -> Tree:
    """A tree in the fixed order: a directory comes before what is in it."""
    ordered = sorted(entries, key=lambda entry: PurePosixPath(entry.path).parts)
    return Tree(tuple(ordered), tuple(sorted(left_out)))


def readable_mode(mode: int) -> int:
    """For every uid, whatever the umask was; who may execute stays."""
    return 0o755 if stat.S_ISDIR(mode) or mode & stat.S_IXUSR else 0o644


def scan_all(root: Path) -> Tree:
    """Everything below ``root``, for every uid to read."""
    return scan_paths(root, (str(found.relative_to(root)) for found in root.rglob("*")))


def scan_paths(
    root: Path, paths: Iterable[str], mode_of: Callable[[int], int] = readable_mode
) -> Tree:
    """``paths`` below ``root``; symlinks as they are, sockets and devices not at all.

    Raises:
        OSError: one is not there.
    """
    entries = []
    for name in paths:
        source = root / name
        facts = source.lstat()
        mode = mode_of(facts.st_mode)
        path = Path(name).as_posix()
        if stat.S_ISLNK(facts.st_mode):
            entries.append(Entry(path, source, "link", 0o777, target=str(source.readlink())))
        elif stat.S_ISDIR(facts.st_mode):
            entries.append(Entry(path, source, "directory", mode))
        elif stat.S_ISREG(facts.st_mode):
            entries.append(Entry(path, source, "file", mode, facts.st_size))
    return make_tree(entries)


class _Digest(io.RawIOBase):
    """A file that keeps nothing but the hash of what was written, and passes it on."""

    def __init__(self, beyond: IO[bytes] | None) -> None:
        self._hash = hashlib.sha256()
        self._beyond = beyond

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]  # tarfile writes bytes only
        self._hash.update(data)
        if self._beyond is not None:
            self._beyond.write(data)
        return len(data)

    def hexdigest(self) -> str:
        return self._hash.hexdigest()


def pack(
    trees: Iterable[tuple[str, Tree]],
    files: Iterable[tuple[str, bytes, int]] = (),
    *,
    into: IO[bytes] | None = None,
) -> str:
    """Write a tar of ``trees`` (each below a prefix) and ``files`` (path, bytes, mode).

    Returns its SHA-256. Without ``into`` only that.

    Raises:
        ImageError: a file cannot be read, or shrank meanwhile.
        OSError: ``into`` cannot be written.
    """
    sink = _Digest(into)
    with tarfile.open(
        fileobj=sink,
        mode="w|",
        bufsize=_BUFFER_BYTES,
        format=tarfile.GNU_FORMAT,
        errors="surrogateescape",
    ) as tar:
        for path, data, mode in files:
            info = _info(path, mode)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        for prefix, tree in trees:
            if prefix:
                info = _info(prefix.rstrip("/"), 0o755)
                info.type = tarfile.DIRTYPE
                tar.addfile(info)
            for entry in tree.entries:
                _add(tar, prefix, entry)
    return sink.hexdigest()


def _info(path: str, mode: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(path)
    info.mode = mode
    info.mtime = _EPOCH
    return info


def _add(tar: tarfile.TarFile, prefix: str, entry: Entry) -> None:
    info = _info(prefix + entry.path, entry.mode)
    if entry.kind == "directory":
        info.type = tarfile.DIRTYPE
        tar.addfile(info)
    elif entry.kind == "link":
        info.type = tarfile.SYMTYPE
        info.linkname = entry.target
        tar.addfile(info)
    else:
        info.size = entry.size_bytes
        try:
            with entry.source.open("rb") as file:
                tar.addfile(info, file)
        except OSError as error:
            raise ImageError(
                f"cannot put {entry.source} into an image: {error.strerror or error}"
            ) from error
