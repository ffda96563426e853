"""``doctor --audit``: the attack suite on the user's engine, as a table or as JSON."""

import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Column, Table
from rich.text import Text

from pacabench.audit.attack import Attack, Mutation, Status, Verdict
from pacabench.audit.catalogue import CATALOGUE, select
from pacabench.audit.lab import open_lab
from pacabench.audit.summary import summarise_audit
from pacabench.cli.exit import ExitCode, say_warning
from pacabench.cli.output import result_console, write_result
from pacabench.cli.signals import stop_on_signals
from pacabench.config.schema import SandboxProfile
from pacabench.errors import JournalError
from pacabench.events import Event, Notice, Preparing
from pacabench.report.printable import printable, printable_block
from pacabench.store.audits import AuditSummary, keep_audit

SCHEMA_VERSION = 1
_EVERY = 10
_STYLES = {
    Status.HELD: "green",
    Status.BROKEN: "bold red",
    Status.UNPROVEN: "yellow",
    Status.NOT_APPLICABLE: "dim",
}


@dataclass(frozen=True, slots=True)
class _Audited:
    verdicts: Sequence[Verdict]
    summary: AuditSummary


def run_audit(
    only: Sequence[str],
    *,
    cache_dir: Path,
    as_json: bool,
    profile: SandboxProfile = "strict",
    weaken: Mutation | None = None,
) -> ExitCode:
    """Make the attacks that ``only`` names (all for none), show what came of them, keep it.

    ``weaken`` takes a protection away from all of them, to see that this is noticed; no command
    gives it, and the result is not kept.

    Raises:
        UsageError: there is no such attack.
        PacabenchError: the engine cannot run the audit.
    """
    attacks = select(only)
    audited = asyncio.run(_audit(attacks, cache_dir, profile, weaken))
    if audited is None:
        return ExitCode.INTERRUPTED
    whole = len(attacks) == len(CATALOGUE) and weaken is None
    kept = _keep(audited.summary) if whole else None
    if as_json:
        write_result(json.dumps(audit_as_json(audited.verdicts, audited.summary), indent=2))
    else:
        _print(audited, kept)
    # What is not proven is not held: a control that does not work here may hide anything.
    proven = not audited.summary.broken and not audited.summary.unproven
    return ExitCode.DONE if proven else ExitCode.ERROR


async def _audit(
    attacks: Sequence[Attack],
    cache_dir: Path,
    profile: SandboxProfile,
    weaken: Mutation | None,
) -> _Audited | None:
    """None: a signal ended it. All that it made is gone then, too."""
    work = asyncio.create_task(_work(attacks, cache_dir, profile, weaken))
    # Nothing is lost by stopping at once: the first signal cancels.
    with stop_on_signals(work, _Canceller(work), lambda _: None):
        try:
            return await work
        except asyncio.CancelledError:
            return None


@dataclass(frozen=True, slots=True)
class _Canceller:
    work: asyncio.Task[Any]

    def request(self) -> None:
        """The first signal."""
        self.work.cancel()


async def _work(
    attacks: Sequence[Attack],
    cache_dir: Path,
    profile: SandboxProfile,
    weaken: Mutation | None,
) -> _Audited:
    with _Watcher(len(attacks)) as watcher:
        async with open_lab(
            attacks, cache_dir=cache_dir, listener=watcher.told, profile=profile
        ) as lab:
            verdicts = await lab.run(attacks, weaken=weaken, on_verdict=watcher.judged)
            return _Audited(verdicts, summarise_audit(lab.key, lab.engine_text, verdicts))


class _Watcher:
    """Progress on stderr: a bar on a terminal, some lines elsewhere."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._done = 0
        console = Console(stderr=True, highlight=False, markup=False, emoji=False)
        self._bar = (
            Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                console=console,
                transient=True,
            )
            if sys.stderr.isatty() and console.is_terminal
            else None
        )
        self._task = self._bar.add_task("getting ready", total=total) if self._bar else None

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, *problem: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def told(self, event: Event) -> None:
        """What is prepared. What sidecars say under attack is no news."""
        if isinstance(event, Preparing) or (isinstance(event, Notice) and event.level == "info"):
            self._show(event.text)

    def judged(self, verdict: Verdict) -> None:
        """One attack is decided."""
        self._done += 1
        text = f"{verdict.status} {verdict.attack.id}"
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=self._done, description=text)
        elif verdict.status is Status.BROKEN or self._done % _EVERY == 0 or self._is_last:
            self._say(f"[{self._done}/{self._total}] {text}")

    @property
    def _is_last(self) -> bool:
        return self._done == self._total

    def _show(self, text: str) -> None:
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, description=printable(text, 60))
        else:
            self._say(printable(text))

    @staticmethod
    def _say(text: str) -> None:
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


def _keep(summary: AuditSummary) -> Path | None:
    try:
        return keep_audit(summary)
    except (JournalError, OSError) as error:
        say_warning(f"the result could not be kept, so runs will not show it: {error}")
        return None


def audit_as_json(verdicts: Sequence[Verdict], summary: AuditSummary) -> dict[str, Any]:
    """What ``doctor --audit --json`` prints. ``docs/cli.md`` describes it."""
    return {
        "schema_version": SCHEMA_VERSION,
        "engine": summary.engine,
        "engine_id": summary.key.engine_id,
        "engine_version": summary.key.engine_version,
        "profile": summary.key.profile,
        "package_version": summary.key.package_version,
        "at": summary.at,
        "held": summary.held,
        "broken": len(summary.broken),
        "unproven": len(summary.unproven),
        "not_applicable": len(summary.not_applicable),
        "attacks": [_row(verdict) for verdict in verdicts],
    }


def _row(verdict: Verdict) -> dict[str, Any]:
    attack = verdict.attack
    return {
        "id": attack.id,
        "group": attack.group.value,
        "title": attack.title,
        "tried": attack.tried,
        "status": verdict.status.value,
        "why": verdict.why,
        "removed_in_control": attack.control.text,
        "stand_in": attack.control.stand_in or None,
        "evidence": dict(verdict.evidence),
        "control_evidence": dict(verdict.control),
        "duration_s": round(verdict.duration_s, 3),
    }


def _print(audited: _Audited, kept: Path | None) -> None:
    table = Table(
        Column("attack", no_wrap=True),
        Column("what was tried", ratio=3, overflow="fold"),
        Column("", no_wrap=True),
        Column("why, and what to do", ratio=3, overflow="fold"),
        box=None,
        pad_edge=False,
        expand=True,
    )
    for verdict in audited.verdicts:
        table.add_row(
            Text(verdict.attack.id, style="bold"),
            Text(verdict.attack.tried),
            Text(verdict.status.value, style=_STYLES[verdict.status]),
            Text(printable_block(verdict.why)),
        )
    console = result_console()
    console.print(table)
    console.print(Text(f"\n{_conclusion(audited.summary)}", style=_style(audited.summary)))
    if kept is not None:
        console.print(Text(f"Kept in {printable(str(kept))}; runs on this engine say so."))


def _conclusion(summary: AuditSummary) -> str:
    counts = (
        f"{summary.held} held, {len(summary.broken)} BROKEN, {len(summary.unproven)} UNPROVEN, "
        f"{len(summary.not_applicable)} not applicable on {printable(summary.engine)}."
    )
    if summary.broken:
        return f"{counts} Do not run agents that you do not trust here."
    if summary.unproven:
        return f"{counts} What is UNPROVEN was not shown to hold: see each row for the reason."
    return counts


def _style(summary: AuditSummary) -> str:
    return "bold red" if summary.broken else "yellow" if summary.unproven else "bold green"
