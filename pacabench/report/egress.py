"""What agents tried to reach of the web, added up case by case. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pacabench.egress import CaseEgress, EgressRecord, EgressVerdict
from pacabench.model import CaseKey

MAX_TARGETS = 100
"""Of one case, that have figures of their own."""


@dataclass(slots=True)
class Tally:
    """Ways out, added up."""

    verdicts: Counter[EgressVerdict] = field(default_factory=Counter)
    bytes_up: int = 0
    bytes_down: int = 0

    def add(self, way: EgressRecord) -> None:
        """Count ``way``, and those that it stands for."""
        self.verdicts[way.verdict] += way.count
        self.bytes_up += way.bytes_up
        self.bytes_down += way.bytes_down


@dataclass(slots=True)
class EgressFigures:
    """The ways out of one case, in all its attempts."""

    total: Tally = field(default_factory=Tally)
    targets: dict[tuple[str, int | None], Tally] = field(default_factory=dict)
    """By host and port as asked for, in the order of the first time; the first ones only."""

    def add(self, way: EgressRecord) -> None:
        """Count ``way``."""
        self.total.add(way)
        target = (way.host, way.port)
        if target not in self.targets and len(self.targets) >= MAX_TARGETS:
            return
        if way.count == 1:  # else it stands for many targets
            self.targets.setdefault(target, Tally()).add(way)


def add_up_egress(ways: Iterable[CaseEgress]) -> Mapping[CaseKey, EgressFigures]:
    """The figures of every case that has any."""
    found: dict[CaseKey, EgressFigures] = {}
    for way in ways:
        found.setdefault(way.key, EgressFigures()).add(way.egress)
    return found


def export_egress(figures: EgressFigures | None) -> dict[str, Any] | None:
    """``cases[].egress`` of the export."""
    if figures is None:
        return None
    return {
        **_tally(figures.total),
        "targets": [
            {"host": host, "port": port, **_tally(tally)}
            for (host, port), tally in figures.targets.items()
        ],
    }


def _tally(tally: Tally) -> dict[str, int]:
    return {
        "allowed": tally.verdicts["allowed"],
        "denied": tally.verdicts["denied"],
        "failed": tally.verdicts["failed"],
        "bytes_up": tally.bytes_up,
        "bytes_down": tally.bytes_down,
    }
