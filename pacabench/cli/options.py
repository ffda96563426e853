"""Options that several commands share, in one wording."""

from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from pacabench.cassette_choice import CassetteChoice, Mode
from pacabench.config.problems import nearest
from pacabench.errors import UsageError
from pacabench.model import Outcome

CONFIG_FILE = Path("pacabench.yaml")


class SandboxKind(StrEnum):
    """``--sandbox``."""

    DOCKER = "docker"
    PROCESS = "process"


class LogFormat(StrEnum):
    """How progress and log messages are written."""

    TEXT = "text"
    JSON = "json"


def _positive(value: float | None) -> float | None:
    if value is not None and not value > 0:
        raise typer.BadParameter("must be more than 0")
    return value


Config = Annotated[
    Path | None,
    typer.Option("--config", "-c", metavar="FILE", help="Default: ./pacabench.yaml."),
]
BegunConfig = Annotated[
    Path | None,
    typer.Option(
        "--config", "-c", metavar="FILE", help="Where pacabench.yaml lies now, if it was moved."
    ),
]
RunsDir = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR", help="Where runs are kept. Default: output.directory, else ./runs."
    ),
]
CacheDir = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Where built and fetched things are kept between runs."),
]
Sandbox = Annotated[
    SandboxKind | None,
    typer.Option(help="docker: throwaway containers. process: for agents that you trust."),
]
Limit = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="Only the first N cases per dataset.")
]
Epochs = Annotated[
    int | None, typer.Option(min=1, max=1000, metavar="N", help="Run each case N times.")
]
Agents = Annotated[
    list[str] | None,
    typer.Option("--agents", "-a", metavar="A1,A2", help="Only these agents. Can be repeated."),
]
Datasets = Annotated[
    list[str] | None,
    typer.Option("--datasets", "-d", metavar="D1,D2", help="Only these datasets. Can be repeated."),
]
Concurrency = Annotated[
    int | None, typer.Option(min=1, max=1024, metavar="N", help="Cases that run at a time.")
]
Timeout = Annotated[
    float | None, typer.Option(metavar="S", callback=_positive, help="Seconds per attempt.")
]
FailUnder = Annotated[
    float | None,
    typer.Option(
        "--fail-under",
        min=0,
        max=1,
        metavar="SHARE",
        help="Exit code 4 where an agent's accuracy on a dataset is below it, such as 0.8.",
    ),
]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="Nothing but errors and one line at the end.")
]
LogFormatOption = Annotated[
    LogFormat, typer.Option("--log-format", help="json: every event as a JSON line on stderr.")
]
AcceptChanges = Annotated[
    bool,
    typer.Option(
        "--accept-changes",
        help="Go on although the configuration, data or agents changed since the run began.",
    ),
]
AllowWeakSandbox = Annotated[
    bool,
    typer.Option(
        "--allow-weak-sandbox",
        help="Go on although the engine does not hold agents as promised. Stamped into the run.",
    ),
]
Record = Annotated[
    Path | None,
    typer.Option(
        "--record",
        metavar="DIR",
        help="Keep every LLM call there, judges' included, to be replayed. A new directory.",
    ),
]
Replay = Annotated[
    Path | None,
    typer.Option(
        "--replay",
        metavar="DIR",
        help="Answer all LLM calls out of what was recorded: no network, no key.",
    ),
]
ReplayOrRecord = Annotated[
    Path | None,
    typer.Option(
        "--replay-or-record",
        metavar="DIR",
        help="Replay the cases that were recorded there; ask providers for the others, and record.",
    ),
]
RunName = Annotated[str, typer.Argument(metavar="RUN", help="Run id, or a unique part of it.")]
ScoresName = Annotated[
    str | None,
    typer.Option("--scores", metavar="NAME", help="By scores that `pacabench score` made."),
]
AsJson = Annotated[bool, typer.Option("--json", help="As JSON on stdout.")]


def overrides(
    *,
    sandbox: SandboxKind | None = None,
    concurrency: int | None = None,
    timeout: float | None = None,
    epochs: int | None = None,
    runs_dir: Path | None = None,
    cache_dir: Path | None = None,
) -> dict[str, Any]:
    """Flags as dotted configuration keys; those that were not given are left out."""
    given = {
        "sandbox.kind": sandbox.value if sandbox else None,
        "config.concurrency": concurrency,
        "config.timeout_seconds": timeout,
        "config.epochs": epochs,
        "output.directory": str(runs_dir.absolute()) if runs_dir else None,
        "config.cache_directory": str(cache_dir.absolute()) if cache_dir else None,
    }
    return {key: value for key, value in given.items() if value is not None}


def cassette_choice(
    record: Path | None, replay: Path | None, replay_or_record: Path | None
) -> CassetteChoice | None:
    """What ``--record``, ``--replay`` and ``--replay-or-record`` ask for.

    Raises:
        UsageError: more than one of them is given.
    """
    given: dict[Mode, Path | None] = {
        "record": record,
        "replay": replay,
        "replay-or-record": replay_or_record,
    }
    choices = [CassetteChoice(mode, path) for mode, path in given.items() if path is not None]
    if len(choices) > 1:
        raise UsageError("--record, --replay and --replay-or-record exclude each other")
    return choices[0] if choices else None


def chosen(asked: list[str] | None, known: Iterable[str], *, kind: str) -> tuple[str, ...]:
    """The names that ``-a`` or ``-d`` asks for, in their order and each once.

    A name with a comma in it is found when it is given alone.

    Raises:
        UsageError: a name is not in ``known``; says the nearest one that is.
    """
    names = list(known)
    wanted: list[str] = []
    for text in asked or ():
        parts = [text] if text in names else [part.strip() for part in text.split(",")]
        wanted.extend(part for part in parts if part)
    if asked and not wanted:
        raise UsageError(f"no {kind} is named; there are: {', '.join(names)}")
    for name in wanted:
        if name not in names:
            raise UsageError(f"there is no {kind} {name!r}; {_hint(name, names)}")
    return tuple(dict.fromkeys(wanted))


def outcomes(text: str | None) -> frozenset[Outcome] | None:
    """The outcomes in ``--only``'s comma-separated list; None when it was not given.

    Raises:
        UsageError: a name is no outcome, or is ``passed``, which is never run again.
    """
    if text is None:
        return None
    known = [outcome.value for outcome in Outcome if outcome is not Outcome.PASSED]
    names = [part.strip().lower() for part in text.split(",") if part.strip()]
    if not names:
        raise UsageError(f"--only needs at least one of: {', '.join(known)}")
    for name in names:
        if name == Outcome.PASSED:
            raise UsageError("--only passed: cases that passed are not run again")
        if name not in known:
            raise UsageError(f"there is no outcome {name!r}; {_hint(name, known)}")
    return frozenset(Outcome(name) for name in names)


def _hint(name: str, known: list[str]) -> str:
    close = nearest(name, known)
    return f"did you mean {close!r}?" if close else f"there are: {', '.join(known)}"
