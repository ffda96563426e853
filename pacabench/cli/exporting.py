"""``export``: a run's results in the forms that other programs read."""

import asyncio
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from pacabench.cli.options import Config, RunName, RunsDir, ScoresName
from pacabench.cli.output import plain_json, write_bytes, write_file, write_result
from pacabench.cli.runs import locate_runs, view_run
from pacabench.config.load import load_config
from pacabench.errors import UsageError
from pacabench.report.csv_table import csv_chunks
from pacabench.report.export import export_chunks
from pacabench.report.inspect_log import Questions, inspect_chunks, inspect_name
from pacabench.report.junit import junit_chunks
from pacabench.report.markdown import render_markdown
from pacabench.report.parquet import parquet_chunks
from pacabench.report.rows import flat_agents, flat_cases
from pacabench.report.view import RunView


class ExportFormat(StrEnum):
    """``--format``."""

    JSON = "json"
    MD = "md"
    CSV = "csv"
    PARQUET = "parquet"
    JUNIT = "junit"
    INSPECT = "inspect"


def export(
    run: RunName,
    format_: Annotated[
        ExportFormat,
        typer.Option("--format", help="json: docs/export.md. md: for people. junit: for CI."),
    ] = ExportFormat.JSON,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Written whole or not at all. inspect: a directory.",
        ),
    ] = None,
    include_cases: Annotated[
        bool, typer.Option("--include-cases", help="Every case with its answer, not only figures.")
    ] = False,
    questions: Annotated[
        bool,
        typer.Option(
            "--questions", help="inspect: also what was asked, from the datasets if unchanged."
        ),
    ] = False,
    scores: ScoresName = None,
    config: Config = None,
    runs_dir: RunsDir = None,
) -> None:
    """Write a run's results to stdout or a file."""
    view = view_run(run, locate_runs(runs_dir, config), scores)
    to_stdout = output is None or str(output) == "-"
    if format_ is ExportFormat.INSPECT:
        asked = _questions(view, config) if questions else {}
        _export_inspect(view, None if to_stdout else output, asked)
        return
    if questions:
        raise UsageError("--questions goes with --format inspect alone")
    chunks = _exported(view, format_, include_cases=include_cases)
    if output is None or to_stdout:
        write_bytes(chunks)
    else:
        write_file(output, chunks)


def _exported(view: RunView, format_: ExportFormat, *, include_cases: bool) -> Iterator[bytes]:
    flat = flat_cases if include_cases else flat_agents
    match format_:
        case ExportFormat.MD:
            text = render_markdown(view, include_cases=include_cases)
            return iter([text.encode("utf-8", "backslashreplace")])
        case ExportFormat.CSV:
            return csv_chunks(flat(view))
        case ExportFormat.PARQUET:
            return parquet_chunks(flat(view))
        case ExportFormat.JUNIT:
            return junit_chunks(view, include_cases=include_cases)
        case _:
            return plain_json(export_chunks(view, include_cases=include_cases))


def _questions(view: RunView, config: Path | None) -> Questions:
    """What agents were asked: the journal does not keep it, so the data sets are read again.

    Raises:
        RunChangedError: they are not what they were.
    """
    from pacabench.judged_data import load_unchanged  # noqa: PLC0415 - slow, and seldom wanted

    manifest = view.record.manifest
    loaded = load_config(config or Path(manifest.config_path), flags=manifest.flags)
    datasets = asyncio.run(
        load_unchanged(loaded, manifest.dataset_hashes, manifest.dataset_revisions)
    )
    return {
        (dataset.name, case.case_id): case.input for dataset in datasets for case in dataset.cases
    }


def _export_inspect(view: RunView, directory: Path | None, questions: Questions) -> None:
    """A log per agent and data set; on stdout where there is just one.

    Raises:
        UsageError: there are several, and no directory to put them.
    """
    agents = view.summary.agents
    if directory is None:
        if len(agents) != 1:
            raise UsageError(
                f"--format inspect writes a log per agent and data set, here {len(agents)}: "
                "name a directory with -o"
            )
        write_bytes(plain_json(inspect_chunks(view, agents[0], questions)))
        return
    if directory.exists() and not directory.is_dir():
        raise UsageError(f"{directory} is no directory; --format inspect writes several files")
    directory.mkdir(parents=True, exist_ok=True)
    for number, agent in enumerate(agents, 1):
        path = directory / inspect_name(view, agent)
        if len({inspect_name(view, other) for other in agents}) < len(agents):
            path = path.with_stem(f"{path.stem}-{number}")  # names that differ by odd characters
        write_file(path, inspect_chunks(view, agent, questions))
        write_result(str(path))
