"""``pacabench export --format inspect``: logs that Inspect's viewer and notebooks open.

A log of Inspect (inspect.aisi.org.uk, log format 2) is about one model on one task; here that is
one agent on one data set. The JSON form is written by hand, so that nobody needs Inspect to write
it; the tests read it back with Inspect's own reader.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

from pacabench.figures import CallFigures
from pacabench.model import JSON, CaseResult, Outcome
from pacabench.report.rows import as_text, left_path
from pacabench.report.view import RunView
from pacabench.report.wording import broken_promises
from pacabench.stats import AgentSummary

LOG_VERSION = 2
EXPORT_TAG = "pacabench export"
"""Stands first in the log, by which it is known and kept out of agents' images."""
_STATUS = {
    "running": "started",
    "finished": "success",
    "stopped": "cancelled",
    "interrupted": "error",
}
_UNSAFE = re.compile(r"[^A-Za-z0-9.-]+")

Questions = Mapping[tuple[str, str], JSON]
"""Data set and case id to what the agent was asked. The journal does not keep it."""


def inspect_name(view: RunView, summary: AgentSummary) -> str:
    """A file name that Inspect lists: it looks for a time at its beginning."""
    manifest = view.record.manifest
    parts = (manifest.run_id, summary.agent, summary.dataset)
    safe = "_".join(_UNSAFE.sub("-", part)[:60] for part in parts)
    return f"{manifest.started[:19].replace(':', '-')}_{safe}.json"


def inspect_chunks(
    view: RunView, summary: AgentSummary, questions: Questions | None = None
) -> Iterator[bytes]:
    """The log of one agent on one data set, piece by piece."""
    head = orjson.dumps(_head(view, summary))
    yield head.removesuffix(b"}") + b',"samples":[\n'
    keys = [
        key
        for key in view.case_keys()
        if key.agent == summary.agent and key.dataset == summary.dataset
    ]
    separator = b""
    for result in view.deciding(keys):
        yield separator + orjson.dumps(_sample(view, result, questions or {}))
        separator = b",\n"
    yield b"\n]}\n"


def _head(view: RunView, summary: AgentSummary) -> dict[str, Any]:
    manifest = view.record.manifest
    usage = {_model(summary.agent): _usage(summary.usage)}
    log = {
        "version": LOG_VERSION,
        "status": _STATUS[view.record.status],
        "eval": _spec(view, summary),
        "plan": {},
        "results": _results(view, summary),
        "stats": {
            "started_at": manifest.started,
            "completed_at": manifest.finished or "",
            "model_usage": usage if summary.usage.calls else {},
        },
    }
    if log["status"] == "error":
        text = "the harness was killed; `pacabench resume` goes on"
        log["error"] = {"message": text, "traceback": "", "traceback_ansi": ""}
    return log


