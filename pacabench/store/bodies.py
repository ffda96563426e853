"""``bodies.jsonl``: what was said in LLM calls, where the configuration asks for it. Bounded.

It is there for people to look at, and counts for nothing: no result waits for it.
"""

import os
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import msgspec

from pacabench.errors import JournalError
from pacabench.store.files import write_new
from pacabench.store.journal import Journal
from pacabench.store.lines import encode
from pacabench.store.reader import JournalReader, check_lines
from pacabench.store.repair import repair

BODIES = "bodies.jsonl"
MAX_RUN_BYTES = 512 * 1024**2
"""Of the whole file. Bodies that would make it longer are left out, and that is noted."""
_NOTES_BYTES = 64 * 1024**2
"""Beyond it, for such notes."""
_KIND = "bodies"


@dataclass(frozen=True, slots=True)
class Body:
    """A request's or a reply's. Untrusted; no key is in it."""

    text: str
    """As far as it was kept. What is no UTF-8 is escaped."""
    kept_bytes: int
    size_bytes: int
    """Of the whole."""


@dataclass(frozen=True, slots=True)
class CallBodies:
    """What was said in one call."""

    call_id: str
    request: Body | None
    response: Body | None
    left_out: str | None = None
    """Why nothing is kept."""


@dataclass(frozen=True, slots=True)
class _Line:
    v: int
    durable: int
    bodies: CallBodies


class BodyStore:
    """The one writer of a run's bodies. ``close`` it.

    Raises:
        JournalError: the file cannot be opened.
    """

    def __init__(self, run_dir: Path) -> None:
        path = run_dir / BODIES
        if not os.path.lexists(path):
            write_new(path, b"")
        self.repairs = _repair(path)
        """What was cut off, for people."""
        self._size = path.stat().st_size
        self._journal = Journal(path, _KIND)

    def add(self, bodies: CallBodies) -> None:
        """Hand the bodies of a call to the system.

        Raises:
            JournalError: the disk does not take them, and will take no more.
        """
        line = encode(bodies)
        if self._size + len(line) > MAX_RUN_BYTES:
            why = f"the bodies of this run take {MAX_RUN_BYTES // 1024**2} MiB already"
            line = encode(CallBodies(bodies.call_id, None, None, why))
            if self._size + len(line) > MAX_RUN_BYTES + _NOTES_BYTES:
                return
        self._journal.append([line])
        self._size += len(line)

    def close(self) -> None:
        """Close the file."""
        self._journal.close()


def _repair(path: Path) -> list[str]:
    """Cut off a torn end, and all after damage; it is kept in a file beside this one, and said."""
    lines = check_lines(path)
    damage = []
    try:
        for _ in lines:
            pass
    except JournalError:
        if not lines.size:
            raise
        damage = [f"{path.name} line {lines.whole_lines + 1} is damaged; it ends before that now"]
    return [*damage, *repair(lines)]


def read_bodies(
    run_dir: Path, call_ids: Collection[str], warn: Callable[[str], None] = lambda _: None
) -> dict[str, CallBodies] | None:
    """What was kept of these calls, by their ids; None where the run keeps no bodies.

    ``warn`` is told of an end that cannot be read.

    Raises:
        JournalError: the file is damaged or cannot be read.
    """
    path = run_dir / BODIES
    if not os.path.lexists(path):
        return None
    decode = _decoder().decode
    reader = JournalReader(path, lambda line: decode(line).bodies)
    found = {bodies.call_id: bodies for _, bodies in reader if bodies.call_id in call_ids}
    if reader.size > reader.end:
        warn(
            f"{path} cannot be read after line {reader.whole_lines}: it is being written, torn or "
            "damaged. What was said in later calls is not shown."
        )
    return found


@cache
def _decoder() -> msgspec.json.Decoder[_Line]:
    return msgspec.json.Decoder(_Line)
