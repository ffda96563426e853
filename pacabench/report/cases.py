"""What ``pacabench show`` prints about cases: tables, failures, one case in full. Pure."""

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from rich.console import Group, RenderableType
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from pacabench.egress import CaseEgress
from pacabench.errors import JournalError, UsageError
from pacabench.model import SCRIPTED_PROVIDER, CallRecord, CaseKey, CaseResult, MeteredCall
from pacabench.report.printable import printable, printable_block, printable_json
from pacabench.report.tables import FittingTable, name_text, outcome_text
from pacabench.report.view import RunView
from pacabench.report.wording import ESTIMATED, NONE, UNKNOWN, case_name, count, duration
from pacabench.store import RunRecord, read_log, without_stderr

_COLUMNS = (
    "Agent", "Data set", "Case", "Outcome", "Answer", "Expected", "Attempts", "Time", "Calls",
)  # fmt: skip
_CELL_CHARS = 200
_BLOCK_CHARS = 4000
_TAIL_CHARS = 3000
_CALLS_SHOWN = 100
_EGRESS_STYLES = {"allowed": "", "denied": "bold red", "failed": "yellow"}
_Keyed = TypeVar("_Keyed", CaseResult, MeteredCall, CaseEgress)


@dataclass(frozen=True, slots=True)
class CaseHistory:
    """One case with all that is on record about it."""

    key: CaseKey
    attempts: Sequence[CaseResult]
    """In the order in which they ended; the last one decides."""
    calls: Sequence[MeteredCall]
    logs: Mapping[str, str]
    """Attempt id to what the agent wrote on stdout besides its answer. Untrusted."""
    egress: Sequence[CaseEgress] = ()


def cases_table(view: RunView, *, limit: int | None = None) -> RenderableType:
    """A line per case with a result."""
    keys = view.case_keys()
    shown = keys[:limit]
    rows = [_case_row(view, result) for result in view.deciding(shown)]
    table = FittingTable(
        _COLUMNS,
        rows,
        extras=("Calls", "Attempts", "Time", "Expected"),
        left=6,
        name_room=24,
        cut=("Answer", "Expected"),
    )
    return Group(table, *_left_out(len(keys) - len(shown), "cases"))


def _case_row(view: RunView, result: CaseResult) -> list[Text]:
    figures = view.summary.cases[result.key]
    return [
        name_text(result.key.agent),
        name_text(result.key.dataset),
        name_text(case_name(result.key)),
        outcome_text(result.outcome),
        _value(result.output),
        _value(result.expected),
        Text(count(figures.attempts)),
        Text(duration(result.duration_ms)),
        Text(count(figures.usage.calls)),
    ]


def failures(view: RunView, *, limit: int | None = None) -> RenderableType:
    """Every case that did not pass: what it answered, what was expected, what went wrong."""
    keys = [key for key in view.case_keys() if not view.summary.cases[key].passed]
    if not keys:
        return Text("every case with a result has passed")
    shown = keys[:limit]
    parts = [part for result in view.deciding(shown) for part in _failure(result)]
    return Group(*parts, *_left_out(len(keys) - len(shown), "failures"))


def find_case(record: RunRecord, case_id: str) -> list[CaseHistory]:
    """Everything about the case ``case_id``, for each agent and data set that has one.

    Raises:
        UsageError: no attempt at such a case, and no call of one, is on record.
        JournalError: a file cannot be read.
    """
    attempts = _of_case(record.results(), case_id)
    calls = _of_case(record.calls(), case_id)
    egress = _of_case(record.egress(), case_id)
    keys = sorted(attempts.keys() | calls.keys() | egress.keys())
    if not keys:
        raise UsageError(
            f"run {record.run_id} has no result of a case {case_id!r}; "
            "`pacabench show RUN --cases` lists those it has"
        )
    return [
        CaseHistory(
            key,
            mine := attempts.get(key, []),
            calls.get(key, []),
            _logs(record, mine),
            egress.get(key, []),
        )
        for key in keys
    ]


