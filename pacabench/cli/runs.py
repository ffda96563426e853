"""Where runs are, and which one is meant."""

import contextlib
import shlex
from pathlib import Path

from pacabench.cli.exit import say_warning
from pacabench.cli.options import CONFIG_FILE
from pacabench.config.load import load_config
from pacabench.errors import ConfigError, RunNotFoundError
from pacabench.report.view import RunView, read_view
from pacabench.store.record import RunRecord, find_run, list_runs, load_run
from pacabench.store.scores import read_scores

_DEFAULT = Path("runs")


def locate_runs(runs_dir: Path | None, config: Path | None) -> Path:
    """The directory that holds runs: as given, else as the configuration says, else ``./runs``.

    A configuration that cannot be read does not keep anybody from looking at results, unless it
    was named.

    Raises:
        ConfigError: ``config`` was given and cannot be read.
    """
    if runs_dir is not None:
        return runs_dir.absolute()
    if config is None and not CONFIG_FILE.exists():
        return _DEFAULT.absolute()
    try:
        return load_config(config or CONFIG_FILE).output_directory
    except ConfigError as error:
        if config is not None:
            raise
        say_warning(f"{error}\nLooking for runs in {_DEFAULT.absolute()}; --runs-dir says where.")
        return _DEFAULT.absolute()


def view_run(name: str, runs_dir: Path, scores: str | None = None) -> RunView:
    """The run that ``name`` means, added up; what it has lost is said on stderr.

    By its first scores, or by those that are called ``scores``.

    Raises:
        UsageError: there are no scores of that name.
        RunNotFoundError: none, or more than one.
        JournalError: a file of it is damaged or cannot be read.
    """
    record = load_run(find(name, runs_dir))
    again = read_scores(record.run_dir, scores) if scores is not None else None
    view = read_view(record, again)
    for text in view.lost:
        say_warning(text)
    return view


def name_for(run_dir: Path) -> str:
    """What to call the run on a command line in this directory: its id, else its path."""
    default = _DEFAULT.absolute()
    if CONFIG_FILE.exists():
        with contextlib.suppress(ConfigError):
            default = load_config(CONFIG_FILE).output_directory
    if run_dir.parent == default.resolve():
        return run_dir.name
    return shlex.quote(str(run_dir))


def newest_unfinished(runs_dir: Path) -> RunRecord:
    """The newest run that has something left to do and that no harness works on.

    Raises:
        RunNotFoundError: there is none.
    """
    runs, _ = list_runs(runs_dir)
    for run in runs:
        if _has_work_left(run):
            return run
    if any(run.status == "running" for run in runs):
        raise RunNotFoundError(f"every unfinished run in {runs_dir} has a harness at work on it.")
    raise RunNotFoundError(
        f"no run in {runs_dir} is unfinished; `pacabench show` lists them, "
        "`pacabench retry RUN` runs again what did not pass."
    )


def _has_work_left(run: RunRecord) -> bool:
    """Cases without a result, or with one that the infrastructure decided."""
    outcomes = run.manifest.outcomes or {}
    left = any(number for outcome, number in outcomes.items() if outcome.is_infrastructure)
    return run.status in {"stopped", "interrupted"} or (run.status == "finished" and left)


def find(name: str, runs_dir: Path) -> Path:
    """The directory of the run that ``name`` means; a path to a run's directory works too.

    Raises:
        RunNotFoundError: none, or more than one.
    """
    as_path = Path(name)
    if "/" in name and (as_path / "run.json").is_file():
        return as_path.absolute()
    return find_run(runs_dir, name.strip("/"))
