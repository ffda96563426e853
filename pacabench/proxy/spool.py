"""Calls and ways out on disk, so that they survive the death of harness and proxy.

Append-only JSON lines, one ``write`` each. Of a call: ``{"begin": ...}`` when a request goes to the
provider, ``{"end": ...}`` when it is over. A begin without an end was billed, maybe, and nobody
knows how much. Of a way out to the web: ``{"egress": ...}``; the last one of an id counts. Not
synced to the disk: it outlives processes; against the loss of the machine there is the journal.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson

from pacabench.egress import EgressRecord
from pacabench.model import CallRecord
from pacabench.proxy.control import decode_call, decode_egress
from pacabench.proxy.record import CallDraft


class Spool:
    """The writing end. One process at a time."""

    def __init__(self, path: str | Path) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._fd = os.open(path, flags, 0o600)
        self._torn = os.fstat(self._fd).st_size > 0
        """The last line may lack its end; then the next one starts with a newline of its own."""

    def begin(self, draft: CallDraft) -> None:
        """Note that a call is on its way; as long as no end follows, it is ``interrupted``.

        Raises:
            OSError: it could not be written (disk full).
        """
        self._write({"begin": draft})

    def end(self, record: CallRecord) -> None:
        """Note how a call ended.

        Raises:
            OSError: it could not be written (disk full).
        """
        self._write({"end": record})

    def egress(self, record: EgressRecord) -> None:
        """Note a way out as far as it is known; a later line of the same id takes its place.

        Raises:
            OSError: it could not be written (disk full).
        """
        self._write({"egress": record})

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)

    def _write(self, entry: dict[str, CallDraft | CallRecord | EgressRecord]) -> None:
        line = orjson.dumps(entry) + b"\n"
        if self._torn:
            line = b"\n" + line
        self._torn = True
        self._torn = os.write(self._fd, line) != len(line)


@contextmanager
def live_spool(folder: Path, kind: str) -> Iterator[Spool]:
    """A spool that is locked while this process lives, and gone when all of it was delivered."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{kind}-{os.urandom(8).hex()}"
    spool = Spool(path)
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield spool
    finally:
        spool.close()
    path.unlink(missing_ok=True)


def read_spool(path: str | Path) -> list[CallRecord]:
    """The calls in a spool file; none where there is no file. See :func:`parse_spool`."""
    return parse_spool(_read(path))


def read_egress(path: str | Path) -> list[EgressRecord]:
    """The ways out in a spool file; none where there is no file. See :func:`parse_egress`."""
    return parse_egress(_read(path))


def _read(path: str | Path) -> bytes:
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        return b""


def parse_spool(content: bytes) -> list[CallRecord]:
    """Every call in order of its start, once. One that never ended is ``interrupted``.

    Lines that are torn or garbled are passed over: what they held is lost, the others are not.
    """
    calls: dict[str, CallRecord] = {}
    for line in content.split(b"\n"):
        entry = _entry(line)
        if entry is not None and (entry.end != "interrupted" or entry.call_id not in calls):
            calls[entry.call_id] = entry
    return list(calls.values())


def _entry(line: bytes) -> CallRecord | None:
    try:
        entry: dict[str, Any] = orjson.loads(line)
        return decode_call(entry.get("end") or entry["begin"])
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def parse_egress(content: bytes) -> list[EgressRecord]:
    """Every way out in order of its start, once, as its last line has it."""
    found: dict[str, EgressRecord] = {}
    for line in content.split(b"\n"):
        try:
            record = decode_egress(orjson.loads(line)["egress"])
        except (KeyError, TypeError, ValueError):
            continue
        found[record.egress_id] = record
    return list(found.values())
