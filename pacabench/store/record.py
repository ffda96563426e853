"""Runs as readers see them: nothing is locked, nothing is changed, a harness may be at work."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from pacabench.call_facts import MeteredFacts
from pacabench.egress import CaseEgress
from pacabench.errors import JournalError, RunNotFoundError
from pacabench.model import CaseResult, MeteredCall, Verdict
from pacabench.owner import Owner
from pacabench.store.lock import lock_holder
from pacabench.store.manifest import Manifest, has_manifest, read_manifest
from pacabench.store.reader import (
    EGRESS,
    JUDGE,
    JournalReader,
    read_call_facts,
    read_calls,
    read_egress,
    read_judge_calls,
    read_results,
    read_verdicts,
)

RunStatus: TypeAlias = Literal["running", "finished", "stopped", "interrupted"]
"""``interrupted``: the manifest says ``running``, but no harness holds the run. It was killed."""

_CANDIDATES_SHOWN = 10


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A run on disk. Results and calls are read when they are asked for, one at a time."""

    run_dir: Path
    manifest: Manifest
    status: RunStatus
    holder: Owner | None
    """The harness that works on it now."""

    @property
    def run_id(self) -> str:
        """The run's id."""
        return self.manifest.run_id

    def results(self) -> Iterator[CaseResult]:
        """All attempts in the order in which they ended. The last one of a case decides.

        Raises:
            JournalError: the file is damaged or cannot be read.
        """
        return (result for _, result in self.results_file())

    def calls(self) -> Iterator[MeteredCall]:
        """All LLM calls in the order in which they ended.

        Raises:
            JournalError: the file is damaged or cannot be read.
        """
        return (call for _, call in self.calls_file())

    def judge_calls(self) -> Iterator[MeteredCall]:
        """All LLM calls that judged answers, in the order in which they ended.

        Raises:
            JournalError: the file is damaged or cannot be read.
        """
        file = self.judge_file()
        return iter(()) if file is None else (call for _, call in file)

    def egress(self) -> Iterator[CaseEgress]:
        """All ways out to the web that agents tried, in the order in which they ended.

        Raises:
            JournalError: the file is damaged or cannot be read.
        """
        file = self.egress_file()
        return iter(()) if file is None else (way for _, way in file)

    def calls_file(self) -> JournalReader[MeteredCall]:
        """The LLM calls with their places in the file."""
        return read_calls(self.run_dir, synced=self._synced("calls_bytes"))

    def call_facts_file(self) -> JournalReader[MeteredFacts]:
        """What counts of the LLM calls, with their places in the file."""
        return read_call_facts(self.run_dir, synced=self._synced("calls_bytes"))

    def egress_file(self) -> JournalReader[CaseEgress] | None:
        """The ways out with their places in the file; None in a run of a version without them."""
        synced = self._synced("egress_bytes")
        if not synced and not os.path.lexists(self.run_dir / EGRESS):
            return None
        return read_egress(self.run_dir, synced=synced)

    def judge_file(self) -> JournalReader[MeteredCall] | None:
        """The LLM calls that judged, with their places in the file; None where there were none."""
        synced = self._synced("judge_bytes")
        if not synced and not os.path.lexists(self.run_dir / JUDGE):
            return None
        return read_judge_calls(self.run_dir, synced=synced)

    def results_file(self) -> JournalReader[CaseResult]:
        """The results with their places in the file, for reading single ones again."""
        return read_results(self.run_dir, synced=self._synced("results_bytes"))

    def verdicts_file(self) -> JournalReader[Verdict]:
        """What counts of the results, with their places in the file."""
        return read_verdicts(self.run_dir, synced=self._synced("results_bytes"))

    def _synced(self, name: str) -> int:
        return max((getattr(session, name) for session in self.manifest.sessions), default=0)


@dataclass(frozen=True, slots=True)
class BrokenRun:
    """A directory with a manifest that cannot be read."""

    run_dir: Path
    problem: str


def load_run(run_dir: Path) -> RunRecord:
    """The run in ``run_dir``, for showing and exporting it.

    Raises:
        JournalError: its manifest is missing or cannot be read.
    """
    manifest = read_manifest(run_dir)
    holder = lock_holder(run_dir)
    status: RunStatus = manifest.status
    if status == "running" and holder is None:
        # It may have ended between the two looks.
        manifest = read_manifest(run_dir)
        status = "interrupted" if manifest.status == "running" else manifest.status
    return RunRecord(run_dir, manifest, status, holder)


def list_runs(runs_dir: Path) -> tuple[list[RunRecord], list[BrokenRun]]:
    """All runs in ``runs_dir``, the newest first, and those that cannot be read."""
    runs: list[RunRecord] = []
    broken: list[BrokenRun] = []
    for run_dir in _run_dirs(runs_dir):
        try:
            runs.append(load_run(run_dir))
        except JournalError as error:
            broken.append(BrokenRun(run_dir, str(error)))
    runs.sort(key=lambda run: (run.manifest.started, run.run_id), reverse=True)
    return runs, broken


def find_run(runs_dir: Path, name: str) -> Path:
    """The directory of the run called ``name``, or of the only one whose id contains it.

    Raises:
        RunNotFoundError: there is none, or more than one; the message lists what there is.
    """
    run_dirs = _run_dirs(runs_dir)
    for run_dir in run_dirs:
        if run_dir.name == name:
            return run_dir
    matches = [run_dir for run_dir in run_dirs if name and name in run_dir.name]
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise RunNotFoundError(
            f"{len(matches)} runs fit {name!r}: {_listed(matches)}. Give more of the id."
        )
    if not run_dirs:
        raise RunNotFoundError(f"there is no run {name!r}: {runs_dir} holds no runs at all.")
    raise RunNotFoundError(
        f"there is no run {name!r} in {runs_dir}. The newest: {_listed(run_dirs)}."
    )


def _run_dirs(runs_dir: Path) -> list[Path]:
    try:
        with os.scandir(runs_dir) as entries:
            names = [entry.name for entry in entries if not entry.name.startswith(".")]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [runs_dir / name for name in sorted(names) if has_manifest(runs_dir / name)]


def _listed(run_dirs: Sequence[Path]) -> str:
    newest = sorted(run_dirs, key=_changed_at, reverse=True)
    names = [run_dir.name for run_dir in newest[:_CANDIDATES_SHOWN]]
    more = len(run_dirs) - len(names)
    return ", ".join(names) + (f" and {more} more" if more else "")


def _changed_at(run_dir: Path) -> float:
    try:
        return run_dir.stat().st_mtime
    except OSError:
        return 0.0
