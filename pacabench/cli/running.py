"""``run``, ``resume`` and ``retry``."""

from pathlib import Path
from typing import Annotated

import typer

from pacabench.cli.drive import drive
from pacabench.cli.options import (
    CONFIG_FILE,
    AcceptChanges,
    Agents,
    AllowWeakSandbox,
    BegunConfig,
    CacheDir,
    Concurrency,
    Config,
    Datasets,
    Epochs,
    FailUnder,
    Limit,
    LogFormat,
    LogFormatOption,
    Quiet,
    Record,
    Replay,
    ReplayOrRecord,
    RunName,
    RunsDir,
    Sandbox,
    Timeout,
    cassette_choice,
    chosen,
    outcomes,
    overrides,
)
from pacabench.cli.runs import find, locate_runs, name_for, newest_unfinished
from pacabench.config.load import load_config
from pacabench.run import RunRequest, resume_run, retry_run, start_run
from pacabench.store import Selection, check_run_id


def run(
    *,
    config: Config = None,
    sandbox: Sandbox = None,
    limit: Limit = None,
    epochs: Epochs = None,
    agents: Agents = None,
    datasets: Datasets = None,
    stop_when_decided: Annotated[
        bool,
        typer.Option(
            "--stop-when-decided",
            help="Two agents: stop once it is sure which is better, or that it stays open. "
            "Cases come in random order.",
        ),
    ] = False,
    concurrency: Concurrency = None,
    timeout: Timeout = None,
    run_id: Annotated[
        str | None,
        typer.Option(metavar="ID", help="The run's id. One that exists is resumed."),
    ] = None,
    runs_dir: RunsDir = None,
    cache_dir: CacheDir = None,
    record: Record = None,
    replay: Replay = None,
    replay_or_record: ReplayOrRecord = None,
    accept_changes: AcceptChanges = False,
    allow_weak_sandbox: AllowWeakSandbox = False,
    fail_under: FailUnder = None,
    quiet: Quiet = False,
    log_format: LogFormatOption = LogFormat.TEXT,
) -> None:
    """Run every agent on every case."""
    path = config or CONFIG_FILE
    flags = overrides(
        sandbox=sandbox,
        concurrency=concurrency,
        timeout=timeout,
        epochs=epochs,
        runs_dir=runs_dir,
        cache_dir=cache_dir,
    )
    request = RunRequest(
        config_path=path,
        flags=flags,
        selection=_select(path, limit, agents, datasets, stop_when_decided),
        run_id=check_run_id(run_id) if run_id is not None else None,
        cassette=cassette_choice(record, replay, replay_or_record),
    )
    code = drive(
        lambda listener, stop: start_run(
            request,
            accept_changes=accept_changes,
            allow_weak=allow_weak_sandbox,
            listener=listener,
            stop=stop,
        ),
        name_of=lambda id_: name_for(load_config(path, flags=flags).output_directory / id_),
        fail_under=fail_under,
        quiet=quiet,
        log_format=log_format,
    )
    raise typer.Exit(code)


def _select(
    path: Path,
    limit: int | None,
    agents: list[str] | None,
    datasets: list[str] | None,
    stop_when_decided: bool,
) -> Selection:
    if not agents and not datasets:
        return Selection(limit=limit, stop_when_decided=stop_when_decided)
    config = load_config(path).config
    known_agents = [agent.name for agent in config.agents]
    known_datasets = [dataset.name for dataset in config.datasets]
    return Selection(
        limit=limit,
        stop_when_decided=stop_when_decided,
        agents=chosen(agents, known_agents, kind="agent") or None,
        datasets=chosen(datasets, known_datasets, kind="dataset") or None,
    )


def resume(
    run: Annotated[
        str | None,
        typer.Argument(
            metavar="RUN", help="Run id, or a unique part. Default: the newest unfinished run."
        ),
    ] = None,
    config: BegunConfig = None,
    runs_dir: RunsDir = None,
    accept_changes: AcceptChanges = False,
    allow_weak_sandbox: AllowWeakSandbox = False,
    fail_under: FailUnder = None,
    quiet: Quiet = False,
    log_format: LogFormatOption = LogFormat.TEXT,
) -> None:
    """Go on with an unfinished run. Finished cases are kept, wrong answers too."""
    where = locate_runs(runs_dir, config)
    run_dir = find(run, where) if run is not None else newest_unfinished(where).run_dir
    code = drive(
        lambda listener, stop: resume_run(
            run_dir,
            config_path=config,
            accept_changes=accept_changes,
            allow_weak=allow_weak_sandbox,
            listener=listener,
            stop=stop,
        ),
        name_of=lambda _: name_for(run_dir),
        fail_under=fail_under,
        quiet=quiet,
        log_format=log_format,
    )
    raise typer.Exit(code)


def retry(
    run: RunName,
    only: Annotated[
        str | None,
        typer.Option(
            metavar="OUTCOME,...", help="Only cases that ended so, for example timeout,agent_error."
        ),
    ] = None,
    config: BegunConfig = None,
    runs_dir: RunsDir = None,
    accept_changes: AcceptChanges = False,
    allow_weak_sandbox: AllowWeakSandbox = False,
    quiet: Quiet = False,
    log_format: LogFormatOption = LogFormat.TEXT,
) -> None:
    """Run the cases again that did not pass. Earlier attempts stay on record."""
    again = outcomes(only)
    run_dir = find(run, locate_runs(runs_dir, config))
    code = drive(
        lambda listener, stop: retry_run(
            run_dir,
            only=again,
            config_path=config,
            accept_changes=accept_changes,
            allow_weak=allow_weak_sandbox,
            listener=listener,
            stop=stop,
        ),
        name_of=lambda _: name_for(run_dir),
        quiet=quiet,
        log_format=log_format,
    )
    raise typer.Exit(code)
