"""``show``: looking at runs. Nothing here changes a run."""

import sys
from pathlib import Path
from typing import Annotated

import orjson
import typer

from pacabench.cli.exit import say_warning
from pacabench.cli.options import AsJson, Config, RunsDir, ScoresName
from pacabench.cli.output import plain_json, result_console, write_bytes, write_result
from pacabench.cli.runs import find, locate_runs, view_run
from pacabench.errors import UsageError
from pacabench.export_mark import EXPORT_MARK
from pacabench.model import JSON
from pacabench.report.bodies import said_in
from pacabench.report.cases import CaseHistory, case_detail, cases_table, failures, find_case
from pacabench.report.export import export_cases, export_chunks, export_runs
from pacabench.report.tables import runs_table, summary_view
from pacabench.report.view import RunView
from pacabench.store import RunRecord, list_runs, load_run
from pacabench.store.bodies import read_bodies

SCHEMA_VERSION = 1


def show(
    run: Annotated[
        str | None,
        typer.Argument(metavar="RUN", help="Run id, or a unique part. Default: list all runs."),
    ] = None,
    *,
    cases: Annotated[bool, typer.Option("--cases", help="A line per case.")] = False,
    failed: Annotated[
        bool, typer.Option("--failures", help="The cases that did not pass, with their answers.")
    ] = False,
    case: Annotated[
        str | None, typer.Option("--case", metavar="ID", help="All about one case.")
    ] = None,
    calls: Annotated[
        bool,
        typer.Option(
            "--calls", help="With --case: what was said in its LLM calls, if it was kept."
        ),
    ] = False,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, metavar="N", help="At most N runs or cases.")
    ] = None,
    scores: ScoresName = None,
    as_json: AsJson = False,
    config: Config = None,
    runs_dir: RunsDir = None,
) -> None:
    """List runs, or show one: summary, cases, failures."""
    where = locate_runs(runs_dir, config)
    if calls and case is None:
        raise UsageError("--calls needs --case: it shows what was said in one case")
    if run is None:
        if cases or failed or case is not None:
            raise UsageError(
                "--cases, --failures and --case need a RUN; `pacabench show` lists them"
            )
        _show_runs(where, limit, as_json=as_json)
        return
    if cases + failed + (case is not None) > 1:
        raise UsageError("--cases, --failures and --case exclude each other")
    if case is not None:
        _show_case(load_run(find(run, where)), case, calls=calls, as_json=as_json)
    elif as_json:
        view = view_run(run, where, scores)
        _write_json(_view_json(view, cases=cases, failed=failed, limit=limit))
    else:
        _print_view(view_run(run, where, scores), cases=cases, failed=failed, limit=limit)


def _show_runs(where: Path, limit: int | None, *, as_json: bool) -> None:
    runs, broken = list_runs(where)
    if as_json:
        listed = export_runs(runs[:limit], broken)
        _write_json({"schema_version": SCHEMA_VERSION, "directory": str(where), "runs": listed})
    else:
        result_console().print(runs_table(runs[:limit], broken))


def _show_case(record: RunRecord, case_id: str, *, calls: bool, as_json: bool) -> None:
    histories = find_case(record, case_id)
    if as_json:
        found = [_history_json(history) for history in histories]
        shown: dict[str, JSON] = {"schema_version": SCHEMA_VERSION, "run": record.run_id}
        shown["cases"] = found
        if calls:
            ids = {metered.call.call_id for it in histories for metered in it.calls}
            shown["bodies"] = read_bodies(record.run_dir, ids, say_warning)
        _write_json(shown)
        return
    result_console().print(case_detail(histories))
    if calls:
        for part in said_in(record, histories, say_warning):
            result_console().print(part)
    _mark()


def _history_json(history: CaseHistory) -> JSON:
    """Attempts, calls and ways out as the journal has them."""
    key = history.key
    return {
        "agent": key.agent,
        "dataset": key.dataset,
        "case_id": key.case_id,
        "epoch": key.epoch,
        "attempts": history.attempts,
        "calls": history.calls,
        "egress": history.egress,
    }


def _print_view(view: RunView, *, cases: bool, failed: bool, limit: int | None) -> None:
    console = result_console()
    if cases or failed:
        console.print((cases_table if cases else failures)(view, limit=limit))
        _mark()
    else:
        console.print(summary_view(view))


def _mark() -> None:
    """Where this may go into a file: expected answers are known by it, and kept from agents."""
    if not sys.stdout.isatty():
        write_result(EXPORT_MARK)


def _view_json(view: RunView, *, cases: bool, failed: bool, limit: int | None) -> JSON:
    """As ``export``; with ``cases`` narrowed to failures and to ``limit``."""
    found: dict[str, JSON] = orjson.loads(b"".join(export_chunks(view, include_cases=False)))
    if cases or failed:
        listed = (entry for entry in export_cases(view) if cases or not entry["passed"])
        found["cases"] = [
            entry for _, entry in zip(range(limit or sys.maxsize), listed, strict=False)
        ]
    return found


def _write_json(value: JSON) -> None:
    options = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
    write_bytes(plain_json([orjson.dumps(value, option=options)]))
