"""What a soak found: kills by victim and step, cases, violations."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from faults.episode import Ended
from faults.kills import Kill, Victim
from faults.steps import Step

_console = Console(width=110, highlight=False)


def say(what: Ended | str) -> None:
    """A line, as things go on."""
    if isinstance(what, str):
        _console.print(what)
        return
    _console.print(
        f"{what.name}: {what.sandbox}, {len(what.done)} kills in {what.sessions} sessions, "
        f"{what.figures.calls} calls, {len(what.violations)} violations, {what.seconds:.0f} s"
    )
    for violation in what.violations:
        _console.print(f"  VIOLATION {violation}", style="bold red", markup=False)
    if what.violations:
        for kill in what.done:
            _console.print(f"    after: {kill}", markup=False)


def show(seed: str, played: Sequence[Ended], seconds: float) -> None:
    """The tables."""
    done = [kill for one in played for kill in one.done]
    _console.print(_by_step(done))
    _console.print(_totals(seed, played, seconds))


def _by_step(done: Sequence[Kill]) -> Table:
    table = Table(title="Kills, by where and who")
    table.add_column("at")
    for victim in Victim:
        table.add_column(victim, justify="right")
    table.add_column("all", justify="right")
    counts = Counter((kill.step, kill.victim) for kill in done)
    for step in (*Step, None):
        row = [counts[step, victim] for victim in Victim]
        table.add_row(step or "any moment", *(str(n) if n else "" for n in row), str(sum(row)))
    table.add_section()
    row = [sum(kill.victim is victim for kill in done) for victim in Victim]
    table.add_row("all", *map(str, row), str(sum(row)))
    return table


def totals(played: Sequence[Ended]) -> dict[str, int]:
    """What was counted."""
    return {
        "episodes": len(played),
        "kills": sum(len(one.done) for one in played),
        "planned kills without their step or victim": sum(len(one.missed) for one in played),
        "sessions": sum(one.sessions for one in played),
        "cases": sum(one.cases for one in played),
        "attempts": sum(one.figures.attempts for one in played),
        "calls": sum(one.figures.calls for one in played),
        "of which recovered from a spool": sum(one.figures.recovered for one in played),
        "of which marked as under way at a kill": sum(one.figures.in_flight for one in played),
        "violations": sum(len(one.violations) for one in played),
    }


def _totals(seed: str, played: Sequence[Ended], seconds: float) -> Table:
    table = Table(title=f"Soak with seed {seed}, {seconds / 60:.0f} min", show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for name, value in totals(played).items():
        table.add_row(name, str(value))
    return table


def write_report(path: Path, seed: str, played: Sequence[Ended], seconds: float) -> None:
    """The same as JSON, with every kill and violation; also after each episode."""
    report = {
        "seed": seed,
        "seconds": round(seconds, 1),
        "totals": totals(played),
        "episodes": [asdict(one) for one in played],
    }
    (path / "report.json").write_text(json.dumps(report, indent=2) + "\n")
