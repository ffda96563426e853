"""A cassette's directory: ``cassette.json``, ``index.jsonl``, ``blobs/``, and a lock for a writer.

A cassette may come from anybody. Nothing in it names a path; links are not followed; every size is
bounded before it is read.
"""

import contextlib
import fcntl
import os
import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pacabench import __version__
from pacabench.cassette.index import INDEX
from pacabench.durable import sync_directory
from pacabench.errors import CassetteError, JournalError
from pacabench.store.files import file_error, make_directory, open_regular, read_regular, write_new
from pacabench.store.manifest import utc_now

HEADER = "cassette.json"
BLOBS = "blobs"
LOCK = "lock"
FORMAT = "pacabench-cassette"
VERSION = 1
_MAX_HEADER_BYTES = 1024**2
_MAX_POINTERS = 1000


class Header(BaseModel):
    """``cassette.json``; never changed once it is written."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    format: str
    version: int
    id: str = Field(pattern=r"^[0-9a-f]{16,64}$")
    """Random. A run that records knows its cassette by it."""
    created: str = Field(max_length=64)
    package_version: str = Field(max_length=64)
    ignore: tuple[str, ...] = Field(default=(), max_length=_MAX_POINTERS)
    """JSON pointers that the index's request digests leave out."""


def start_cassette(directory: Path, ignore: Sequence[str]) -> Header:
    """Make a cassette in ``directory``, which may be missing or empty; one without entries stays.

    Raises:
        CassetteError: there is something in it.
        JournalError: it cannot be written.
    """
    if directory.exists() and not directory.is_dir():
        raise CassetteError(f"{directory} is a file, not a directory: name a new one")
    if os.path.lexists(directory / HEADER):
        header = read_header(directory)
        if (directory / INDEX).stat().st_size == 0 and header.ignore == tuple(ignore):
            return header
        raise CassetteError(
            f"{directory} holds a cassette already. Record into another directory, or add what is "
            "new to this one with --replay-or-record."
        )
    header = Header(
        format=FORMAT,
        version=VERSION,
        id=secrets.token_hex(16),
        created=utc_now(),
        package_version=__version__,
        ignore=tuple(ignore),
    )
    try:
        make_directory(directory)
        if any(directory.iterdir()):
            raise CassetteError(f"{directory} is not empty and no cassette: name another directory")
        (directory / BLOBS).mkdir()
        write_new(directory / INDEX, b"")
        # Last: what has a header is whole.
        write_new(directory / HEADER, header.model_dump_json(indent=2).encode() + b"\n")
        sync_directory(directory)
    except OSError as error:
        raise file_error("create", directory, error) from error
    return header


def read_header(directory: Path) -> Header:
    """The header of the cassette in ``directory``.

    Raises:
        CassetteError: there is none, or none that this version can read.
    """
    if not os.path.lexists(directory / HEADER):
        if not directory.is_dir():
            what = "it is a file" if os.path.lexists(directory) else "there is no such directory"
            raise CassetteError(
                f"{directory} is no cassette: {what}. `pacabench run --record DIR` makes one."
            )
        raise CassetteError(
            f"{directory} is no cassette: it has no {HEADER}. Name the directory that was given to "
            "--record."
        )
    try:
        header = Header.model_validate_json(read_regular(directory / HEADER, _MAX_HEADER_BYTES))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "the whole file"
        text = f"{directory / HEADER} is not understood ({where}: {first['msg']})"
        raise CassetteError(text) from None
    except JournalError as error:
        raise CassetteError(str(error)) from None
    if header.format != FORMAT or header.version != VERSION:
        raise CassetteError(
            f"{directory} is a cassette of version {header.version}; this PacaBench reads "
            f"version {VERSION}"
        )
    blobs, index = directory / BLOBS, directory / INDEX
    if blobs.is_symlink() or not blobs.is_dir() or index.is_symlink() or not index.is_file():
        raise CassetteError(f"{directory}: {BLOBS} or {INDEX} is missing, or is a link")
    return header


@contextlib.contextmanager
def open_cassette(directory: Path) -> Iterator[None]:
    """Hold the cassette for writing. Its lock ends with this process, however that ends.

    Raises:
        CassetteError: another process writes to it.
        JournalError: it cannot be written.
    """
    fd = open_regular(directory / LOCK, os.O_RDWR | os.O_CREAT)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise CassetteError(f"another run is recording into {directory}; wait for it") from None
        yield
    finally:
        os.close(fd)
