"""Results on stdout, and nothing else there."""

import errno
import json
import os
import re
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from rich.console import Console

_PIPE_WIDTH = 200
_NOT_PLAIN = re.compile(r"[^\x00-\x7e]")


def write_result(text: str) -> None:
    """Write ``text`` to stdout as it is, with one newline at its end."""
    sys.stdout.write(text if text.endswith("\n") else text + "\n")


def write_bytes(chunks: Iterable[bytes]) -> None:
    """Write ``chunks`` to stdout as they are: UTF-8 whatever the terminal's encoding."""
    sys.stdout.flush()
    for chunk in chunks:
        sys.stdout.buffer.write(chunk)
    sys.stdout.buffer.flush()


def plain_json(chunks: Iterable[bytes]) -> Iterator[bytes]:
    r"""The same JSON, with all that a terminal could obey or misplace written as ``\uXXXX``.

    JSON itself escapes C0 controls only; C1, bidirectional overrides and the like stand in it raw.
    Each chunk has to hold whole characters.
    """
    for chunk in chunks:
        if chunk.isascii() and b"\x7f" not in chunk:
            yield chunk
        else:
            yield _NOT_PLAIN.sub(_escaped, chunk.decode()).encode()


def _escaped(found: re.Match[str]) -> str:
    char = found[0]
    return char if char.isprintable() else json.dumps(char)[1:-1]


def result_console() -> Console:
    """A console on stdout for tables: as wide as the screen, and wide where there is none."""
    roomy = not sys.stdout.isatty() and "COLUMNS" not in os.environ
    return HonestConsole(
        highlight=False, markup=False, emoji=False, width=_PIPE_WIDTH if roomy else None
    )


class HonestConsole(Console):
    """Reports a broken pipe as what it is; rich would end the program."""

    def on_broken_pipe(self) -> None:
        """Raise, and write nothing more.

        Raises:
            BrokenPipeError: always.
        """
        self.quiet = True
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))  # typer ends quietly on it


def write_file(path: Path, chunks: Iterable[bytes]) -> None:
    """Put ``chunks`` at ``path`` whole or not at all.

    Raises:
        OSError: the directory is missing, not writable, or full.
    """
    # A device or pipe (`-o /dev/stdout`) cannot be replaced, only written to.
    if path.exists() and not path.is_file():
        with path.open("wb") as file:
            file.writelines(chunks)
        return
    target = path.resolve()
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name[:100]}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.writelines(chunks)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(_mode_of(target))
        Path(temporary).replace(target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _mode_of(target: Path) -> int:
    """As the file that is replaced; a new one gets what the umask leaves."""
    if target.exists():
        return target.stat().st_mode & 0o777
    umask = os.umask(0)
    os.umask(umask)
    return 0o666 & ~umask
