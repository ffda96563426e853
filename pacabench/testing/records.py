"""What a run leaves on disk, piece by piece, for tests of what reads or keeps it."""

import secrets
from typing import Any

from pacabench.egress import CaseEgress, EgressRecord
from pacabench.model import (
    CallRecord,
    CaseKey,
    CaseResult,
    Evaluation,
    MeteredCall,
    Outcome,
    Usage,
    new_attempt_id,
)
from pacabench.store import Manifest, ProviderRecord, SandboxRecord


def fake_key(case_id: str = "case-1", agent: str = "agent", dataset: str = "data") -> CaseKey:
    """The key of a case."""
    return CaseKey(agent, dataset, case_id)


def fake_result(
    key: CaseKey | None = None, outcome: Outcome = Outcome.PASSED, **changes: Any
) -> CaseResult:
    """A result with an attempt id of its own; ``changes`` replace fields."""
    key = key or fake_key()
    judged = outcome in (Outcome.PASSED, Outcome.FAILED)
    passed = outcome is Outcome.PASSED
    fields: dict[str, Any] = {
        "attempt_id": new_attempt_id(key),
        "key": key,
        "number": 1,
        "outcome": outcome,
        "output": "42" if passed else "41",
        "expected": "42",
        "error": None if judged else f"ended by {outcome.value}",
        "evaluation": Evaluation(passed=passed, score=float(passed)) if judged else None,
        "started_at": 1_700_000_000.0,
        "duration_ms": 100.0,
        "exit": None,
        "log": None,
    }
    return CaseResult(**{**fields, **changes})


def fake_metered(
    result: CaseResult, cost_usd: float | None = 0.001, *, recovered: bool = False, **changes: Any
) -> MeteredCall:
    """A call that ``result``'s attempt made; ``changes`` replace fields of its record."""
    fields: dict[str, Any] = {
        "call_id": secrets.token_hex(12),
        "attempt_id": result.attempt_id,
        "provider": "openai",
        "endpoint": "chat.completions",
        "model": "gpt-4o-mini",
        "answered_model": "gpt-4o-mini-2024-07-18",
        "status": 200,
        "end": "complete",
        "stream": False,
        "started_at": 1_700_000_000.0,
        "ttft_ms": 10.0,
        "duration_ms": 20.0,
        "usage": Usage(input_tokens=10, cached_tokens=0, output_tokens=5, reasoning_tokens=0),
        "usage_source": "provider",
        "raw_usage": None,
        "request_digest": "0" * 32,
        "request_bytes": 100,
        "response_bytes": 200,
    }
    return MeteredCall(result.key, CallRecord(**{**fields, **changes}), cost_usd, recovered)


def fake_egress(result: CaseResult, *, recovered: bool = False, **changes: Any) -> CaseEgress:
    """A way out that ``result``'s attempt was allowed; ``changes`` replace fields of its record."""
    fields: dict[str, Any] = {
        "egress_id": secrets.token_hex(12),
        "attempt_id": result.attempt_id,
        "method": "CONNECT",
        "host": "en.wikipedia.org",
        "port": 443,
        "address": "198.35.26.96",
        "verdict": "allowed",
        "reason": None,
        "detail": None,
        "status": None,
        "bytes_up": 1000,
        "bytes_down": 50_000,
        "started_at": 1_700_000_000.0,
        "duration_ms": 20.0,
    }
    return CaseEgress(result.key, EgressRecord(**{**fields, **changes}), recovered)


def fake_manifest(run_id: str = "run-1", **changes: Any) -> Manifest:
    """The manifest of a run in containers; ``changes`` replace fields."""
    fields: dict[str, Any] = {
        "run_id": run_id,
        "name": "benchmark",
        "started": "2026-01-02T03:04:05.678Z",
        "package_version": "1.2.3",
        "python": "3.11.7",
        "platform": "Linux",
        "sandbox": SandboxRecord(kind="docker", engine="Docker 20.10.24"),
        "providers": (ProviderRecord(name="openai", kind="openai"),),
    }
    return Manifest.model_validate({**fields, **changes})
