"""The heart, one session of a run: what is planned is made, put on disk, and reported.

A run has as many sessions as harnesses worked on it; ``run.py`` begins each one.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial

from pacabench.aio import finish
from pacabench.attempt import Workshop, cancelled_result, run_attempt
from pacabench.budget.least import check_least
from pacabench.budget.limits import budgets_of, judge_terms_of, record_of, terms_of
from pacabench.budget.treasury import Treasury
from pacabench.checking import Checks
from pacabench.contest import open_contest
from pacabench.events import (
    AttemptFinished,
    AttemptStarted,
    Notice,
    RunStarted,
    Stopping,
)
from pacabench.figures import CallFigures
from pacabench.job import Job, RunReport
from pacabench.judging import Rules, open_desk
from pacabench.key_watch import KeyWatch
from pacabench.ledger import Ledger
from pacabench.memory import building
from pacabench.model import CallRecord, CaseKey, CaseResult, PlannedAttempt
from pacabench.owner import current_owner
from pacabench.plan import plan_attempts, plan_cases, planned_counts
from pacabench.pricing import Pricer
from pacabench.provenance import sandbox_record
from pacabench.proxy.patience import Patience
from pacabench.recording import open_recording
from pacabench.sandbox.base import Sandbox, SandboxContext
from pacabench.sandbox.factory import clear_up, open_sandbox
from pacabench.sandbox.pool import SessionPool, most_sessions
from pacabench.scheduler import Execute, Policy, Record, Schedule
from pacabench.stats import Totals, add_up
from pacabench.store import DecisionRecord
from pacabench.store.left import keeper_of
from pacabench.store.spool import SPOOL_FOLDER

_LEFT_OUT_TOLD = 3
GRACE_S = 60.0
"""How long running cases may go on after a stop; less where `timeout_seconds` is less."""


async def carry_out(job: Job) -> RunReport:
    """Make every attempt that is planned, and leave the run finished or resumable."""
    store, benchmark = job.store, job.benchmark
    for text in (*store.repairs, *benchmark.notices):
        job.warn(text)
    config = benchmark.loaded.config
    limit, epochs = benchmark.selection.limit, config.config.epochs
    shuffle = store.manifest.run_id if benchmark.selection.stop_when_decided else None
    with building():
        cases = plan_cases(
            benchmark.names, benchmark.datasets, limit=limit, epochs=epochs, shuffle=shuffle
        )
    keys = [case.key for case in cases]
    if _is_contest(job) and not _was_decided(job):
        job.contest = open_contest(benchmark.names, keys, epochs, store.deciding)
    pricer = Pricer(benchmark.providers, config.prices)
    budgets = budgets_of(config, benchmark.names)
    for text in check_least(config, budgets, pricer, [it.name for it in benchmark.providers]):
        job.warn(text)
    treasury = Treasury(budgets, pricer, job.listener)
    ledger = Ledger(
        cost=pricer.cost,
        journal=store.append_call,
        egress_journal=store.append_egress,
        judge_journal=store.append_judge_call,
        listener=job.listener,
        charge=treasury.take,
        judge_charge=treasury.take_judge,
    )
    judges = Pricer(benchmark.judges.values(), config.prices)
    salvage = partial(store.import_spool, keys, pricer.cost, judges.cost, job.warn)
    salvage()
    deciding = store.deciding
    planned = plan_attempts(
        cases,
        deciding=deciding,
        attempts_made=store.attempts_made,
        retry=job.retry,
    )
    if _is_decided(job):  # what infrastructure failed is still made again
        planned = [attempt for attempt in planned if attempt.key in deciding]
    store.begin_session(
        prices_version=pricer.version,
        planned_cases=planned_counts(
            benchmark.names, benchmark.datasets, limit=limit, epochs=epochs
        ),
        config_path=str(benchmark.loaded.path),
        flags=dict(job.flags),
        budget=record_of(budgets),
    )
    if store.manifest.budget is not None:
        treasury.recall(store.call_facts(), store.judge_calls())
    if _affordable(planned, treasury):
        await _make(job, planned, keys, salvage, ledger, treasury)
    else:
        await _clear_up(job, salvage, treasury)
    ledger.recall(store.usage)
    if _is_decided(job) or all(attempt.key in job.decided for attempt in planned):
        job.over_budget = None  # and if a budget was spent, it was enough
    elif job.over_budget is None:
        job.over_budget = next(iter(treasury.spent.values()), None)
    job.spent = bool(treasury.spent)
    report = _report(job, ledger)
    store.end_session("stopped" if report.left else "finished")
    return report


async def _make(
    job: Job,
    planned: Sequence[PlannedAttempt],
    keys: Sequence[CaseKey],
    salvage: Callable[[], int],
    ledger: Ledger,
    treasury: Treasury,
) -> None:
    """Open all that attempts are made with, and make them."""
    store, benchmark = job.store, job.benchmark
    proxy = benchmark.loaded.config.config.proxy
    with open_recording(
        store.run_dir, store.manifest.cassette, keys, proxy, job.listener
    ) as job.recording:
        async with open_sandbox(benchmark.kind, _context(job, ledger, treasury)) as sandbox:
            # Salvaged by the sandbox from a dead session.
            if salvage() and store.manifest.budget is not None:
                treasury.recall(store.call_facts(), store.judge_calls())
            store.update_manifest(sandbox=sandbox_record(sandbox.facts, store.manifest.sandbox))
            book = job.recording.heard_of_judge(ledger.take_judge_call)
            desk, rules, loaded = benchmark.desk, _rules(job, treasury), benchmark.loaded
            async with open_desk(desk, benchmark.judges, loaded, book, job.listener, rules):
                benchmark.desk.run_check = Checks(sandbox, benchmark.checkers).run
                await _work(job, sandbox, planned, ledger, treasury)
        salvage()  # what could be salvaged only by now
        store.update_manifest(cassette=job.recording.record(store.manifest.cassette))


def _rules(job: Job, treasury: Treasury) -> Rules:
    return Rules(
        terms=judge_terms_of(job.benchmark.loaded.config, treasury.budgets),
        ask=treasury.ask_judge,
        tapes=job.recording.judge_tapes,
        seed=job.recording.seed,
        spool_dir=job.store.run_dir / SPOOL_FOLDER,
    )


async def _clear_up(job: Job, salvage: Callable[[], int], treasury: Treasury) -> None:
    """Nothing is to be made: but a session that was killed may have left containers and calls."""
    store = job.store
    if all(session.ended != "died" for session in store.manifest.sessions):
        return
    await clear_up(job.benchmark.kind, job.listener)
    if salvage() and store.manifest.budget is not None:
        treasury.recall(store.call_facts(), store.judge_calls())


def _is_decided(job: Job) -> bool:
    """No case is needed any more: because of this session or an earlier one."""
    if job.contest is None:
        return _is_contest(job) and _was_decided(job)
    return job.contest.ended


def _is_contest(job: Job) -> bool:
    """Not where wrong answers are made again: those decide nothing."""
    return job.benchmark.selection.stop_when_decided and not job.retry


def _was_decided(job: Job) -> bool:
    """In an earlier session, whatever that looks like now."""
    earlier = job.store.manifest.decision
    return earlier is not None and earlier.stopped_early


def _affordable(planned: Sequence[PlannedAttempt], treasury: Treasury) -> Sequence[PlannedAttempt]:
    """Those of agents that may still spend something."""
    return [attempt for attempt in planned if not treasury.is_spent(attempt.key.agent)]


def _context(job: Job, ledger: Ledger, treasury: Treasury) -> SandboxContext:
    benchmark = job.benchmark
    config = benchmark.loaded.config.config
    watch = KeyWatch(benchmark.providers, job.breaker.end)

    def on_call(call: CallRecord) -> None:
        ledger.take(call)
        watch.take(call)

    return SandboxContext(
        run_id=job.store.manifest.run_id,
        run_dir=job.store.run_dir,
        owner=current_owner(),
        cache_dir=benchmark.loaded.cache_directory,
        agents=(*benchmark.agents, *benchmark.checkers.values()),
        providers=benchmark.providers,
        default_provider=benchmark.default_provider,
        concurrency=_most_sessions(job) + _most_checks(job),
        on_call=job.recording.heard(on_call),
        on_egress=ledger.take_egress,
        listener=job.listener,
        allow_weak=job.allow_weak,
        on_text=ledger.take_text,
        on_wait=ledger.take_wait,
        on_health=job.breaker.provider,
        live_waits=config.timeout_excludes_provider_wait,
        patience=Patience(
            retry_for_s=config.proxy.retry_for_seconds, silence_s=config.proxy.silence_seconds
        ),
        tapes=job.recording.tapes,
        on_ask=treasury.ask,
        terms=terms_of(benchmark.loaded.config, treasury.budgets),
    )


def _most_sessions(job: Job) -> int:
    benchmark = job.benchmark
    return most_sessions(benchmark.agents, benchmark.loaded.config.config.concurrency)


def _most_checks(job: Job) -> int:
    """Programs that look at answers while as many agents, or workers that wait, are there."""
    benchmark = job.benchmark
    return benchmark.loaded.config.config.concurrency if benchmark.checkers else 0


async def _work(
    job: Job,
    sandbox: Sandbox,
    planned: Sequence[PlannedAttempt],
    ledger: Ledger,
    treasury: Treasury,
) -> None:
    """Run the schedule in an open sandbox; idle workers and teardowns are done with on return."""
    config = job.benchmark.loaded.config.config
    pool = SessionPool(sandbox, most=_most_sessions(job))
    workshop = Workshop(
        pool=pool,
        agents={agent.name: agent for agent in job.benchmark.agents},
        evaluators=job.benchmark.evaluators,
        timeout_s=config.timeout_seconds,
        calls_of=ledger.calls_of,
        keep_log=job.store.keep_log,
        keep_left=keeper_of(job.store.run_dir),
        wanted=job.benchmark.wanted,
        waited_ms=ledger.waited_ms,
        over_budget=treasury.refusal_of,
        follow=ledger.follow if config.timeout_excludes_provider_wait else None,
    )
    _announce(job, treasury)
    policy = Policy(
        concurrency=config.concurrency,
        max_retries=config.max_retries,
        grace_s=min(GRACE_S, config.timeout_seconds),
    )
    schedule = Schedule(
        _affordable(planned, treasury),
        execute=_executor(job, workshop, ledger, treasury),
        record=_recorder(job, lambda: schedule.halt()),  # noqa: PLW0108 - not there yet
        abandoned=cancelled_result,
        policy=policy,
        stop=job.stop,
        breaker=job.breaker,
        judge=job.recording.judge,
    )
    treasury.on_spent = _halter(job, schedule, treasury)
    telling = asyncio.create_task(_tell_of_stop(job, policy.grace_s))
    try:
        await schedule.run()
    finally:
        telling.cancel()
        await finish(pool.close_idle())
    if job.breaker.gave_up is not None:
        job.listener(Notice("warning", job.breaker.gave_up))
    elif not job.stop.requested:
        for agent in job.benchmark.agents:
            if agent.config.teardown is not None:
                await sandbox.run_teardown(agent)


def _halter(job: Job, schedule: Schedule, treasury: Treasury) -> Callable[[str | None], None]:
    def halt(agent: str | None) -> None:
        schedule.forgo(agent)
        which = "case" if agent is None else "one of its cases"
        job.listener(Notice("warning", f"{treasury.spent[agent]}; no further {which} is started"))

    return halt


def _executor(job: Job, workshop: Workshop, ledger: Ledger, treasury: Treasury) -> Execute:
    async def execute(planned: PlannedAttempt) -> CaseResult:
        ledger.open(planned.attempt_id, planned.key)
        treasury.open(planned.attempt_id, planned.key.agent)
        job.listener(AttemptStarted(planned.key, planned.number))
        try:
            return await run_attempt(planned, workshop)
        finally:
            treasury.close(planned.attempt_id)
            ledger.close(planned.attempt_id)

    return execute


def _recorder(job: Job, halt: Callable[[], None]) -> Record:
    async def record(result: CaseResult, will_retry: bool) -> None:
        await job.recording.seal(result)
        await job.store.append_result(result)
        if not result.decides:
            job.over_budget = job.over_budget or result.error
        elif not will_retry:
            job.decided.add(result.key)
        job.listener(AttemptFinished(result, will_retry))
        if result.left_out:
            _tell_of_left_out(job, result)
        counts = result.decides and not will_retry
        if job.contest is not None and counts and job.contest.take(result):
            job.listener(Notice("info", f"{job.contest.said()}; no further case is started"))
            halt()

    return record


def _tell_of_left_out(job: Job, result: CaseResult) -> None:
    """The first few: every one is in its case's record."""
    job.cut_left += 1
    if job.cut_left > _LEFT_OUT_TOLD:
        return
    more = f" and {len(result.left_out) - 1} more" if len(result.left_out) > 1 else ""
    last = "; that is told of no further case" if job.cut_left == _LEFT_OUT_TOLD else ""
    case = f"{result.key.agent}, {result.key.dataset}, {result.key.case_id}"
    text = f"of what the agent left ({case}), {result.left_out[0]}{more}: not taken out"
    job.listener(Notice("warning", f"{text}; `show --case` has all{last}"))


