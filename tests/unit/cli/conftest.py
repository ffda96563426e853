"""Makers of results, calls and events for the tests of the command line."""

from collections.abc import Callable
from typing import Any

import pytest

from pacabench.model import CallRecord, CaseKey, CaseResult, MeteredCall, Outcome, Usage


class Clock:
    """A clock that stands until it is told to go on."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


def make_key(case_id: str = "c1", agent: str = "a") -> CaseKey:
    return CaseKey(agent, "d", case_id)


@pytest.fixture
def key() -> Callable[..., CaseKey]:
    return make_key


@pytest.fixture
def result() -> Callable[..., CaseResult]:
    def make(
        outcome: Outcome = Outcome.PASSED,
        case_id: str = "c1",
        agent: str = "a",
        number: int = 1,
        error: str | None = None,
    ) -> CaseResult:
        return CaseResult(
            attempt_id=f"{agent}-{case_id}-{number}",
            key=make_key(case_id, agent),
            number=number,
            outcome=outcome,
            output=None,
            expected="x",
            error=error,
            evaluation=None,
            started_at=0.0,
            duration_ms=1200.0,
            exit=None,
            log=None,
        )

    return make


@pytest.fixture
def call() -> Callable[..., MeteredCall]:
    def make(
        usage: Usage | None = None, cost_usd: float | None = None, **changes: Any
    ) -> MeteredCall:
        fields: dict[str, Any] = {
            "call_id": "1",
            "attempt_id": "a-1",
            "provider": "openai",
            "endpoint": "chat.completions",
            "model": "m",
            "answered_model": "m",
            "status": 200,
            "end": "complete",
            "stream": True,
            "started_at": 0.0,
            "ttft_ms": 1.0,
            "duration_ms": 2.0,
            "usage": usage,
            "usage_source": "provider",
            "raw_usage": None,
            "request_digest": "",
            "request_bytes": 1,
            "response_bytes": 1,
        }
        return MeteredCall(make_key(), CallRecord(**{**fields, **changes}), cost_usd)

    return make
