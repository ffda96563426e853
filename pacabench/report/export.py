"""``pacabench export``: a run as JSON. ``docs/export.md`` is the contract; names are never changed.

A new field may come; one that changes or goes raises ``SCHEMA_VERSION``.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import orjson

from pacabench.figures import CallFigures
from pacabench.model import CaseResult
from pacabench.report.budget import export_budget
from pacabench.report.egress import export_egress
from pacabench.report.rows import left_path
from pacabench.report.view import RunView
from pacabench.stats import AgentSummary, Interval, PerCase
from pacabench.stats.repeats import Repeats
from pacabench.store import BrokenRun, RunRecord

SCHEMA_VERSION = 1


def export_run(view: RunView, *, include_cases: bool) -> dict[str, Any]:
    """The whole export. Large runs take less memory by :func:`export_chunks`."""
    export = _head(view)
    if include_cases:
        export["cases"] = list(export_cases(view))
    return export


def export_chunks(view: RunView, *, include_cases: bool) -> Iterator[bytes]:
    """The same as JSON text, piece by piece; together they end with a newline."""
    head = orjson.dumps(_head(view), option=orjson.OPT_INDENT_2)
    if not include_cases:
        yield head + b"\n"
        return
    yield head.removesuffix(b"\n}") + b',\n  "cases": ['
    separator = b"\n    "
    for case in export_cases(view):
        yield separator + orjson.dumps(case)
        separator = b",\n    "
    yield b"\n  ]\n}\n"


def export_cases(view: RunView) -> Iterator[dict[str, Any]]:
    """One object per case with a result, by agent, data set, case id and epoch."""
    keys = view.case_keys()
    for result in view.deciding(keys):
        yield _case(view, result)


def export_runs(runs: Sequence[RunRecord], broken: Sequence[BrokenRun]) -> list[dict[str, Any]]:
    """``pacabench show --json``: the list of runs, the newest first."""
    return [
        *(
            {
                "id": run.run_id,
                "name": run.manifest.name,
                "status": run.status,
                "started": run.manifest.started,
                "finished": run.manifest.finished,
                "sandbox": run.manifest.sandbox.kind,
                "sandbox_held": run.manifest.sandbox.held,
                "cassette": run.manifest.cassette.mode if run.manifest.cassette else None,
                "directory": str(run.run_dir),
            }
            for run in runs
        ),
        *({"id": run.run_dir.name, "problem": run.problem} for run in broken),
    ]


def _head(view: RunView) -> dict[str, Any]:
    return {
        "schema_version": SCHEMA_VERSION,
        "run": _run(view),
        "agents": [_agent(view, agent) for agent in view.summary.agents],
    }


def _run(view: RunView) -> dict[str, Any]:
    manifest = view.record.manifest
    return {
        "id": manifest.run_id,
        "name": manifest.name,
        "description": manifest.description,
        "version": manifest.version,
        "author": manifest.author,
        "status": view.record.status,
        "started": manifest.started,
        "finished": manifest.finished,
        "sandbox": manifest.sandbox.kind,
        "engine": manifest.sandbox.engine,
        "audit": manifest.sandbox.audit.model_dump() if manifest.sandbox.audit else None,
        "image_digests": manifest.sandbox.image_digests,
        "sandbox_profiles": {
            agent: kept.model_dump() for agent, kept in manifest.sandbox.profiles.items()
        },
        "sandbox_weaknesses": [weak.model_dump() for weak in manifest.sandbox.weaknesses],
        "dataset_hashes": manifest.dataset_hashes,
        "dataset_revisions": manifest.dataset_revisions,
        "agent_fingerprints": manifest.agent_fingerprints,
        "config_fingerprint": manifest.config_fingerprint,
        "package_version": manifest.package_version,
        "python": manifest.python,
        "platform": manifest.platform,
        "prices_version": manifest.prices_version,
        "budget": export_budget(manifest.budget, view.spending),
        "providers": [provider.model_dump() for provider in manifest.providers],
        "decision": manifest.decision.model_dump() if manifest.decision else None,
        "judge": _judge(view.judge),
        "scores": dataclasses.asdict(view.scores.head) if view.scores else None,
        "scripted": view.summary.scripted,
        "cassette": (
            manifest.cassette.model_dump(exclude={"directory"}) if manifest.cassette else None
        ),
        "sessions": len(manifest.sessions),
    }


def _judge(figures: CallFigures) -> dict[str, Any] | None:
    """None where no model judged."""
    if not figures.calls and not figures.failed_calls:
        return None
    return {
        "calls": figures.calls,
        "failed_calls": figures.failed_calls,
        "input_tokens": figures.input_tokens,
        "output_tokens": figures.output_tokens,
        "cost_usd": figures.cost_usd,
        "cost_incomplete": figures.cost_incomplete,
        "uncounted_calls": figures.uncounted_calls,
    }


def _agent(view: RunView, summary: AgentSummary) -> dict[str, Any]:
    kept = view.record.manifest.sandbox.profiles.get(summary.agent)
    return {
        "name": summary.agent,
        "dataset": summary.dataset,
        "sandbox_profile": kept.profile if kept is not None else None,
        "cases": summary.cases,
        "passed": summary.passed,
        "failed": summary.failed,
        "infrastructure": summary.infrastructure,
        "pending": summary.pending,
        "not_run": summary.pending if view.is_decided else 0,
        "outcomes": {outcome.value: number for outcome, number in summary.outcomes.items()},
        "accuracy": summary.accuracy,
        "accuracy_ci95": _bounds(summary.accuracy_interval),
        "repeats": _repeats(summary.repeats),
        "latency_p50_ms": summary.per_case.latency_ms.p50,
        "latency_p95_ms": summary.per_case.latency_ms.p95,
        "per_case": {
            name: dataclasses.asdict(getattr(summary.per_case, name))
            for name in PerCase.__dataclass_fields__
        },
        "attempts": summary.attempts,
        "attempts_cut_short": summary.cut_short,
        "cost_per_pass_usd": summary.cost_per_pass_usd,
        **_usage(summary.usage),
        "scripted_calls": summary.usage.scripted_calls,
        "failed_calls": summary.usage.failed_calls,
        "denied_calls": summary.usage.denied_calls,
        "sdk_retries": summary.usage.sdk_retries,
        "unmatched_calls": summary.usage.unmatched_calls,
    }


def _bounds(interval: Interval | None) -> list[float] | None:
    return None if interval is None else [interval.low, interval.high]


def _repeats(repeats: Repeats | None) -> dict[str, Any] | None:
    if repeats is None:
        return None
    return {
        "accuracies": {str(epoch): share for epoch, share in repeats.accuracies.items()},
        "mean": repeats.mean,
        "standard_deviation": repeats.deviation,
        "at": [dataclasses.asdict(at) for at in repeats.at],
    }


def _case(view: RunView, result: CaseResult) -> dict[str, Any]:
    key, figures = result.key, view.summary.cases[result.key]
    return {
        "agent": key.agent,
        "dataset": key.dataset,
        "case_id": key.case_id,
        "epoch": key.epoch,
        "outcome": result.outcome.value,
        "passed": figures.passed,
        "score": figures.score,
        "output": result.output,
        "expected": result.expected,
        "error": result.error,
        "attempts": figures.attempts,
        "duration_ms": result.duration_ms,
        "provider_wait_ms": result.provider_wait_ms,
        "ttft_ms": figures.ttft_ms,
        **_usage(figures.usage),
        "left": left_path(result),
        "left_out": list(result.left_out),
        "egress": export_egress(view.egress.get(key)),
    }


def _usage(figures: CallFigures) -> dict[str, Any]:
    return {
        "calls": figures.calls,
        "input_tokens": figures.input_tokens,
        "output_tokens": figures.output_tokens,
        "cached_tokens": figures.cached_tokens,
        "reasoning_tokens": figures.reasoning_tokens,
        "cost_usd": figures.cost_usd,
        "cost_incomplete": figures.cost_incomplete,
        "uncounted_calls": figures.uncounted_calls,
        "unpriced_calls": figures.unpriced_calls,
        "estimated_calls": figures.estimated_calls,
        "replayed_calls": figures.replayed_calls,
        "other_model_calls": figures.other_model_calls,
    }