def _announce(job: Job, treasury: Treasury) -> None:
    store, job.announced = job.store, True
    earlier: defaultdict[str, CallFigures] = defaultdict(CallFigures)
    for (agent, _), figures in store.usage.items():
        earlier[agent].merge(figures)
    counts = {
        agent: sum(of_agent.values()) for agent, of_agent in store.manifest.planned_cases.items()
    }
    job.listener(
        RunStarted(
            run_id=store.manifest.run_id,
            sandbox=store.manifest.sandbox.kind,
            planned=counts,
            decided=tuple(store.deciding.values()),
            earlier_calls=earlier,
            budget=treasury.ceiling,
            spent=treasury.charged,
        )
    )


async def _tell_of_stop(job: Job, grace_s: float) -> None:
    await job.stop.wait()
    job.listener(Stopping(grace_s))


def _report(job: Job, ledger: Ledger) -> RunReport:
    store = job.store
    with building():
        summary = add_up(store.results, store.deciding, ledger.usage, store.manifest.planned_cases)
    return RunReport(
        run_id=store.manifest.run_id,
        run_dir=store.run_dir,
        summary=summary,
        infrastructure_left=summary.total.infrastructure,
        pending=summary.total.pending,
        stopped=job.stop.requested,
        gave_up=job.breaker.gave_up,
        decision=_decision(job, summary),
        over_budget=job.over_budget,
        spent=job.spent,
        missed=job.recording.missed,
    )


def _decision(job: Job, summary: Totals) -> DecisionRecord | None:
    """Stamp how the contest ended into the manifest; an earlier decision stands."""
    earlier = job.store.manifest.decision
    if job.contest is None:
        return earlier
    if not job.contest.ended and summary.total.pending:
        return None  # it goes on
    record = job.contest.record(summary)
    job.store.update_manifest(decision=record)
    return record
