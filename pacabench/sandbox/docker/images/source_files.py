"""The files of an agent's source, wherever it runs: what is ignored, and what is no part of it.

Knows nothing of the engine, whose client takes long to import.
"""

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pathspec

from pacabench.errors import ConfigError, ImageError
from pacabench.export_mark import EXPORT_MARK
from pacabench.sandbox.docker.images.tree import Entry, Tree, make_tree, readable_mode

ALWAYS_IGNORED = (
    ".git",
    ".env",
    ".pacabench/",
    "__pycache__/",
    "*.py[co]",
    ".pytest_cache/",
    ".mypy_cache/",
    ".ruff_cache/",
    ".DS_Store",
)
"""Secrets, history, and what changes by itself. No ``!pattern`` brings them back."""
_MARKS_OF_UNWANTED = (
    ("pyvenv.cfg",),
    ("run.json", "results.jsonl"),
    ("cassette.json", "index.jsonl"),
)
"""Directories with all of these are virtual environments, which are of this machine, and runs and
cassettes of PacaBench, which hold expected and recorded answers: wherever they are kept."""
_EXPORT_HEAD = re.compile(
    rb'\s*\{\s*"schema_version":\s*\d+,\s*"run":\s*[{"]'  # JSON
    rb"|run_id,agent,dataset,case"  # CSV
    rb'|\{"version":\s*\d+,\s*"status":\s*"\w+",\s*"eval":\s*\{"tags":\s*'  # Inspect
    rb'\["pacabench export"\]'
)
_EXPORT_TAIL = EXPORT_MARK.encode()
_PARQUET = b"PAR1"
_PEEK_BYTES = 128
_FOOTER_BYTES = 64 * 1024
"""Of a Parquet file; ours is a tenth of that, and the mark is in it."""


def read_patterns(file: Path) -> list[str]:
    """The lines of a ``.pacabenchignore``; none where there is no such file.

    Raises:
        ConfigError: it cannot be read, or a line is no pattern.
    """
    if not file.is_file():
        return []
    try:
        lines = file.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: cannot be read as UTF-8 text: {error}") from error
    for number, line in enumerate(lines, start=1):
        try:
            pathspec.GitIgnoreSpec.from_lines([line])
        except (ValueError, re.error):
            raise ConfigError(f"{file}:{number}: {line!r} is no pattern as in .gitignore") from None
    return lines


def exactly(path: Path, source: Path) -> str | None:
    """A pattern for just ``path``; None when it lies outside ``source``, or is that itself."""
    resolved = path.resolve()
    if resolved == source or not resolved.is_relative_to(source):
        return None
    name = resolved.relative_to(source).as_posix()
    return "/" + "".join(f"\\{char}" if char in "*?[]\\!# " else char for char in name)


def scan_source(root: Path, ignore: Sequence[str]) -> Tree:
    """The files below ``root``, without what ``ignore`` (.gitignore's language) matches.

    As in git, nothing below an ignored directory comes back. Virtual environments, runs and what
    was exported of them stay out.

    Raises:
        ImageError: something cannot be read.
    """
    spec = pathspec.GitIgnoreSpec.from_lines([*ignore, *ALWAYS_IGNORED])
    entries: list[Entry] = []
    left_out: list[str] = []
    resolved = root.resolve()
    try:
        for item, path in _walk(root, "", spec):
            found = Path(item)
            if item.is_symlink():
                target = _inner_target(found, resolved)
                if target is None:
                    left_out.append(path)
                else:
                    entries.append(Entry(path, found, "link", 0o777, target=target))
            elif item.is_dir():
                entries.append(Entry(path, found, "directory", 0o755))
            else:
                facts = item.stat()
                mode = readable_mode(facts.st_mode)
                entries.append(Entry(path, found, "file", mode, facts.st_size))
    except OSError as error:
        raise ImageError(f"its source: cannot read {error.filename}: {error.strerror}") from error
    return make_tree(entries, left_out)


def _walk(
    folder: Path, prefix: str, spec: pathspec.GitIgnoreSpec
) -> Iterator[tuple[os.DirEntry[str], str]]:
    """Symlinks, directories and files that are not ignored; sockets and devices never."""
    with os.scandir(folder) as items:
        for item in items:
            path = prefix + item.name
            if item.is_dir(follow_symlinks=False):
                inside = Path(item)
                if spec.match_file(path + "/") or _is_unwanted(inside):
                    continue
                yield item, path
                yield from _walk(inside, path + "/", spec)
            elif spec.match_file(path):
                continue
            elif item.is_symlink() or (item.is_file() and not _is_export(Path(item))):
                yield item, path


def _is_unwanted(folder: Path) -> bool:
    return any(all((folder / name).is_file() for name in mark) for mark in _MARKS_OF_UNWANTED)


def _is_export(file: Path) -> bool:
    """Whether PacaBench wrote it to tell of a run, expected answers included."""
    with file.open("rb") as stream:
        head = stream.read(_PEEK_BYTES)
        if _EXPORT_HEAD.match(head):
            return True
        is_parquet = head.startswith(_PARQUET)
        most = _FOOTER_BYTES if is_parquet else _PEEK_BYTES
        stream.seek(max(0, file.stat().st_size - most))
        tail = stream.read(most)
        return _EXPORT_TAIL in tail if is_parquet else tail.rstrip().endswith(_EXPORT_TAIL)


def _inner_target(link: Path, root: Path) -> str | None:
    """Where ``link`` leads, relative to its directory; None when it leads out of ``root``.

    Its end is resolved on this machine, so that no chain of links leads out in the image.
    """
    try:
        final = link.resolve()
    except (OSError, RuntimeError):  # a loop
        return None
    if not final.is_relative_to(root):
        return None
    return os.path.relpath(final, link.parent.resolve())
