"""What a run's journal holds when it is opened, and what is done to a file whose end is torn."""

import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pacabench.figures import FiguresByGroup, figures_of
from pacabench.memory import building
from pacabench.model import Verdict
from pacabench.store.files import write_new
from pacabench.store.journal import cut_back
from pacabench.store.manifest import Session
from pacabench.store.reader import (
    EGRESS,
    JUDGE,
    JournalReader,
    check_lines,
    read_call_facts,
    read_verdicts,
)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Contents:
    """What a run's journal holds."""

    results: list[Verdict] = field(default_factory=list)
    """What counts of all attempts."""
    usage: FiguresByGroup = field(default_factory=lambda: figures_of(()))
    """What all calls on record used."""
    files: Sequence[JournalReader[Any]] = ()
    """Read to their ends."""


def read_all(run_dir: Path, sessions: Sequence[Session]) -> Contents:
    """Read every file to its end; none of them is changed.

    Raises:
        JournalError: one is damaged in the middle, cannot be read, or was there and is not.
    """

    def synced(name: str) -> int:
        return max((getattr(session, name) for session in sessions), default=0)

    results = read_verdicts(run_dir, synced=synced("results_bytes"))
    with building():
        verdicts = [verdict for _, verdict in results]
    calls = read_call_facts(run_dir, synced=synced("calls_bytes"))
    usage = figures_of(call for _, call in calls)
    others = []
    # Older runs have no file of ways out, and runs without judges none of theirs.
    for name, bytes_name in ((EGRESS, "egress_bytes"), (JUDGE, "judge_bytes")):
        if synced(bytes_name) or os.path.lexists(run_dir / name):
            others.append(check_lines(run_dir / name, synced=synced(bytes_name)))
    for file in others:
        for _ in file:
            pass
    return Contents(verdicts, usage, (results, calls, *others))


def repair(reader: JournalReader[T]) -> Sequence[str]:
    """Cut off what is behind the last whole line, keep it in a file, and say so."""
    notes = []
    name = reader.path.name
    if reader.size > reader.end:
        kept = reader.path.with_name(f"{name}.cut-{reader.end}-{secrets.token_hex(4)}")
        tail = cut_back(reader.path, reader.end)
        write_new(kept, tail)
        notes.append(
            f"{name}: cut {len(tail)} bytes after line {reader.whole_lines} that are no whole line "
            f"(torn by a crash, or damaged); they are in {kept.name}"
        )
    if reader.missing:
        notes.append(
            f"{name}: {reader.missing} bytes at its end are missing that were on disk "
            "when the last session ended; the cases concerned run again"
        )
    return notes
