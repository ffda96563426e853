"""``logs/``: what agents wrote besides their answers."""

import os
from pathlib import Path

from pacabench.store.files import file_error, open_regular, write_all
from pacabench.store.names import log_name

KEPT_BYTES = 1024 * 1024
"""Of each stream of an attempt: the first half and the last half of it."""
_STDERR_HEADING = b"\n--- stderr (its last part) ---\n"


def keep_log(run_dir: Path, attempt_id: str, log: bytes, stderr: str) -> str:
    """Write an attempt's log and return the file's name below ``logs/``.

    Not synced: a power cut may take a log, never a result.

    Raises:
        JournalError: the file cannot be written.
    """
    name = log_name(attempt_id)
    path = run_dir / "logs" / name
    content = _bounded(log)
    if stderr:
        content += _STDERR_HEADING + _bounded(stderr.encode("utf-8", "backslashreplace"))
    fd = open_regular(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    try:
        write_all(fd, content)
    except OSError as error:
        raise file_error("write", path, error) from error
    finally:
        os.close(fd)
    return name


def read_log(run_dir: Path, name: str) -> bytes:
    """What :func:`keep_log` wrote under ``name``, stderr's part included; untrusted.

    Raises:
        JournalError: it is gone, or somebody put something else there.
    """
    path = run_dir / "logs" / Path(name).name
    fd = open_regular(path, os.O_RDONLY)
    try:
        return os.read(fd, 2 * KEPT_BYTES + 1024)
    except OSError as error:
        raise file_error("read", path, error) from error
    finally:
        os.close(fd)


def without_stderr(content: bytes) -> bytes:
    """The part of a log that came from stdout."""
    before, heading, after = content.rpartition(_STDERR_HEADING)
    return before if heading else after


def _bounded(content: bytes) -> bytes:
    if len(content) <= KEPT_BYTES:
        return content
    half = KEPT_BYTES // 2
    left_out = b"\n--- %d bytes left out ---\n" % (len(content) - 2 * half)
    return content[:half] + left_out + content[-half:]
