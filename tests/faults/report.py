"""What a soak found: kills by victim and step, cases, violations."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from faults.deck import Pair
from faults.episode import Ended
from faults.kills import STEPS_OF, Victim
from faults.steps import Step

_console = Console(width=110, highlight=False)
_ANY = "any moment"


@dataclass(frozen=True, slots=True)
class Count:
    """Of the kills of one victim at one step, or of several."""

    planned: int
    hit: int
    in_flight: int
    """Calls that were under way at those that hit, all together."""

    def __str__(self) -> str:
        """Hit of planned, and calls. Empty where nothing was planned."""
        return f"{self.hit}/{self.planned} ({self.in_flight})" if self.planned else ""


class Tally:
    """Kills that were planned and those that hit."""

    def __init__(self, played: Sequence[Ended], wanted: Sequence[Victim]) -> None:
        self._wanted = wanted
        self._hit: Counter[Pair] = Counter()
        self._in_flight: Counter[Pair] = Counter()
        for hit in (hit for one in played for hit in one.done):
            self._hit[hit.kill.victim, hit.kill.step] += 1
            self._in_flight[hit.kill.victim, hit.kill.step] += hit.in_flight
        missed = (kill for one in played for kill in one.missed)
        self._planned = self._hit + Counter((kill.victim, kill.step) for kill in missed)
        self.with_calls = sum(hit.in_flight > 0 for one in played for hit in one.done)
        """Kills at which a call was under way."""

    def count(self, which: Callable[[Victim, Step | None], bool]) -> Count:
        """Of all pairs that ``which`` is true of."""
        pairs = [pair for pair in self._planned if which(*pair)]
        return Count(
            sum(self._planned[pair] for pair in pairs),
            sum(self._hit[pair] for pair in pairs),
            sum(self._in_flight[pair] for pair in pairs),
        )

    def rows(self) -> list[list[str]]:
        """Of the table by step and victim, the last one the sums."""
        rows = [
            [
                step or _ANY,
                *(str(self.count(lambda v, s, w=who, t=step: (v, s) == (w, t))) for who in Victim),  # type: ignore[misc]
                str(self.count(lambda _, s, t=step: s == t)),  # type: ignore[misc]
            ]
            for step in (*Step, None)
        ]
        by_victim = [str(self.count(lambda v, _, w=who: v == w)) for who in Victim]  # type: ignore[misc]
        return [*rows, ["all", *by_victim, str(self.count(lambda _, __: True))]]

    @property
    def never(self) -> list[Step]:
        """Steps at which none of the wanted victims was killed, though one could have been."""
        possible = {step for victim in self._wanted for step in STEPS_OF[victim]}
        hit = {step for (_, step), count in self._hit.items() if count}
        return [step for step in Step if step in possible - hit]

    @property
    def pairs_never(self) -> list[str]:
        """Victims with a step at which it was never they who were killed."""
        return [
            f"{victim} at '{step}'"
            for victim in self._wanted
            for step in STEPS_OF[victim]
            if not self._hit[victim, step]
        ]


def say(what: Ended | str) -> None:
    """A line, as things go on."""
    if isinstance(what, str):
        _console.print(what)
        return
    _console.print(
        f"{what.name}: {what.sandbox}, {len(what.done)} kills and {len(what.missed)} without step "
        f"or victim in {what.sessions} sessions, {what.figures.calls} calls, "
        f"{len(what.violations)} violations, {what.seconds:.0f} s"
    )
    for violation in what.violations:
        _console.print(f"  VIOLATION {violation}", style="bold red", markup=False)
    if what.violations:
        for hit in what.done:
            _console.print(f"    after: {hit.kill}", markup=False)


def show(seed: str, played: Sequence[Ended], tally: Tally, seconds: float) -> None:
    """The tables, and what was never hit."""
    table = Table(title="Kills by where and who: hit/planned (calls at the provider meanwhile)")
    table.add_column("at")
    for name in (*Victim, "all"):
        table.add_column(name, justify="right")
    *rows, sums = tally.rows()
    for row in rows:
        table.add_row(*row)
    table.add_section()
    table.add_row(*sums)
    _console.print(table)
    ended = Table(title=f"Soak with seed {seed}, {seconds / 60:.0f} min", show_header=False)
    ended.add_column()
    ended.add_column(justify="right")
    for name, value in totals(played, tally).items():
        ended.add_row(name, str(value))
    _console.print(ended)
    _console.print(f"never hit: {', '.join(tally.pairs_never) or 'none'}", markup=False)
    _console.print(f"steps never hit: {', '.join(tally.never) or 'none'}", markup=False)


def totals(played: Sequence[Ended], tally: Tally) -> dict[str, int]:
    """What was counted."""
    return {
        "episodes": len(played),
        "kills": sum(len(one.done) for one in played),
        "of which while calls were under way": tally.with_calls,
        "planned without their step or victim, and planned again": sum(
            len(one.missed) for one in played
        ),
        "sessions": sum(one.sessions for one in played),
        "cases": sum(one.cases for one in played),
        "attempts": sum(one.figures.attempts for one in played),
        "calls": sum(one.figures.calls for one in played),
        "of which recovered from a spool": sum(one.figures.recovered for one in played),
        "of which marked as under way at a kill": sum(one.figures.in_flight for one in played),
        "steps never hit": len(tally.never),
        "violations": sum(len(one.violations) for one in played),
    }


def write_report(
    path: Path, seed: str, played: Sequence[Ended], tally: Tally, seconds: float
) -> None:
    """The same as JSON, with every kill and violation, and as Markdown; also after each episode."""
    report = {
        "seed": seed,
        "seconds": round(seconds, 1),
        "totals": totals(played, tally),
        "steps never hit": tally.never,
        "never hit": tally.pairs_never,
        "episodes": [asdict(one) for one in played],
    }
    (path / "report.json").write_text(json.dumps(report, indent=2) + "\n")
    head = [["at", *Victim, "all"], ["---"] * (len(Victim) + 2)]
    lines = ["| " + " | ".join(row) + " |" for row in [*head, *tally.rows()]]
    lines += ["", *(f"- {name}: {value}" for name, value in totals(played, tally).items())]
    (path / "report.md").write_text("\n".join(lines) + "\n")
