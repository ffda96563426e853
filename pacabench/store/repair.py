"""What is done to a journal file whose end is no whole line."""

import secrets
from collections.abc import Sequence
from typing import TypeVar

from pacabench.store.files import write_new
from pacabench.store.journal import cut_back
from pacabench.store.reader import JournalReader

T = TypeVar("T")


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
