"""What a cassette holds, case by case: which recording of a case is the one to play.

Agents' and judges' halves of attempts are looked at apart.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pacabench.cassette.halves import half_of, is_judges, of_judge
from pacabench.cassette.index import INDEX, Entry, IndexReader, RecordedCall, Take
from pacabench.model import Outcome

_CUT_SHORT = frozenset({Outcome.CANCELLED, Outcome.SANDBOX_ERROR})
"""Such an attempt ended before its agent was done: it can answer no whole one."""


@dataclass(slots=True)
class Recording:
    """All recordings of one case's half; the calls of the attempt that is played."""

    take: Take | None = None
    """None: none ended as an attempt should."""
    calls: Sequence[RecordedCall] = ()
    """In the order in which they were asked."""


@dataclass(slots=True)
class Shelf:
    """The cases of a cassette, by the digest of their key, marked where it is judges' half."""

    recordings: dict[str, Recording] = field(default_factory=dict)
    entries: int = 0
    _open: dict[str, list[RecordedCall]] = field(default_factory=dict)
    """Attempt id to calls whose attempt has not ended."""

    @classmethod
    def read(cls, directory: Path) -> tuple["Shelf", int]:
        """The shelf of the cassette in ``directory``, and how many bytes of its index are whole.

        Raises:
            CassetteError: the index cannot be read.
        """
        shelf, reader = cls(), IndexReader(directory / INDEX)
        for entry in reader:
            shelf.add(entry)
        return shelf, reader.end

    def add(self, entry: Entry) -> None:
        """Take note of the next line of the index."""
        self.entries += 1
        if (call := entry.call) is not None:
            self._open.setdefault(call.attempt_id, []).append(call)
            self.recordings.setdefault(_half(call), Recording())
        if (take := entry.take) is not None:
            calls = sorted(self._open.pop(take.attempt_id, ()), key=lambda it: it.arrived_us)
            recording = self.recordings.setdefault(_half(take), Recording())
            if _rank(take) >= _rank(recording.take):
                recording.take, recording.calls = take, calls

    @property
    def calls(self) -> int:
        """Of all attempts that are played."""
        return sum(len(it.calls) for it in self.recordings.values())

    @property
    def missing(self) -> int:
        """Calls of these attempts that could not be kept."""
        takes = (it.take for it in self.recordings.values())
        return sum(take.missing for take in takes if take is not None)


def _half(entry: RecordedCall | Take) -> str:
    """Its case is known by its key; the attempt's id tells whose calls they are."""
    digest = entry.key.digest
    return half_of(of_judge(digest)) if is_judges(entry.attempt_id) else digest


def _rank(take: Take | None) -> int:
    """An attempt that was no fault of infrastructure before one that was; else the later one."""
    if take is None or take.outcome in _CUT_SHORT:
        return 0 if take is None else -1
    return 1 if take.outcome.is_infrastructure else 2
