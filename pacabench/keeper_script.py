"""The program of a keeper: takes files in, and gives those out that are wanted.

It is the only program in its container, which shares one directory with an untrusted one, and it
gives files out when that one is gone. It imports nothing of this package: it runs alone in the
sidecar's image. The process sandbox calls :func:`give` in the harness.

    stdin:   {"put": [[NAME, BYTES, RUNNABLE], ...]} LF, so many bytes, {"take": {...}} LF
    stdout:  {"ready": true, ...} LF, {"files": [[NAME, BYTES], ...], "left_out": []} LF, the bytes

Names of what it takes in are the harness's. What it gives out was made by whoever had the
directory: no link is followed, nothing but a regular file is opened, and all has an end.
"""

import contextlib
import fnmatch
import json
import os
import stat
import sys
from typing import IO, Any

_CHUNK_BYTES = 256 * 1024
_MOST_VISITED = 200_000
"""Entries of the tree that are looked at."""
_SHOWN_LEFT_OUT = 20
_ST_NODEV = 4  # statvfs(3) of Linux; os.ST_NODEV is not everywhere
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Search:
    """Finds the files below a directory that are wanted, in the order of their names."""

    def __init__(self, wanted: dict[str, Any]) -> None:
        self._patterns = wanted["patterns"]
        self._most_files = wanted["most_files"]
        self._most_bytes = wanted["most_bytes"]
        self._most_depth = wanted["most_depth"]
        self._most_chars = wanted["most_chars"]
        self._bytes = 0
        self._visited = 0
        self._missed = 0
        self.files: list[tuple[str, int]] = []
        self.left_out: list[str] = []

    def walk(self, folder: int, above: tuple[str, ...] = ()) -> None:
        """Look at everything in the open directory ``folder``."""
        for name in sorted(os.listdir(folder)):
            self._visited += 1
            if self._visited > _MOST_VISITED:
                return
            parts = (*above, name)
            try:
                mode = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
                if stat.S_ISDIR(mode):
                    self._enter(folder, name, parts)
                elif any(fits(pattern, parts) for pattern in self._patterns):
                    self._look(folder, name, parts, mode)
            except OSError as error:
                self._leave(parts, error.strerror or str(error))

    def finish(self) -> None:
        """Say what was left out without a name."""
        if self._visited > _MOST_VISITED:
            self.left_out.append(f"and all past {_MOST_VISITED} entries")
        if self._missed > _SHOWN_LEFT_OUT:
            self.left_out.append(f"and {self._missed - _SHOWN_LEFT_OUT} more")

    def _enter(self, folder: int, name: str, parts: tuple[str, ...]) -> None:
        if len(parts) > self._most_depth:
            self._leave(parts, "too deep")
            return
        inner = os.open(name, _READ | os.O_DIRECTORY, dir_fd=folder)
        try:
            self.walk(inner, parts)
        finally:
            os.close(inner)

    def _look(self, folder: int, name: str, parts: tuple[str, ...], mode: int) -> None:
        path = "/".join(parts)
        if not stat.S_ISREG(mode):
            self._leave(parts, "no regular file")
        elif not path.isprintable() or len(path) > self._most_chars:
            self._leave(parts, "no usable name")
        elif len(self.files) >= self._most_files:
            self._leave(parts, f"more than {self._most_files} files")
        else:
            size = _size(folder, name)
            if self._bytes + size > self._most_bytes:
                self._leave(parts, f"more than {self._most_bytes} bytes with those before it")
            else:
                self._bytes += size
                self.files.append((path, size))

    def _leave(self, parts: tuple[str, ...], why: str) -> None:
        self._missed += 1
        if self._missed <= _SHOWN_LEFT_OUT:
            shown = "/".join(parts)[:200].encode("ascii", "backslashreplace").decode()
            self.left_out.append("".join(c if c.isprintable() else "?" for c in shown) + f": {why}")


def give(root: int, wanted: dict[str, Any], out: IO[bytes]) -> None:
    """Write what is wanted of the open directory ``root``: a line that says what, and the bytes."""
    search = Search(wanted)
    search.walk(root)
    search.finish()
    head = {"files": search.files, "left_out": search.left_out}
    out.write(json.dumps(head).encode() + b"\n")
    for path, size in search.files:
        _copy(root, path, size, out)
    out.flush()


