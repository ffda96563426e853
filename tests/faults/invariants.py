"""What must hold of a run, whatever was killed in it. Reads the run's files by itself.

Journal lines are checked and parsed here anew, from their description in ``docs/journal.md``: a
fault of the reader under test must not hide one of its writer.
"""

import json
import zlib
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from faults.provider import Served

_CRC = slice(8, 16)
_BODY = 18
_INFRASTRUCTURE = {"provider_error", "sandbox_error", "evaluator_error", "cancelled"}
_MARKS = {"interrupted", "client_gone"}
"""How a call ends that a kill has cut."""


@dataclass(slots=True)
class Facts:
    """What happened to a run, from outside it."""

    expected: Mapping[str, str]
    """Case id to the outcome of an undisturbed attempt."""
    reported: dict[str, str] = field(default_factory=dict)
    """Attempt id to the outcome that the harness said is on disk."""
    agents_killed: set[str] = field(default_factory=set)
    """Ids of attempts whose agent got SIGKILL."""
    in_flight_most: int = 0
    """As many calls can have been under way when somebody was killed who had to do with them."""


@dataclass(slots=True)
class Figures:
    """What was counted on the way."""

    attempts: int = 0
    calls: int = 0
    in_flight: int = 0
    """Calls that are marked as cut off by a kill."""
    recovered: int = 0
    """Calls that a later session heard of from a spool."""


def whole_lines(path: Path) -> list[bytes]:
    """The lines of a journal file up to the first that is not whole."""
    found = []
    for line in path.read_bytes().splitlines(keepends=True) if path.exists() else ():
        if not line.endswith(b"\n") or not _is_whole(line):
            break
        found.append(line)
    return found


def _is_whole(line: bytes) -> bool:
    try:
        return int(line[_CRC], 16) == zlib.crc32(line.rstrip(b"\n")[_BODY:])
    except ValueError:
        return False


class Memory:
    """Every whole line that was ever seen in a run's journal; none may change or go."""

    def __init__(self) -> None:
        self._seen: dict[str, list[bytes]] = {"results.jsonl": [], "calls.jsonl": []}

    def look(self, run_dir: Path) -> list[str]:
        """Violations since the last look."""
        wrong = []
        for name, seen in self._seen.items():
            lines = whole_lines(run_dir / name)
            if lines[: len(seen)] != seen:
                wrong.append(f"{name}: lines that were there have changed or are gone")
            self._seen[name] = lines
        return wrong


def _records(run_dir: Path, name: str, kind: str) -> tuple[list[dict[str, Any]], list[str]]:
    path = run_dir / name
    lines = whole_lines(path)
    rest = path.stat().st_size - sum(map(len, lines))
    wrong = [f"{name}: {rest} bytes at its end are no whole line"] if rest else []
    return [json.loads(line)[kind] for line in lines], wrong


def check_run(
    run_dir: Path, exported: Mapping[str, Any], books: Mapping[int, Served], facts: Facts
) -> tuple[Figures, list[str]]:
    """Figures and violations of a run that was resumed to its end."""
    results, wrong = _records(run_dir, "results.jsonl", "result")
    calls, more = _records(run_dir, "calls.jsonl", "call")
    wrong += [*more, *_check_results(results, facts), *_check_books(calls, books, facts)]
    wrong += _check_export(exported, results, calls)
    manifest = json.loads((run_dir / "run.json").read_text())
    if manifest["status"] != "finished":
        wrong.append(f"the run is {manifest['status']}")
    if left := [path.name for path in (run_dir / "spool").glob("*")]:
        wrong.append(f"left in spool/: {left}")
    marked = [
        one for one in calls if one["call"]["end"] in _MARKS and not _usage_known(one["call"])
    ]
    recovered = sum(one["recovered"] for one in calls)
    return Figures(len(results), len(calls), len(marked), recovered), wrong