def _logs(record: RunRecord, attempts: Iterable[CaseResult]) -> dict[str, str]:
    """Those that are still there: a power cut may have taken one, or the user."""
    logs: dict[str, str] = {}
    for attempt in attempts:
        if attempt.log is not None:
            with contextlib.suppress(JournalError):
                said = without_stderr(read_log(record.run_dir, attempt.log))
                logs[attempt.attempt_id] = said.decode("utf-8", "backslashreplace")
    return logs


def _of_case(entries: Iterable[_Keyed], case_id: str) -> dict[CaseKey, list[_Keyed]]:
    found: dict[CaseKey, list[_Keyed]] = {}
    for entry in entries:
        if entry.key.case_id == case_id:
            found.setdefault(entry.key, []).append(entry)
    return found


def case_detail(histories: Iterable[CaseHistory]) -> RenderableType:
    """One case, for each agent and data set: its attempts, its LLM calls, its ways out."""
    return Group(*(part for history in histories for part in _history(history)))


def _history(history: CaseHistory) -> Iterator[RenderableType]:
    key = history.key
    title = f"{key.agent} / {key.dataset} / {case_name(key)}"
    yield Rule(name_text(title, "bold"), align="left")
    for attempt in history.attempts:
        yield from _attempt(attempt, history.logs.get(attempt.attempt_id, ""))
    if not history.attempts:
        yield Text("no attempt has a result yet", style="bold yellow")
    if history.calls:
        yield _calls_table(history.calls)
    else:
        yield Text("no LLM calls", style="dim")
    if history.egress:
        yield _egress_table(history.egress)


def _attempt(result: CaseResult, said: str) -> Iterator[RenderableType]:
    line = Text.assemble((f"attempt {result.number}  ", "bold"), outcome_text(result.outcome))
    when = datetime.fromtimestamp(result.started_at, UTC).isoformat(sep=" ", timespec="seconds")
    if not result.decides:
        line.append(" (counts for nothing)", style="bold yellow")
    line.append(f"  {duration(result.duration_ms)}, started {when}", style="dim")
    yield line
    yield from _fields(
        {
            "answer": _text(result.output),
            "expected": _text(result.expected),
            "error": printable_block(result.error, _BLOCK_CHARS) if result.error else None,
            "evaluation": _evaluation(result),
            "exit": _exit(result),
            "log": _log(result, said),
            "files left": _left(result),
            "stderr": _tail(result.exit.stderr_tail) if result.exit else None,
        }
    )


def _log(result: CaseResult, said: str) -> str | None:
    if result.log is None:
        return None
    return f"logs/{printable(result.log)}\n{_tail(said)}"


def _left(result: CaseResult) -> str | None:
    """Where they are, and what is not among them."""
    if result.left is None:
        return None
    missing = (f"not taken out: {printable(text)}" for text in result.left_out)
    return "\n".join((f"left/{printable(result.left)}", *missing))


def _tail(text: str) -> str:
    """The end of ``text``, however much its characters grow when they are escaped."""
    return printable_block(text[-_TAIL_CHARS:], _TAIL_CHARS * len(r"\U0010ffff"))


def _failure(result: CaseResult) -> Iterator[RenderableType]:
    key = result.key
    line = outcome_text(result.outcome)
    line.append("  ")
    yield line + name_text(f"{key.agent} / {key.dataset} / {case_name(key)}", "bold")
    yield from _fields(
        {
            "answer": _text(result.output, _CELL_CHARS * 2),
            "expected": _text(result.expected, _CELL_CHARS * 2),
            "error": printable_block(result.error, _CELL_CHARS * 4) if result.error else None,
        }
    )


def _fields(fields: dict[str, str | None]) -> Iterator[Text]:
    """What is known, one indented block per name."""
    for name, text in fields.items():
        if text:
            indented = text.rstrip().replace("\n", "\n" + " " * 14)
            yield Text.assemble((f"  {name:<12}", "dim"), indented)


def _text(value: Any, limit: int = _BLOCK_CHARS) -> str | None:
    if value is None:
        return None
    return printable_block(value, limit) if isinstance(value, str) else printable_json(value, limit)