def take_in(root: int, files: list[tuple[str, int, bool]], source: IO[bytes]) -> None:
    """Make ``files`` below ``root``, out of their bytes in ``source``; ``name/`` is a directory."""
    for path, size, runnable in files:
        *folders, name = path.split("/")
        folder = os.dup(root)
        try:
            for part in folders:
                inner = _made(folder, part)
                os.close(folder)
                folder = inner
            if not name:
                continue
            mode = 0o755 if runnable else 0o644
            file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode, dir_fd=folder)
            with os.fdopen(file, "wb") as target:
                left = size
                while left:
                    piece = source.read(min(left, _CHUNK_BYTES))
                    if not piece:
                        raise EOFError("the input ended early")
                    target.write(piece)
                    left -= len(piece)
        finally:
            os.close(folder)


def _made(folder: int, name: str) -> int:
    with contextlib.suppress(FileExistsError):
        os.mkdir(name, 0o755, dir_fd=folder)
    return os.open(name, _READ | os.O_DIRECTORY, dir_fd=folder)


def _copy(root: int, path: str, size: int, out: IO[bytes]) -> None:
    """``size`` bytes of a file; zeros for what it does not have any more."""
    *folders, name = path.split("/")
    folder = os.dup(root)
    try:
        for part in folders:
            inner = os.open(part, _READ | os.O_DIRECTORY, dir_fd=folder)
            os.close(folder)
            folder = inner
        with os.fdopen(os.open(name, _READ, dir_fd=folder), "rb", buffering=0) as file:
            left = size
            while left:
                piece = file.read(min(left, _CHUNK_BYTES)) or bytes(min(left, _CHUNK_BYTES))
                out.write(piece)
                left -= len(piece)
    finally:
        os.close(folder)


def _size(folder: int, name: str) -> int:
    """Of a file that can be read, which is told by opening it.

    Raises:
        OSError: it cannot, or is no file any more.
    """
    with os.fdopen(os.open(name, _READ, dir_fd=folder), "rb", buffering=0) as file:
        facts = os.fstat(file.fileno())
        if not stat.S_ISREG(facts.st_mode):
            raise OSError("no regular file")
        return facts.st_size


def fits(pattern_text: str, parts: tuple[str, ...]) -> bool:
    """Whether a pattern matches the path or a directory above it.

    ``*`` stands for any part of a name, ``**`` for any directories. Each of its parts meets each of
    the path's at most once, so that no name makes it slow.
    """
    pattern = [part for part in pattern_text.split("/") if part]
    reached = {0}
    for part in parts:
        reached = _through(pattern, reached)
        if any(pattern[place:] == ["**"] for place in reached):
            return True
        reached = {
            place if pattern[place] == "**" else place + 1
            for place in reached
            if pattern[place] == "**" or fnmatch.fnmatchcase(part, pattern[place])
        }
        if len(pattern) in reached:
            return True
    return False


def _through(pattern: list[str], places: set[int]) -> set[int]:
    """``places``, and those that ``**`` lets pass to as well, standing for no directory."""
    passed = set(places)
    for place, part in enumerate(pattern[:-1]):
        if place in passed and part == "**":
            passed.add(place + 1)
    return passed


def _bounds(root: int) -> dict[str, Any]:
    """What holds for the directory, as the kernel has it: an engine may ignore what it is asked."""
    facts = os.fstatvfs(root)
    return {
        "ready": True,
        "bytes": facts.f_frsize * facts.f_blocks,
        "inodes": facts.f_files,
        "nosuid": bool(facts.f_flag & os.ST_NOSUID),
        "nodev": bool(facts.f_flag & _ST_NODEV),
    }


def main() -> None:
    """Serve one harness, and end with its input."""
    source, out = sys.stdin.buffer, sys.stdout.buffer
    root = os.open(sys.argv[1], _READ | os.O_DIRECTORY)
    try:
        take_in(root, json.loads(source.readline())["put"], source)
        said = _bounds(root)
    except (OSError, EOFError) as error:
        said = {"ready": False, "error": getattr(error, "strerror", None) or str(error)}
    out.write(json.dumps(said).encode() + b"\n")
    out.flush()
    line = source.readline()
    if line:
        give(root, json.loads(line)["take"], out)


if __name__ == "__main__":
    main()
