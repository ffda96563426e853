"""``spool/``: what a proxy noted by itself, for when no harness is there to hear of it."""

import fcntl
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pacabench.durable import sync_directory
from pacabench.egress import EgressRecord
from pacabench.errors import JournalError
from pacabench.model import CallRecord
from pacabench.proxy.spool import parse_egress, parse_spool
from pacabench.store.files import file_error, open_regular

SPOOL_FOLDER = "spool"
JUDGES = "judge"
"""How the names of judges' files begin."""


@dataclass(frozen=True, slots=True)
class SpoolFile:
    """One proxy's notes."""

    path: Path
    calls: Sequence[CallRecord]
    egress: Sequence[EgressRecord]
    garbled: int
    """Lines that could not be read. What they told is lost."""

    @property
    def is_of_judges(self) -> bool:
        """Its calls judged answers, and are in no agent's books."""
        return self.path.name.startswith(f"{JUDGES}-")


def read_spools(run_dir: Path) -> list[SpoolFile]:
    """Every file in ``spool/`` that no proxy writes to any more, by name.

    A live proxy of this machine holds a lock (``flock``) on its file.

    Raises:
        JournalError: something in there is no readable file.
    """
    folder = run_dir / SPOOL_FOLDER
    try:
        if not stat.S_ISDIR(folder.lstat().st_mode):
            raise JournalError(f"{folder} is no directory. Somebody put it there; take it away.")
        paths = sorted(folder.iterdir())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise file_error("read", folder, error) from error
    return [spool for path in paths if (spool := _read(path)) is not None]


def _read(path: Path) -> SpoolFile | None:
    """None: it is still written to."""
    with os.fdopen(open_regular(path, os.O_RDONLY), "rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            content = file.read()
            return SpoolFile(
                path, parse_spool(content), parse_egress(content), _count_garbled(content)
            )
        except BlockingIOError:
            return None
        except OSError as error:
            raise file_error("read", path, error) from error


def _count_garbled(content: bytes) -> int:
    """Lines that tell of nothing, although they are not the torn end of a writer that died."""
    return sum(
        bool(line) and not parse_spool(line) and not parse_egress(line)
        for line in content.split(b"\n")[:-1]
    )


def remove_spool(spool: SpoolFile) -> str | None:
    """Remove a file of which all is on record; one with garbled lines is kept beside the journal.

    Returns:
        What was kept and why, for people.

    Raises:
        JournalError: it cannot be removed.
    """
    folder, note = spool.path.parent, None
    try:
        if spool.garbled:
            kept = folder.with_name(f"{folder.name}.cut-{spool.path.name}")
            spool.path.rename(kept)
            sync_directory(kept.parent)
            note = (
                f"{folder.name}/{spool.path.name}: lines that cannot be read: {spool.garbled}. "
                f"Calls that only they told of are uncounted; the file is kept as {kept.name}"
            )
        spool.path.unlink(missing_ok=True)
        sync_directory(folder)
    except OSError as error:
        raise file_error("remove", spool.path, error) from error
    return note
