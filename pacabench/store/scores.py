"""``scores/NAME.jsonl`` in a run's directory: answers judged again. The journal stays as it is.

Written whole or not at all. Lines are sealed as the journal's; the first says by what was judged.
"""

import dataclasses
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import orjson
from pydantic import TypeAdapter, ValidationError

from pacabench.errors import JournalError, UsageError
from pacabench.model import CaseResult, Evaluation, Outcome, Score, Verdict
from pacabench.store.files import file_error, make_directory, open_regular, replace_file
from pacabench.store.lines import encode, is_whole, seal

_FOLDER = "scores"
_SUFFIX = ".jsonl"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,59}")
_HEAD, _SCORE = "head", "score"


@dataclass(frozen=True, slots=True)
class JudgeFigures:
    """What judging by a model took."""

    calls: int
    failed_calls: int
    input_tokens: int | None
    output_tokens: int | None
    cost_usd: float | None
    replayed_calls: int = 0
    """Of ``calls``: a cassette answered them, and nobody billed them now."""
    unmatched_calls: int = 0
    """Not in ``calls``: a cassette should have answered them, and held no answer."""


@dataclass(frozen=True, slots=True)
class ScoresHead:
    """By what answers were judged again."""

    name: str
    at: str
    """ISO 8601, UTC."""
    package_version: str
    evaluators: dict[str, dict[str, Any]]
    """By data set, as the configuration has them. Others keep their first scores."""
    judge: JudgeFigures | None = None
    """None: no model was asked."""
    weaknesses: tuple[str, ...] = ()
    """Promises of the sandbox that did not hold for programs that judged (--allow-weak-sandbox)."""
    count: int | None = None
    """Of the scores that follow, so that none can be missing unnoticed. None: of a version that
    did not say."""


@dataclass(frozen=True, slots=True)
class Rescore:
    """What became of one attempt."""

    attempt_id: str
    outcome: Outcome
    evaluation: Evaluation | None
    error: str | None


@dataclass(frozen=True, slots=True)
class Scores:
    """Another judgement of a run's answers, to be read over the first one."""

    head: ScoresHead
    by_attempt: Mapping[str, Rescore]

    def verdict(self, verdict: Verdict) -> Verdict:
        """``verdict`` as it is now; one that was not judged again stands."""
        new = self.by_attempt.get(verdict.attempt_id)
        if new is None:
            return verdict
        score = Score(new.evaluation.score) if new.evaluation else None
        return dataclasses.replace(verdict, outcome=new.outcome, evaluation=score)

    def result(self, result: CaseResult) -> CaseResult:
        """As :meth:`verdict`."""
        new = self.by_attempt.get(result.attempt_id)
        if new is None:
            return result
        return dataclasses.replace(
            result, outcome=new.outcome, evaluation=new.evaluation, error=new.error
        )


@dataclass(frozen=True, slots=True)
class _Line:
    v: int
    durable: int
    head: ScoresHead | None = None
    score: Rescore | None = None


def check_scores_name(run_dir: Path, name: str) -> str:
    """``name`` as it is, if new scores can be kept by it.

    Raises:
        UsageError: it cannot name a file, or is taken.
    """
    if _NAME.fullmatch(name) is None:
        raise UsageError(
            f"{name!r} cannot name scores: use 1 to 60 letters, digits, dots, dashes and "
            "underscores, with a letter or digit first."
        )
    if name in list_scores(run_dir):
        raise UsageError(
            f"there are scores {name!r} already; old scores stay. Take another --name."
        )
    return name


def free_scores_name(run_dir: Path) -> str:
    """``scores-1``, ``scores-2``, ...: the first that is free."""
    taken, number = set(list_scores(run_dir)), 1
    while f"scores-{number}" in taken:
        number += 1
    return f"scores-{number}"


def list_scores(run_dir: Path) -> list[str]:
    """Names of the scores that a run has besides its first ones, by name."""
    try:
        names = [path.name for path in (run_dir / _FOLDER).iterdir()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    found = (name.removesuffix(_SUFFIX) for name in names if name.endswith(_SUFFIX))
    return sorted(name for name in found if _NAME.fullmatch(name))


def write_scores(run_dir: Path, head: ScoresHead, scores: Iterable[Rescore]) -> None:
    """Keep scores beside the run's results.

    Raises:
        JournalError: the disk does not take it; then nothing is kept.
    """
    told = [seal(_SCORE, encode(score), 0) for score in scores]
    lines = [seal(_HEAD, orjson.dumps(dataclasses.replace(head, count=len(told))), 0), *told]
    make_directory(run_dir / _FOLDER)
    replace_file(_path(run_dir, head.name), b"".join(lines))


def read_scores(run_dir: Path, name: str) -> Scores:
    """The scores ``name`` of a run.

    Raises:
        UsageError: there are none of this name.
        JournalError: the file is damaged or cannot be read.
    """
    known = list_scores(run_dir)
    if name not in known:
        raise UsageError(
            f"run {run_dir.name} has no scores {name!r}; "
            + (f"there are: {', '.join(known)}" if known else "`pacabench score` makes some")
        )
    path = _path(run_dir, name)
    lines = _lines(path)
    head = next(lines, None)
    if head is None or head.head is None:
        raise JournalError(f"{path} is damaged: its first line is missing.")
    by_attempt = {line.score.attempt_id: line.score for line in lines if line.score is not None}
    if head.head.count not in (None, len(by_attempt)):
        raise JournalError(
            f"{path} is damaged: it should hold {head.head.count} scores, and holds "
            f"{len(by_attempt)}. Judge again with `pacabench score`."
        )
    return Scores(head.head, by_attempt)


def _path(run_dir: Path, name: str) -> Path:
    return run_dir / _FOLDER / f"{name}{_SUFFIX}"


def _lines(path: Path) -> Iterator[_Line]:
    try:
        with os.fdopen(open_regular(path, os.O_RDONLY), "rb") as file:
            for number, line in enumerate(file, 1):
                if not is_whole(line):
                    raise JournalError(f"{path} line {number} is damaged.")
                try:
                    yield _adapter().validate_json(line)
                except ValidationError as error:
                    raise JournalError(
                        f"{path} line {number} is none that this PacaBench knows."
                    ) from error
    except OSError as error:
        raise file_error("read", path, error) from error


@cache
def _adapter() -> TypeAdapter[_Line]:
    return TypeAdapter(_Line)