def _check_results(results: list[dict[str, Any]], facts: Facts) -> list[str]:
    """One deciding attempt per planned case, the right one, and nothing reported is missing."""
    wrong = []
    of_case = defaultdict(list)
    for result in results:
        of_case[result["key"]["case_id"]].append(result)
    for case_id, expected in facts.expected.items():
        outcomes = [result["outcome"] for result in of_case.pop(case_id, ())]
        deciding = [outcome for outcome in outcomes if outcome not in _INFRASTRUCTURE]
        if len(deciding) != 1 or outcomes[-1] != deciding[0]:
            wrong.append(f"case {case_id}: attempts ended {outcomes}")
        elif deciding[0] not in {expected, "agent_error"}:
            wrong.append(f"case {case_id}: {deciding[0]}, should be {expected}")
    wrong += [f"case {case_id} was never planned" for case_id in of_case]
    ids = Counter(result["attempt_id"] for result in results)
    wrong += [f"attempt {one} has {count} results" for one, count in ids.items() if count > 1]
    for result in results:
        if result["outcome"] == "agent_error" and result["attempt_id"] not in facts.agents_killed:
            wrong.append(
                f"case {result['key']['case_id']}: agent_error ({result['error']}), and nobody "
                "killed that agent"
            )
    on_disk = {result["attempt_id"]: result["outcome"] for result in results}
    for attempt, outcome in facts.reported.items():
        if on_disk.get(attempt) != outcome:
            wrong.append(f"attempt {attempt} was said to be {outcome}: {on_disk.get(attempt)}")
    return wrong


def _usage_known(call: Mapping[str, Any]) -> bool:
    return call["usage_source"] == "provider" and not call["estimated"]


def _total(usage: Mapping[str, Any]) -> dict[str, int]:
    parts = ("input_tokens", "cached_tokens", "cache_write_tokens")
    return {
        "prompt": sum(usage[part] or 0 for part in parts),
        "completion": usage["output_tokens"],
        "cached": usage["cached_tokens"] or 0,
        "reasoning": usage["reasoning_tokens"] or 0,
    }


def _check_books(
    calls: list[dict[str, Any]], books: Mapping[int, Served], facts: Facts
) -> list[str]:
    """Each call of the books is on record once, to the token, or marked as under way at a kill."""
    wrong = []
    ids = Counter(one["call"]["call_id"] for one in calls)
    wrong += [f"call {one} is on record {count} times" for one, count in ids.items() if count > 1]
    open_entries = {served.tokens.prompt: served for served in books.values()}
    marked: Counter[str] = Counter()
    for one in calls:
        call, case_id = one["call"], one["key"]["case_id"]
        if not _usage_known(call):
            if call["end"] in _MARKS:
                marked[case_id] += 1
            elif call["sent"] and call["end"] != "denied":
                wrong.append(f"case {case_id}: a call ended {call['end']} with unknown tokens")
            continue
        used = _total(call["usage"])
        entry = open_entries.pop(used["prompt"], None)
        if entry is None:
            wrong.append(f"case {case_id}: {used} is not in the books, or twice on record")
        elif entry.case_id != case_id or any(
            getattr(entry.tokens, name) != value for name, value in used.items()
        ):
            wrong.append(f"case {case_id}: {used} on record, in the books {entry}")
    for entry in open_entries.values():
        if not marked[entry.case_id]:
            wrong.append(f"case {entry.case_id}: billed and not on record: {entry}")
        marked[entry.case_id] -= 1
    unknown = sum(one["call"]["end"] in _MARKS and not _usage_known(one["call"]) for one in calls)
    if unknown > facts.in_flight_most:
        wrong.append(
            f"{unknown} calls are marked as under way at a kill; {facts.in_flight_most} can have "
            "been"
        )
    return wrong


def _check_export(
    exported: Mapping[str, Any], results: list[dict[str, Any]], calls: list[dict[str, Any]]
) -> list[str]:
    """What users are shown is what the files hold."""
    (agent,) = exported["agents"]
    last = {result["key"]["case_id"]: result["outcome"] for result in results}
    served = [
        one["call"]
        for one in calls
        if one["call"]["sent"]
        and (
            one["call"]["status"] == 200
            or (one["call"]["status"] is None and one["call"]["end"] in _MARKS)
        )
    ]
    used = [_total(call["usage"]) for call in served if call["usage"] is not None]
    expected = {
        "cases": len(last),
        "passed": sum(outcome == "passed" for outcome in last.values()),
        "infrastructure": 0,
        "calls": len(served),
        "input_tokens": sum(one["prompt"] for one in used),
        "output_tokens": sum(one["completion"] or 0 for one in used),
        "cached_tokens": sum(one["cached"] for one in used),
    }
    return [
        f"export: {name} is {agent[name]}, in the files {value}"
        for name, value in expected.items()
        if agent[name] != value
    ]