def _spec(view: RunView, summary: AgentSummary) -> dict[str, Any]:
    manifest = view.record.manifest
    kept = manifest.sandbox.profiles.get(summary.agent)
    epochs = int(manifest.config.get("epochs") or 1)
    return {
        "tags": [EXPORT_TAG],
        "created": manifest.started,
        "run_id": manifest.run_id,
        "eval_id": f"{manifest.run_id}/{summary.agent}/{summary.dataset}",
        "task": f"{manifest.name}/{summary.dataset}",
        "task_id": f"{manifest.name}/{summary.dataset}",
        "task_version": manifest.version,
        "dataset": {"name": summary.dataset, "samples": summary.cases // epochs},
        "model": _model(summary.agent),
        "config": {"epochs": epochs, "limit": manifest.selection.limit},
        "packages": {"pacabench": manifest.package_version},
        "scorers": [{"name": _scorer(view, summary.dataset)}],
        "metadata": {
            "dataset_hash": manifest.dataset_hashes.get(summary.dataset),
            "config_fingerprint": manifest.config_fingerprint,
            "agent_fingerprint": manifest.agent_fingerprints.get(summary.agent),
            "sandbox": manifest.sandbox.kind,
            "sandbox_held": manifest.sandbox.held,
            "sandbox_profile": kept.profile if kept is not None else None,
            "sandbox_weaknesses": broken_promises(view, summary.agent),
            "scripted": view.summary.scripted,
            "replayed_calls": summary.usage.replayed_calls,
            "pending": summary.pending,
            "infrastructure": summary.infrastructure,
        },
    }


def _results(view: RunView, summary: AgentSummary) -> dict[str, Any]:
    name = _scorer(view, summary.dataset)
    interval = summary.accuracy_interval
    values = {
        "accuracy": summary.accuracy,
        "accuracy_low": interval.low if interval else None,
        "accuracy_high": interval.high if interval else None,
    }
    metrics = {
        metric: {"name": metric, "value": value}
        for metric, value in values.items()
        if value is not None
    }
    judged = summary.passed + summary.failed
    score = {
        "name": name,
        "scorer": name,
        "scored_samples": judged,
        "unscored_samples": summary.cases - judged,
        "metrics": metrics,
    }
    return {
        "total_samples": summary.cases,
        "completed_samples": judged,
        "scores": [score] if metrics else [],
    }


def _sample(view: RunView, result: CaseResult, questions: Questions) -> dict[str, Any]:
    key, figures = result.key, view.summary.cases[result.key]
    asked = (key.dataset, key.case_id)
    question = as_text(questions[asked]) if asked in questions else f"case {key.case_id}"
    answer, model = as_text(result.output), _model(key.agent)
    messages: list[dict[str, Any]] = [{"role": "user", "content": question}]
    output: dict[str, Any] = {"model": model, "choices": []}
    if answer is not None:
        message = {"role": "assistant", "content": answer, "model": model, "source": "generate"}
        messages.append(message)
        output["choices"] = [{"message": message, "stop_reason": "stop"}]
        output["completion"] = answer
    sample = {
        "id": key.case_id,
        "epoch": key.epoch,
        "input": question,
        "target": _target(result.expected),
        "messages": messages,
        "output": output,
        "metadata": {
            "outcome": result.outcome.value,
            "attempts": figures.attempts,
            "provider_wait_ms": result.provider_wait_ms,
            "ttft_ms": figures.ttft_ms,
            "calls": figures.usage.calls,
            "left": left_path(result),
            "left_out": list(result.left_out),
        },
        "model_usage": {model: _usage(figures.usage)} if figures.usage.calls else {},
        "started_at": datetime.fromtimestamp(result.started_at, UTC).isoformat(),
        "total_time": result.duration_ms / 1000,
        "uuid": result.attempt_id,
    }
    if result.outcome.is_infrastructure:
        text = result.error or result.outcome.value
        sample["error"] = {"message": text, "traceback": "", "traceback_ansi": ""}
    else:
        sample["scores"] = {_scorer(view, key.dataset): _score(result, answer)}
    return sample


def _score(result: CaseResult, answer: str | None) -> dict[str, Any]:
    evaluation = result.evaluation
    return {
        "value": "C" if result.outcome is Outcome.PASSED else "I",
        "answer": answer,
        "explanation": result.error,
        "metadata": {"score": evaluation.score, **evaluation.details} if evaluation else None,
    }


def _target(expected: JSON) -> str | list[str]:
    if isinstance(expected, list):
        return [as_text(entry) or "" for entry in expected]
    return as_text(expected) or ""


def _scorer(view: RunView, dataset: str) -> str:
    """The evaluator's type."""
    return str(view.evaluator(dataset).get("type") or "evaluator")


def _model(agent: str) -> str:
    return f"pacabench/{agent}"


def _usage(figures: CallFigures) -> dict[str, Any]:
    """Inspect knows no unknown: what is not known is 0 there, and the pricing null."""
    cached = figures.cached_tokens or 0
    fresh, output = (figures.input_tokens or 0) - cached, figures.output_tokens or 0
    return {
        "input_tokens": fresh,
        "output_tokens": output,
        "total_tokens": fresh + cached + output,
        "input_tokens_cache_read": cached,
        "reasoning_tokens": figures.reasoning_tokens or 0,
        "total_cost": None if figures.cost_incomplete else figures.cost_usd,
    }
