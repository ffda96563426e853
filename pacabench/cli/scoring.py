"""``score``: answers that are on disk are judged again."""

import asyncio
import json
from typing import Annotated

import orjson
import typer
import yaml
from pydantic import TypeAdapter, ValidationError

from pacabench.cli.exit import ExitCode
from pacabench.cli.logs import configure_logs
from pacabench.cli.options import (
    AllowWeakSandbox,
    AsJson,
    BegunConfig,
    LogFormat,
    LogFormatOption,
    Quiet,
    Record,
    Replay,
    ReplayOrRecord,
    RunName,
    RunsDir,
    cassette_choice,
    chosen,
)
from pacabench.cli.output import plain_json, result_console, write_bytes
from pacabench.cli.progress import open_progress
from pacabench.cli.runs import find, locate_runs
from pacabench.config.evaluators import EvaluatorConfig
from pacabench.errors import UsageError
from pacabench.report.rescored import export_rescored, rescored_rows, rescored_view
from pacabench.report.view import read_view
from pacabench.rescore import RescoreRequest, rescore
from pacabench.store import RunRecord, load_run
from pacabench.store.scores import check_scores_name, free_scores_name, read_scores


def score(  # noqa: PLR0917 - typer reads arguments and options off its parameters
    run: RunName,
    evaluator: Annotated[
        str | None,
        typer.Option(
            metavar="YAML", help="In place of the configuration's: numeric, {type: f1, ...}."
        ),
    ] = None,
    datasets: Annotated[
        list[str] | None,
        typer.Option("--datasets", "-d", metavar="D1,D2", help="Only these datasets."),
    ] = None,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="Of the new scores. Default: scores-1, ...")
    ] = None,
    limit: Annotated[
        int, typer.Option("--limit", min=1, metavar="N", help="At most N changed cases by name.")
    ] = 20,
    record: Record = None,
    replay: Replay = None,
    replay_or_record: ReplayOrRecord = None,
    allow_weak_sandbox: AllowWeakSandbox = False,
    as_json: AsJson = False,
    config: BegunConfig = None,
    runs_dir: RunsDir = None,
    quiet: Quiet = False,
    log_format: LogFormatOption = LogFormat.TEXT,
) -> None:
    """Judge a run's answers again; no agent runs, old scores stay."""
    configure_logs(log_format)
    it = load_run(find(run, locate_runs(runs_dir, config)))
    request = RescoreRequest(
        name=check_scores_name(it.run_dir, name) if name else free_scores_name(it.run_dir),
        config_path=config,
        datasets=chosen(datasets, it.manifest.dataset_hashes, kind="dataset") or None,
        evaluator=_evaluator(evaluator) if evaluator is not None else None,
        cassette=cassette_choice(record, replay, replay_or_record),
        allow_weak=allow_weak_sandbox,
    )
    asyncio.run(_score(it, request, quiet=quiet, log_format=log_format))
    old = read_view(it)
    new = read_view(it, read_scores(it.run_dir, request.name))
    rows = rescored_rows(old, new)
    if as_json:
        options = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
        write_bytes(plain_json([orjson.dumps(export_rescored(new, rows), option=options)]))
    else:
        result_console().print(rescored_view(new, rows, limit=limit))
    if any(row.evaluator_errors for row in rows):
        raise typer.Exit(ExitCode.INFRASTRUCTURE)


async def _score(
    record: RunRecord, request: RescoreRequest, *, quiet: bool, log_format: LogFormat
) -> None:
    async with open_progress(quiet=quiet, log_format=log_format) as progress:
        await rescore(record, request, progress)


def _evaluator(text: str) -> EvaluatorConfig:
    """An evaluator as the YAML has it; a word alone is its type.

    Raises:
        UsageError: it is none.
    """
    try:
        tree = yaml.safe_load(text)
        plain = {"type": tree} if isinstance(tree, str) else tree
        found: EvaluatorConfig = TypeAdapter(EvaluatorConfig).validate_json(
            json.dumps(plain), strict=True
        )
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise UsageError(f"--evaluator {text!r}: {where}: {first['msg']}") from None
    except (yaml.YAMLError, TypeError, ValueError) as error:
        raise UsageError(f"--evaluator {text!r} is no YAML: {error}") from None
    return found