def _value(value: Any) -> Text:
    return Text("" if value is None else printable_json(value, _CELL_CHARS))


def _evaluation(result: CaseResult) -> str | None:
    if result.evaluation is None:
        return None
    details = result.evaluation.details
    text = f"score {result.evaluation.score:g}"
    return f"{text}  {printable_json(details, _BLOCK_CHARS)}" if details else text


def _exit(result: CaseResult) -> str | None:
    end = result.exit
    if end is None:
        return None
    facts = [
        f"code {end.exit_code}" if end.exit_code is not None else None,
        f"signal {end.signal}" if end.signal is not None else None,
        "out of memory" if end.out_of_memory else None,
        "stopped by the harness" if end.killed else None,
        f"{end.stdout_bytes:,} bytes on stdout, {end.stderr_bytes:,} on stderr",
    ]
    return ", ".join(fact for fact in facts if fact)


def _calls_table(calls: Sequence[MeteredCall]) -> RenderableType:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("Call", "Model", "Status", "End"):
        table.add_column(name, overflow="fold")
    for name in ("TTFT", "Time", "In", "Cached", "Out", "Cost"):
        table.add_column(name, justify="right", no_wrap=True)
    for metered in calls[:_CALLS_SHOWN]:
        table.add_row(*_call_row(metered))
    return Group(table, *_left_out(len(calls) - _CALLS_SHOWN, "calls"))


def _call_row(metered: MeteredCall) -> list[RenderableType]:
    call, usage = metered.call, metered.call.usage
    end = call.end + (" (recovered)" if metered.recovered else "")
    return [
        name_text(f"{call.provider} {call.endpoint}"),
        _model(call),
        UNKNOWN if call.status is None else str(call.status),
        name_text(": ".join(part for part in (end, call.error, call.usage_note) if part)),
        duration(call.ttft_ms),
        duration(call.duration_ms),
        _tokens(call, usage.total_input_tokens if usage else None),
        count(usage.cached_tokens if usage else None),
        _tokens(call, usage.output_tokens if usage else None),
        _cost(metered),
    ]


def _model(call: CallRecord) -> Text:
    """The model that answered; where that was another one, the one that was asked for too."""
    if call.other_model:
        return name_text(f"{call.model} -> {call.answered_model}", "bold yellow")
    return name_text(call.answered_model or call.model or NONE)


def _tokens(call: CallRecord, value: int | None) -> str:
    return (ESTIMATED if call.estimated and value is not None else "") + count(value)


def _cost(metered: MeteredCall) -> str:
    if metered.cost_usd is not None:
        return f"{ESTIMATED if metered.call.estimated else ''}${metered.cost_usd:.6f}"
    return "scripted" if metered.call.provider == SCRIPTED_PROVIDER else UNKNOWN


def _egress_table(ways: Sequence[CaseEgress]) -> RenderableType:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("Web", "Address", "Verdict"):
        table.add_column(name, overflow="fold")
    for name in ("Time", "Up", "Down"):
        table.add_column(name, justify="right", no_wrap=True)
    for way in ways[:_CALLS_SHOWN]:
        table.add_row(*_egress_row(way))
    return Group(table, *_left_out(len(ways) - _CALLS_SHOWN, "ways out"))


def _egress_row(way: CaseEgress) -> list[RenderableType]:
    egress = way.egress
    port = "" if egress.port is None else f":{egress.port}"
    told = egress.verdict + (" (recovered)" if way.recovered else "")
    if egress.detail is not None:
        told += f": {egress.detail}"
    return [
        name_text(f"{egress.method} {egress.host}{port}".strip() or NONE),
        name_text(egress.address or NONE),
        name_text(told, _EGRESS_STYLES[egress.verdict]),
        duration(egress.duration_ms),
        count(egress.bytes_up),
        count(egress.bytes_down),
    ]


def _left_out(number: int, what: str) -> list[Text]:
    return [Text(f"... and {number:,} more {what}", style="dim")] if number > 0 else []
