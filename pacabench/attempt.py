"""One case, once: sandbox, agent, evaluation. Turns whatever happened into an outcome.

The only place where an agent's failure becomes data.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from pacabench.agent import MOST_TIMES_OVER, Countdown, Reply, ask, drain
from pacabench.aio import finish
from pacabench.datasets.case_files import read_files
from pacabench.errors import EvaluatorError, ProviderError, SandboxError
from pacabench.evaluators.base import Evaluator
from pacabench.evaluators.desk import ATTEMPT, LEFT
from pacabench.left_files import LeftFiles, Wanted
from pacabench.model import (
    JSON,
    BudgetScope,
    CallRecord,
    Case,
    CaseResult,
    Evaluation,
    ExitFacts,
    Outcome,
    PlannedAttempt,
)
from pacabench.protocol import MAX_LINE_BYTES
from pacabench.sandbox.base import SandboxAgent, Session
from pacabench.sandbox.pool import SessionPool

ERROR_KEPT_CHARS = 16 * 1024

CallsOf = Callable[[str], Sequence[CallRecord]]
"""Attempt id to the LLM calls it made. Asked once, after the session was unbound."""
WaitedOf = Callable[[str], float | None]
"""Attempt id to milliseconds in which it waited for its provider; None where nobody knows."""
Follow = Callable[[str, Callable[[bool], None]], None]
"""Tells the callable whenever an attempt begins or ends to wait for its provider."""
OverBudgetOf = Callable[[str], tuple[BudgetScope, str] | None]
"""Attempt id to whose budget refused one of its calls, and why."""
KeepLog = Callable[[str, bytes, str], Awaitable[str | None]]
"""Keeps an attempt's log and stderr; returns the file's name, None where there was nothing."""

KeepLeft = Callable[[str, LeftFiles], Awaitable[str]]
"""Keeps what an attempt's agent left; returns the file's name."""


@dataclass(frozen=True, slots=True)
class Workshop:
    """What every attempt of a run is made with."""

    pool: SessionPool
    agents: Mapping[str, SandboxAgent]
    evaluators: Mapping[str, Evaluator]
    """By data set."""
    timeout_s: float
    calls_of: CallsOf
    keep_log: KeepLog
    keep_left: KeepLeft | None = None
    wanted: Mapping[str, Wanted] = field(default_factory=dict)
    """By data set, what its evaluator wants of what agents leave."""
    waited_ms: WaitedOf = lambda _: None
    over_budget: OverBudgetOf = lambda _: None
    follow: Follow | None = None
    """None: time in which an agent waits for its provider counts like any other."""


@dataclass(frozen=True, slots=True)
class _Facts:
    """What is known when the agent is done with the case."""

    reply: Reply
    exit: ExitFacts | None
    """None while a worker lives on."""
    calls: Sequence[CallRecord]
    provider_wait_ms: float | None = None
    over_budget: tuple[BudgetScope, str] | None = None
    left: LeftFiles | None = None


async def run_attempt(planned: PlannedAttempt, workshop: Workshop) -> CaseResult:
    """Run one case once and return its result, whatever the agent did.

    The sandbox is gone when this returns, also on cancellation (a healthy worker stays in the
    pool).

    Raises:
        SandboxUnavailableError: no case can be served; the run must stop.
    """
    started_at = time.time()
    begun = time.monotonic()
    try:
        facts = await _converse(planned, workshop)
    except SandboxError as error:
        elapsed_ms = (time.monotonic() - begun) * 1000
        return _result(planned, Outcome.SANDBOX_ERROR, started_at, elapsed_ms, error=str(error))
    log = await workshop.keep_log(
        planned.attempt_id, facts.reply.log, facts.exit.stderr_tail if facts.exit else ""
    )
    left = None
    if facts.left is not None and workshop.keep_left is not None:
        left = await workshop.keep_left(planned.attempt_id, facts.left)
    outcome, error_text, evaluation = await _judge(planned, facts, workshop)
    if outcome is Outcome.EVALUATOR_ERROR and (
        refused := workshop.over_budget(planned.attempt_id)
    ):  # the agent had all its calls: it was the judge that could not be paid for
        facts = replace(facts, over_budget=refused)
        outcome, error_text = Outcome.BUDGET_EXCEEDED, refused[1]
    return _result(
        planned,
        outcome,
        started_at,
        facts.reply.duration_ms,
        error=error_text,
        facts=facts,
        evaluation=evaluation,
        log=log,
        left=left,
    )


async def _converse(planned: PlannedAttempt, workshop: Workshop) -> _Facts:
    """Ask an idle worker if there is one, else a fresh session.

    A worker that turns out to be dead proves nothing about this case, so a fresh one gets it.
    """
    agent = workshop.agents[planned.key.agent]
    while (idle := workshop.pool.take_idle(agent)) is not None:
        facts = await _use(idle, planned, workshop, fresh=False)
        if facts is not None:
            return facts
    session = await workshop.pool.start(agent)
    facts = await _use(session, planned, workshop, fresh=True)
    assert facts is not None
    return facts


async def _use(
    session: Session, planned: PlannedAttempt, workshop: Workshop, *, fresh: bool
) -> _Facts | None:
    """One conversation. None: a worker that is not ``fresh`` ended before it said anything."""
    agent = workshop.agents[planned.key.agent]
    worker = agent.sandbox.isolation == "worker"
    healthy = False
    exit_facts: ExitFacts | None = None
    left: LeftFiles | None = None
    try:
        if not fresh and not await drain(session):
            await workshop.pool.close(session)
            return None
        await session.bind(planned.attempt_id)
        countdown = Countdown(workshop.timeout_s)
        if workshop.follow is not None:
            workshop.follow(planned.attempt_id, countdown.hold)
        try:
            reply = await ask(
                session,
                planned.case,
                planned.key,
                countdown=countdown,
                last=not worker,
                files=await _placed(session, planned.case, agent, workshop.timeout_s),
            )
            healthy = worker and reply.answer is not None
            wanted = workshop.wanted.get(planned.key.dataset)
            if wanted is not None and reply.answer is not None and reply.answer.error is None:
                left = await finish(session.take_left(wanted))
        finally:
            if not healthy:
                exit_facts = await workshop.pool.close(session)
            await finish(session.unbind())
    except BaseException:
        await workshop.pool.close(session)
        raise
    if session.failure is not None:
        await workshop.pool.close(session)
        raise SandboxError(session.failure)
    if healthy:
        workshop.pool.keep(agent, session)
    elif not fresh and reply.silent and not reply.timed_out:
        return None
    attempt_id = planned.attempt_id
    return _Facts(
        reply,
        exit_facts,
        workshop.calls_of(attempt_id),
        workshop.waited_ms(attempt_id),
        workshop.over_budget(attempt_id),
        left,
    )


async def _placed(
    session: Session, case: Case, agent: SandboxAgent, timeout_s: float
) -> Sequence[str] | None:
    """Give ``session`` the case's files; their paths for the agent. None: it takes none.

    Raises:
        SandboxError: they could not be handed over.
        DatasetError: one is not what it was.
    """
    if not agent.takes_files:
        return None
    files = await asyncio.to_thread(read_files, case)
    try:
        async with asyncio.timeout(timeout_s):
            directory = await session.place(files)
    except TimeoutError:
        raise SandboxError("the case's files could not be placed in time") from None
    return [f"{directory}/{name}" for name in files]


async def _judge(
    planned: PlannedAttempt, facts: _Facts, workshop: Workshop
) -> tuple[Outcome, str | None, Evaluation | None]:
    """Outcome, error text and verdict; a provider's failure is never held against the agent.

    Whatever it answered, an agent whose call was refused for its budget did not have the means that
    the others had: its answer is kept, and not judged.
    """
    if facts.over_budget is not None:
        return Outcome.BUDGET_EXCEEDED, facts.over_budget[1], None
    answer = facts.reply.answer
    if answer is None or answer.error is not None:
        outcome, error = _without_answer(facts, workshop.timeout_s)
        return _blame(outcome, error, None, facts.calls)
    evaluator = workshop.evaluators[planned.key.dataset]
    attempt_id = planned.attempt_id
    return await judge_answer(
        evaluator, planned.case, answer.output, facts.calls, attempt_id, facts.left
    )


async def judge_answer(
    evaluator: Evaluator,
    case: Case,
    output: JSON,
    calls: Sequence[CallRecord],
    attempt_id: str,
    left: LeftFiles | None,
) -> tuple[Outcome, str | None, Evaluation | None]:
    """What an answer is worth; ``calls`` are those of its attempt, ``left`` what its agent left."""
    ATTEMPT.set(attempt_id)
    LEFT.set(left)
    try:
        evaluation = await evaluator.evaluate(case, output)
    except (EvaluatorError, ProviderError) as problem:
        return Outcome.EVALUATOR_ERROR, str(problem), None
    if evaluation.passed:
        return Outcome.PASSED, None, evaluation
    return _blame(Outcome.FAILED, None, evaluation, calls)


def _without_answer(facts: _Facts, timeout_s: float) -> tuple[Outcome, str]:
    reply, end = facts.reply, facts.exit
    if reply.answer is not None and reply.answer.error is not None:
        return Outcome.AGENT_ERROR, reply.answer.error[:ERROR_KEPT_CHARS]
    if end is not None and end.out_of_memory:
        return Outcome.OUT_OF_MEMORY, "the agent used more memory than `sandbox.memory` allows"
    if reply.timed_out:
        return _timed_out(facts, timeout_s)
    if end is not None and end.signal is not None and not end.killed:
        return Outcome.AGENT_ERROR, f"the agent was ended by signal {end.signal}{_last_words(end)}"
    if end is not None and end.exit_code:
        return (
            Outcome.AGENT_ERROR,
            f"the agent exited with code {end.exit_code} and no answer{_last_words(end)}",
        )
    error = 'the agent ended without a line of the form {"output": ...} on stdout'
    if reply.cut:
        error += (
            f"; one of its lines was cut at {MAX_LINE_BYTES // 1024**2} MiB, the most it can have"
        )
    return Outcome.INVALID_OUTPUT, error


def _timed_out(facts: _Facts, timeout_s: float) -> tuple[Outcome, str]:
    """Whose doing it was that an agent had time left of its own, and a call that did not end.

    The provider's, where not even a reply's head came; a reply that goes on and on may be one that
    the agent does not read.
    """
    if not facts.reply.capped:
        return Outcome.TIMEOUT, f"no answer within {timeout_s:g} s"
    for call in facts.calls:
        if call.sent and call.status is None and call.duration_ms >= timeout_s * 1000:
            waited_s = call.duration_ms / 1000
            return (
                Outcome.PROVIDER_ERROR,
                f"provider {call.provider} did not answer a call within {waited_s:.0f} s",
            )
    most_s = timeout_s * MOST_TIMES_OVER
    return Outcome.TIMEOUT, f"no answer within {most_s:g} s, waiting for the provider included"


def _last_words(end: ExitFacts) -> str:
    lines = end.stderr_tail.strip().splitlines()
    return f": {lines[-1][:500]}" if lines else ""


def _blame(
    outcome: Outcome, error: str | None, evaluation: Evaluation | None, calls: Sequence[CallRecord]
) -> tuple[Outcome, str | None, Evaluation | None]:
    failure = unrecovered(calls)
    if failure is None:
        return outcome, error, evaluation
    what = failure.error or f"HTTP status {failure.status}"
    # Where a cassette has no answer, nobody was asked, and the provider did nothing wrong.
    text = what if failure.replay == "unmatched" else f"provider {failure.provider} failed: {what}"
    return Outcome.PROVIDER_ERROR, f"{text}; the agent: {error}" if error else text, evaluation


def unrecovered(calls: Sequence[CallRecord]) -> CallRecord | None:
    """The last call that the provider failed and that no later equal call made good.

    An SDK that retries sends the same request again; when that succeeds, the agent lost nothing.
    """
    good: set[str] = set()
    for call in reversed(calls):
        if call.is_provider_failure:
            if call.request_digest not in good:
                return call
        elif call.end == "complete" and call.status is not None:
            good.add(call.request_digest)
    return None


def cancelled_result(planned: PlannedAttempt) -> CaseResult:
    """The result of an attempt that was cut off because the run was stopped."""
    return _result(
        planned, Outcome.CANCELLED, time.time(), 0.0, error="cut off: the run was stopped"
    )


def _result(
    planned: PlannedAttempt,
    outcome: Outcome,
    started_at: float,
    duration_ms: float,
    *,
    error: str | None = None,
    facts: _Facts | None = None,
    evaluation: Evaluation | None = None,
    log: str | None = None,
    left: str | None = None,
) -> CaseResult:
    answer = facts.reply.answer if facts else None
    return CaseResult(
        attempt_id=planned.attempt_id,
        key=planned.key,
        number=planned.number,
        outcome=outcome,
        output=answer.output if answer else None,
        expected=planned.case.expected,
        error=error,
        evaluation=evaluation,
        started_at=started_at,
        duration_ms=duration_ms,
        exit=facts.exit if facts else None,
        log=log,
        left=left,
        left_out=facts.left.left_out if facts and facts.left else (),
        provider_wait_ms=facts.provider_wait_ms if facts else None,
        budget=facts.over_budget[0] if facts and facts.over_budget else None,
    )
