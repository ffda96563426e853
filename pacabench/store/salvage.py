"""Calls and ways out that no harness heard of, out of ``spool/`` and into the run's own books."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TypeAlias

from pacabench.egress import CaseEgress
from pacabench.model import CallRecord, CaseKey, MeteredCall
from pacabench.store.reader import read_calls, read_egress, read_judge_calls
from pacabench.store.spool import SpoolFile, remove_spool

Cost: TypeAlias = Callable[[CallRecord], float | None]


def unpriced(_: CallRecord) -> None:
    """A price that nobody knows."""
    return


@dataclass(frozen=True, slots=True)
class Books:
    """Takes what is salvaged; what it took is on disk once ``sync`` has returned."""

    take_call: Callable[[MeteredCall], None]
    take_judge_call: Callable[[MeteredCall], None]
    take_way: Callable[[CaseEgress], None]
    sync: Callable[[], None]


@dataclass
class Salvage:
    """Takes over each call and each way out once, whatever is on record already."""

    run_dir: Path
    owners: Mapping[str, CaseKey]
    """By the digest that attempts' ids begin with."""
    books: Books
    cost: Cost
    judge_cost: Cost
    added: int = field(default=0, init=False)
    """Calls that were taken."""
    notes: list[str] = field(default_factory=list, init=False)
    """What could not be read, for people."""

    def take(self, spools: Sequence[SpoolFile]) -> None:
        """Take over what is in ``spools``; a file goes when all of it is on disk.

        Raises:
            JournalError: the journal cannot be read or written, or a file not be removed.
        """
        for spool in spools:
            known = self._judged if spool.is_of_judges else self._called
            for metered in self._missing(spool, known):
                if spool.is_of_judges:
                    self.books.take_judge_call(metered)
                else:
                    self.books.take_call(metered)
                known.add(metered.call.call_id)
                self.added += 1
            for way in self._missing_ways(spool):
                self.books.take_way(way)
                self._ways.add(way.egress.egress_id)
            self.books.sync()
            ways = all(record.egress_id in self._ways for record in spool.egress)
            if ways and all(call.call_id in known for call in spool.calls):
                note = remove_spool(spool)
                self.notes += [note] if note else []

    def _missing(self, spool: SpoolFile, known: set[str]) -> Iterator[MeteredCall]:
        cost = self.judge_cost if spool.is_of_judges else self.cost
        for call in spool.calls:
            key = self._owner(call.attempt_id)
            if call.call_id not in known and key is not None:
                yield MeteredCall(key, call, cost(call), recovered=True)

    def _missing_ways(self, spool: SpoolFile) -> Iterator[CaseEgress]:
        for record in spool.egress:
            key = self._owner(record.attempt_id)
            if record.egress_id not in self._ways and key is not None:
                yield CaseEgress(key, record, recovered=True)

    def _owner(self, attempt_id: str) -> CaseKey | None:
        return self.owners.get(attempt_id.partition("-")[0])

    @cached_property
    def _called(self) -> set[str]:
        return {call.call.call_id for _, call in read_calls(self.run_dir)}

    @cached_property
    def _judged(self) -> set[str]:
        reader = read_judge_calls(self.run_dir)
        return {call.call.call_id for _, call in reader} if reader.path.exists() else set()

    @cached_property
    def _ways(self) -> set[str]:
        return {way.egress.egress_id for _, way in read_egress(self.run_dir)}
