"""Events as JSON lines, by structlog. Apart, so that only ``--log-format json`` imports that.

The lines are ASCII only (everything else is escaped), because part of it was chosen by agents.
"""

import json
import logging
from typing import Any

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from pacabench.events import (
    AttemptFinished,
    AttemptStarted,
    CallFinished,
    Event,
    Notice,
    Paused,
    Preparing,
    Resumed,
    RunStarted,
    Stopping,
)
from pacabench.model import CaseKey, CaseResult, MeteredCall
from pacabench.stats import Counts

_LEVELS = {"info": logging.INFO, "warning": logging.WARNING, "danger": logging.CRITICAL}


def json_formatter() -> logging.Formatter:
    """Have structlog and the standard library's warnings go through one renderer, this one."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _as_json],
    )


def _as_json(_logger: WrappedLogger, _name: str, fields: EventDict) -> str:
    return json.dumps(fields, ensure_ascii=True, default=repr)


def log_event(event: Event) -> None:
    """Write ``event`` as one JSON line. The fields are listed in ``docs/cli.md``."""
    log = structlog.stdlib.get_logger("pacabench.run")
    match event:
        case Preparing(text=text):
            log.info("preparing", text=text)
        case RunStarted():
            log.info(
                "run_started",
                run_id=event.run_id,
                sandbox=event.sandbox,
                planned=event.planned,
                decided=len(event.decided),
            )
        case AttemptStarted(key=key, number=number):
            log.info("attempt_started", **_key_fields(key), number=number)
        case CallFinished(call=call):
            log.info("call_finished", **_key_fields(call.key), **_call_fields(call))
        case AttemptFinished(result=result, will_retry=will_retry):
            fields = _key_fields(result.key) | _result_fields(result)
            log.info("attempt_finished", **fields, will_retry=will_retry)
        case Paused(why=why, give_up_after_s=give_up_after_s):
            log.warning("paused", why=why, give_up_after_s=give_up_after_s)
        case Resumed(after_s=after_s):
            log.info("resumed", after_s=after_s)
        case Stopping(grace_s=grace_s):
            log.info("stopping", grace_s=grace_s)
        case Notice(level=level, text=text):
            log.log(_LEVELS[level], "notice", text=text)


def _key_fields(key: CaseKey) -> dict[str, Any]:
    return {"agent": key.agent, "dataset": key.dataset, "case_id": key.case_id, "epoch": key.epoch}


def _call_fields(metered: MeteredCall) -> dict[str, Any]:
    call, usage = metered.call, metered.call.usage
    return {
        "attempt_id": call.attempt_id,
        "provider": call.provider,
        "endpoint": call.endpoint,
        "model": call.model,
        "status": call.status,
        "end": call.end,
        "ttft_ms": call.ttft_ms,
        "duration_ms": call.duration_ms,
        "input_tokens": usage.total_input_tokens if usage else None,
        "output_tokens": usage.output_tokens if usage else None,
        "cached_tokens": usage.cached_tokens if usage else None,
        "usage_source": call.usage_source,
        "retries": call.retries,
        "waited_ms": call.waited_ms,
        "cost_usd": metered.cost_usd,
    }


def _result_fields(result: CaseResult) -> dict[str, Any]:
    return {
        "attempt_id": result.attempt_id,
        "number": result.number,
        "outcome": result.outcome.value,
        "score": result.evaluation.score if result.evaluation else None,
        "duration_ms": result.duration_ms,
        "provider_wait_ms": result.provider_wait_ms,
        "error": result.error,
    }


def log_finished(run_id: str, total: Counts, exit_code: int) -> None:
    """Write the last JSON line of a run."""
    structlog.stdlib.get_logger("pacabench.run").info(
        "run_finished",
        run_id=run_id,
        cases=total.cases,
        passed=total.passed,
        failed=total.failed,
        infrastructure=total.infrastructure,
        pending=total.pending,
        accuracy=total.accuracy,
        calls=total.usage.calls,
        input_tokens=total.usage.input_tokens,
        output_tokens=total.usage.output_tokens,
        cached_tokens=total.usage.cached_tokens,
        cost_usd=total.usage.cost_usd,
        exit_code=exit_code,
    )


class JsonView:
    """Every event as one JSON line, in among the rest of the log; ``quiet``: warnings only."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet

    def show(self, event: Event) -> None:
        """Log the event."""
        warns = isinstance(event, Paused) or (isinstance(event, Notice) and event.level != "info")
        if warns or not self._quiet:
            log_event(event)

    def say(self, text: str) -> None:
        """Log ``text`` as a notice."""
        log_event(Notice("warning", text))

    def tick(self) -> None:
        """Nothing moves."""

    def close(self) -> None:
        """Nothing is left open."""
