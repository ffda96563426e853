"""The scheduler, with attempts that are plain coroutines."""

import asyncio
from collections import Counter, defaultdict
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pacabench.attempt import cancelled_result
from pacabench.breaker import Breaker, BreakerPolicy
from pacabench.errors import SandboxUnavailableError
from pacabench.model import (
    Case,
    CaseKey,
    CaseResult,
    Outcome,
    PlannedAttempt,
    new_attempt_id,
)
from pacabench.scheduler import MOST_EXCUSED, Execute, Judge, Policy, Schedule, Stop

QUICK = {"backoff_s": 0.001, "backoff_cap_s": 0.002}


def plan(count: int, agent: str = "agent") -> list[PlannedAttempt]:
    planned = []
    for number in range(count):
        key = CaseKey(agent, "data", f"case-{number}")
        case = Case("data", key.case_id, "question", "answer")
        planned.append(PlannedAttempt(key, [case], 0, 1, new_attempt_id(key)))
    return planned


def result(planned: PlannedAttempt, outcome: Outcome) -> CaseResult:
    return CaseResult(
        attempt_id=planned.attempt_id,
        key=planned.key,
        number=planned.number,
        outcome=outcome,
        output=None,
        expected=None,
        error=None,
        evaluation=None,
        started_at=0.0,
        duration_ms=0.0,
        exit=None,
        log=None,
    )


class Recorder:
    def __init__(self) -> None:
        self.results: list[CaseResult] = []
        self.retried: list[bool] = []

    async def __call__(self, item: CaseResult, will_retry: bool) -> None:
        await asyncio.sleep(0)
        self.results.append(item)
        self.retried.append(will_retry)

    @property
    def deciding(self) -> dict[CaseKey, Outcome]:
        return {item.key: item.outcome for item in self.results}


def schedule(
    planned: list[PlannedAttempt],
    execute: Execute,
    recorder: Recorder,
    *,
    stop: Stop | None = None,
    concurrency: int = 3,
    max_retries: int = 2,
    grace_s: float = 5.0,
    breaker: Breaker | None = None,
    judge: Judge = lambda _: "usual",
) -> Schedule:
    return Schedule(
        planned,
        execute=execute,
        record=recorder,
        abandoned=cancelled_result,
        policy=Policy(concurrency=concurrency, max_retries=max_retries, grace_s=grace_s, **QUICK),
        stop=stop or Stop(),
        breaker=breaker,
        judge=judge,
    )


class TestRetries:
    async def test_what_would_end_the_same_is_not_made_again_and_pauses_nothing(self) -> None:
        recorder, pauses = Recorder(), list[str]()

        async def execute(planned: PlannedAttempt) -> CaseResult:
            return result(planned, Outcome.PROVIDER_ERROR)

        quick = Breaker(BreakerPolicy(pile=2), on_pause=pauses.append)
        await schedule(plan(6), execute, recorder, breaker=quick, judge=lambda _: "never").run()

        assert recorder.retried == [False] * 6
        assert pauses == []

    async def test_an_uncounted_failure_is_made_again_and_pauses_nothing(self) -> None:
        recorder, pauses = Recorder(), list[str]()

        async def execute(planned: PlannedAttempt) -> CaseResult:
            first = planned.number == 1
            return result(planned, Outcome.PROVIDER_ERROR if first else Outcome.PASSED)

        quick = Breaker(BreakerPolicy(pile=2), on_pause=pauses.append)
        await schedule(plan(6), execute, recorder, breaker=quick, judge=lambda _: "uncounted").run()

        assert set(recorder.deciding.values()) == {Outcome.PASSED}
        assert pauses == []

    async def test_max_retries_of_two_means_two_further_attempts(self) -> None:
        recorder = Recorder()
        made: list[PlannedAttempt] = []

        async def execute(planned: PlannedAttempt) -> CaseResult:
            made.append(planned)
            return result(planned, Outcome.PROVIDER_ERROR)

        await schedule(plan(1), execute, recorder).run()

        assert [attempt.number for attempt in made] == [1, 2, 3]
        assert recorder.retried == [True, True, False]
        assert len({attempt.attempt_id for attempt in made}) == 3

    @pytest.mark.parametrize(
        "outcome", [outcome for outcome in Outcome if not outcome.is_infrastructure]
    )
    async def test_what_the_agent_did_is_never_run_again(self, outcome: Outcome) -> None:
        recorder = Recorder()

        async def execute(planned: PlannedAttempt) -> CaseResult:
            return result(planned, outcome)

        await schedule(plan(1), execute, recorder).run()

        assert len(recorder.results) == 1

    async def test_a_retry_that_works_decides(self) -> None:
        recorder = Recorder()

        async def execute(planned: PlannedAttempt) -> CaseResult:
            worked = planned.number == 2
            return result(planned, Outcome.PASSED if worked else Outcome.SANDBOX_ERROR)

        await schedule(plan(4), execute, recorder, concurrency=1).run()

        assert set(recorder.deciding.values()) == {Outcome.PASSED}
        assert len(recorder.results) == 8

    def test_backoff_doubles_up_to_its_cap_and_is_never_less_than_half(self) -> None:
        policy = Policy(concurrency=1, backoff_s=1.0, backoff_cap_s=5.0)
        for retry, ceiling in ((1, 1.0), (2, 2.0), (3, 4.0), (4, 5.0), (40, 5.0)):
            for _ in range(50):
                assert ceiling / 2 <= policy.delay_s(retry) <= ceiling


class TestConcurrency:
    async def test_never_more_than_asked_for_and_all_of_it_is_used(self) -> None:
        running = 0
        highest = 0

        async def execute(planned: PlannedAttempt) -> CaseResult:
            nonlocal running, highest
            running += 1
            highest = max(highest, running)
            await asyncio.sleep(0.005)
            running -= 1
            return result(planned, Outcome.PASSED)

        recorder = Recorder()
        await schedule(plan(20), execute, recorder, concurrency=4).run()

        assert highest == 4
        assert len(recorder.results) == 20

    async def test_nothing_planned_ends_at_once(self) -> None:
        recorder = Recorder()

        async def execute(planned: PlannedAttempt) -> CaseResult:
            raise AssertionError(planned)

        await schedule([], execute, recorder).run()

        assert recorder.results == []


class TestStop:
    async def test_running_cases_finish_and_no_new_one_starts(self) -> None:
        stop = Stop()
        recorder = Recorder()
        started: list[str] = []

        async def execute(planned: PlannedAttempt) -> CaseResult:
            started.append(planned.key.case_id)
            stop.request()
            await asyncio.sleep(0.01)
            return result(planned, Outcome.FAILED)

        await schedule(plan(10), execute, recorder, stop=stop, concurrency=2).run()

        assert len(started) <= 2
        assert len(recorder.results) == len(started)
        assert set(recorder.deciding.values()) == {Outcome.FAILED}

    async def test_what_outlives_the_grace_period_is_cut_off_and_recorded_as_cancelled(
        self,
    ) -> None:
        stop = Stop()
        recorder = Recorder()
        cleaned: list[str] = []

        async def execute(planned: PlannedAttempt) -> CaseResult:
            stop.request()
            try:
                await asyncio.sleep(60)
            finally:
                cleaned.append(planned.key.case_id)
            raise AssertionError("unreachable")

        await schedule(plan(5), execute, recorder, stop=stop, concurrency=2, grace_s=0.01).run()

        assert set(recorder.deciding.values()) == {Outcome.CANCELLED}
        assert sorted(cleaned) == sorted(item.key.case_id for item in recorder.results)

    async def test_a_stop_does_not_wait_for_a_retry_that_is_due_later(self) -> None:
        stop = Stop()
        recorder = Recorder()

        async def execute(planned: PlannedAttempt) -> CaseResult:
            asyncio.get_running_loop().call_later(0.02, stop.request)
            return result(planned, Outcome.PROVIDER_ERROR)

        run = Schedule(
            plan(1),
            execute=execute,
            record=recorder,
            abandoned=cancelled_result,
            policy=Policy(concurrency=1, backoff_s=1000, backoff_cap_s=1000),
            stop=stop,
        )
        async with asyncio.timeout(5):
            await run.run()

        assert len(recorder.results) == 1

    async def test_cancelling_the_schedule_ends_every_attempt_and_records_nothing(self) -> None:
        recorder = Recorder()
        ended = 0

        async def execute(planned: PlannedAttempt) -> CaseResult:
            nonlocal ended
            try:
                await asyncio.sleep(60)
            finally:
                await asyncio.sleep(0.01)
                ended += 1
            raise AssertionError(planned)

        task = asyncio.create_task(schedule(plan(3), execute, recorder).run())
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

        assert ended == 3
        assert recorder.results == []


class TestForgo:
    async def test_of_one_agent_leaves_its_cases_and_makes_all_others(self) -> None:
        recorder = Recorder()

        async def execute(planned: PlannedAttempt) -> CaseResult:
            await asyncio.sleep(0)
            if planned.key.agent == "poor":
                it.forgo("poor")
            return result(planned, Outcome.PASSED)

        planned = [
            each for pair in zip(plan(4, "poor"), plan(4, "rich"), strict=True) for each in pair
        ]
        it = schedule(planned, execute, recorder, concurrency=1)
        await it.run()
        assert Counter(key.agent for key in recorder.deciding) == {"poor": 1, "rich": 4}

    async def test_of_all_lets_running_cases_finish_however_long_they_take(self) -> None:
        recorder, gate = Recorder(), asyncio.Event()
        begun: list[PlannedAttempt] = []

        async def execute(planned: PlannedAttempt) -> CaseResult:
            begun.append(planned)
            if len(begun) == 1:
                it.forgo(None)
                await asyncio.sleep(0.05)  # longer than the grace period of a stop
                gate.set()
            await gate.wait()
            return result(planned, Outcome.PASSED)

        it = schedule(plan(9), execute, recorder, concurrency=2, grace_s=0.01)
        await it.run()
        assert len(begun) in (1, 2)
        assert set(recorder.deciding.values()) == {Outcome.PASSED}
        assert len(recorder.results) == len(begun)

    async def test_what_infrastructure_failed_is_left_too(self) -> None:
        recorder = Recorder()

        async def execute(planned: PlannedAttempt) -> CaseResult:
            it.forgo(None)
            return result(planned, Outcome.SANDBOX_ERROR)

        it = schedule(plan(3), execute, recorder, concurrency=1)
        await it.run()
        assert recorder.retried == [False]


class TestFatalErrors:
    async def test_the_first_one_ends_the_run_and_comes_out_bare(self) -> None:
        recorder = Recorder()
        ended = 0

        async def execute(planned: PlannedAttempt) -> CaseResult:
            nonlocal ended
            if planned.key.case_id == "case-1":
                raise SandboxUnavailableError("the engine is gone")
            try:
                await asyncio.sleep(60)
            finally:
                ended += 1
            raise AssertionError(planned)

        with pytest.raises(SandboxUnavailableError, match="the engine is gone"):
            await schedule(plan(3), execute, recorder).run()

        assert ended == 2

    async def test_a_result_that_cannot_be_recorded_ends_the_run(self) -> None:
        async def execute(planned: PlannedAttempt) -> CaseResult:
            return result(planned, Outcome.PASSED)

        class Full(Recorder):
            async def __call__(self, item: CaseResult, will_retry: bool) -> None:
                raise OSError(28, "No space left on device")

        with pytest.raises(OSError, match="No space left"):
            await schedule(plan(3), execute, Full()).run()


def breaker(**numbers: float) -> Breaker:
    quick = {"pile": 3, "trial_s": 0.002, "trial_cap_s": 0.01, "give_up_after_s": 60}
    return Breaker(BreakerPolicy(**{**quick, **numbers}))


class TestBreaker:
    async def test_an_outage_costs_no_case_its_retries(self) -> None:
        recorder = Recorder()
        made = 0

        async def execute(planned: PlannedAttempt) -> CaseResult:
            nonlocal made
            made += 1
            return result(planned, Outcome.SANDBOX_ERROR if made <= 9 else Outcome.PASSED)

        run = schedule(plan(4), execute, recorder, max_retries=0, breaker=breaker())
        await run.run()

        assert set(recorder.deciding.values()) == {Outcome.PASSED}
        assert len(recorder.deciding) == 4
        assert made == 13

    async def test_while_it_lasts_one_attempt_at_a_time_is_made(self) -> None:
        recorder = Recorder()
        running = highest = made = 0

        async def execute(planned: PlannedAttempt) -> CaseResult:
            nonlocal running, highest, made
            made += 1
            if made > 6:
                running += 1
                highest = max(highest, running)
                await asyncio.sleep(0.005)
                running -= 1
            return result(planned, Outcome.SANDBOX_ERROR if made <= 12 else Outcome.PASSED)

        await schedule(plan(20), execute, recorder, concurrency=1, breaker=breaker()).run()
        assert highest == 1
        assert set(recorder.deciding.values()) == {Outcome.PASSED}

    async def test_nothing_starts_while_a_provider_is_down(self) -> None:
        recorder = Recorder()
        guard = breaker()
        started_while_down = 0
        down = False

        def change(state: Literal["up", "down"]) -> None:
            nonlocal down
            down = state == "down"
            guard.provider("p", state, "503")

        async def execute(planned: PlannedAttempt) -> CaseResult:
            nonlocal started_while_down
            started_while_down += down
            if planned.key.case_id == "case-0" and planned.number == 1:
                change("down")
                asyncio.get_running_loop().call_later(0.1, change, "up")
                return result(planned, Outcome.PROVIDER_ERROR)
            return result(planned, Outcome.PASSED)

        await schedule(
            plan(8), execute, recorder, concurrency=1, max_retries=0, breaker=guard
        ).run()
        assert started_while_down == 0
        assert len(recorder.results) == 9
        assert set(recorder.deciding.values()) == {Outcome.PASSED}

    async def test_a_trial_is_made_with_another_agent_than_failed(self) -> None:
        recorder = Recorder()
        tried: list[str] = []

        async def execute(planned: PlannedAttempt) -> CaseResult:
            tried.append(planned.key.agent)
            bad = planned.key.agent == "bad"
            return result(planned, Outcome.PROVIDER_ERROR if bad else Outcome.PASSED)

        planned = [*plan(6, "bad"), *plan(2, "good")]
        await schedule(
            planned, execute, recorder, concurrency=1, max_retries=0, breaker=breaker()
        ).run()
        assert tried[:4] == ["bad", "bad", "bad", "good"]
        outcomes = Counter((key.agent, outcome) for key, outcome in recorder.deciding.items())
        assert outcomes[("good", Outcome.PASSED)] == 2

    async def test_a_stop_works_while_it_is_paused(self) -> None:
        stop, guard, recorder = Stop(), breaker(trial_s=60), Recorder()

        async def execute(planned: PlannedAttempt) -> CaseResult:
            return result(planned, Outcome.EVALUATOR_ERROR)

        run = asyncio.create_task(
            schedule(plan(8), execute, recorder, stop=stop, concurrency=1, breaker=guard).run()
        )
        async with asyncio.timeout(5):
            while not guard.paused:  # noqa: ASYNC110 - plain state has no event
                await asyncio.sleep(0.001)
            stop.request()
            await run
        assert len(recorder.results) == 3

    async def test_it_gives_up_in_time_also_while_attempts_hang(self) -> None:
        guard, recorder = breaker(give_up_after_s=0.05), Recorder()

        async def execute(planned: PlannedAttempt) -> CaseResult:
            guard.provider("p", "down", "503")
            await asyncio.sleep(60)
            raise AssertionError("unreachable")

        async with asyncio.timeout(5):
            await schedule(
                plan(8), execute, recorder, concurrency=2, grace_s=0.02, breaker=guard
            ).run()
        assert guard.gave_up == "gave up waiting: provider p is down: 503"
        assert {item.outcome for item in recorder.results} == {Outcome.CANCELLED}
        assert len(recorder.results) <= 2

    async def test_a_case_that_brings_the_provider_down_each_time_has_an_end(self) -> None:
        guard, recorder = breaker(), Recorder()

        async def execute(planned: PlannedAttempt) -> CaseResult:
            guard.provider("p", "down", "500")
            asyncio.get_running_loop().call_soon(guard.provider, "p", "up", "")
            return result(planned, Outcome.PROVIDER_ERROR)

        await schedule(plan(1), execute, recorder, max_retries=2, breaker=guard).run()
        assert len(recorder.results) == MOST_EXCUSED + 3


@settings(max_examples=60, deadline=None)
@given(
    outcomes=st.lists(
        st.lists(st.sampled_from(list(Outcome)), min_size=1, max_size=5), min_size=1, max_size=12
    ),
    concurrency=st.integers(1, 5),
    max_retries=st.integers(0, 3),
    stop_after=st.none() | st.integers(0, 12),
    outages=st.lists(st.integers(0, 12), max_size=4),
)
def test_with_outages_too_every_planned_attempt_ends_exactly_once(
    outcomes: list[list[Outcome]],
    concurrency: int,
    max_retries: int,
    stop_after: int | None,
    outages: list[int],
) -> None:
    """Providers go down and come back at any start; piles come and go; nothing is lost."""

    async def scenario() -> tuple[Recorder, Counter[str], bool]:
        stop, recorder, guard = Stop(), Recorder(), breaker(pile=2, trial_s=0.0005)
        starts: Counter[str] = Counter()
        scripts = {f"case-{number}": list(script) for number, script in enumerate(outcomes)}

        async def execute(planned: PlannedAttempt) -> CaseResult:
            starts[planned.attempt_id] += 1
            if len(starts) in outages:
                guard.provider("p", "down", "503")
                loop = asyncio.get_running_loop()
                loop.call_later(0.0005, guard.provider, "p", "trying", "")
                loop.call_later(0.001, guard.provider, "p", "up", "")
            if stop_after is not None and starts.total() > stop_after:
                stop.request()
            await asyncio.sleep(0)
            script = scripts[planned.key.case_id]
            return result(planned, script.pop(0) if script else Outcome.PASSED)

        async with asyncio.timeout(30):
            await schedule(
                plan(len(outcomes)),
                execute,
                recorder,
                stop=stop,
                concurrency=concurrency,
                max_retries=max_retries,
                breaker=guard,
            ).run()
        return recorder, starts, stop.requested

    recorder, starts, stopped = asyncio.run(scenario())

    assert Counter(item.attempt_id for item in recorder.results) == starts
    assert set(starts.values()) <= {1}
    per_case = Counter(item.key for item in recorder.results)
    assert all(count <= 1 + max_retries + MOST_EXCUSED for count in per_case.values())
    if not stopped:
        assert len(recorder.deciding) == len(outcomes)
    for item in recorder.results[:-1]:
        later = [other for other in recorder.results if other.key == item.key]
        assert [other.number for other in later] == list(range(1, len(later) + 1))


@settings(max_examples=60, deadline=None)
@given(
    outcomes=st.lists(
        st.lists(st.sampled_from(list(Outcome)), min_size=1, max_size=5), min_size=1, max_size=12
    ),
    concurrency=st.integers(1, 5),
    max_retries=st.integers(0, 3),
    stop_after=st.none() | st.integers(0, 12),
)
def test_every_planned_attempt_ends_exactly_once(
    outcomes: list[list[Outcome]], concurrency: int, max_retries: int, stop_after: int | None
) -> None:
    """Under random failure and a stop at any time: one result per start, retries within bounds."""

    async def scenario() -> tuple[Recorder, Counter[CaseKey], bool]:
        stop = Stop()
        recorder = Recorder()
        starts: Counter[CaseKey] = Counter()
        scripts = defaultdict[str, list[Outcome]](list)
        for number, script in enumerate(outcomes):
            scripts[f"case-{number}"] = list(script)

        async def execute(planned: PlannedAttempt) -> CaseResult:
            starts[planned.key] += 1
            if stop_after is not None and starts.total() > stop_after:
                stop.request()
            await asyncio.sleep(0)
            script = scripts[planned.key.case_id]
            return result(planned, script.pop(0) if script else Outcome.PASSED)

        await schedule(
            plan(len(outcomes)),
            execute,
            recorder,
            stop=stop,
            concurrency=concurrency,
            max_retries=max_retries,
        ).run()
        return recorder, starts, stop.requested

    recorder, starts, stopped = asyncio.run(scenario())

    assert Counter(item.key for item in recorder.results) == starts
    assert len({item.attempt_id for item in recorder.results}) == len(recorder.results)
    assert all(count <= 1 + max_retries for count in starts.values())
    if not stopped:
        assert len(starts) == len(outcomes)
    for key, outcome in recorder.deciding.items():
        if not stopped and outcome.is_infrastructure and outcome is not Outcome.CANCELLED:
            assert starts[key] == 1 + max_retries


async def test_a_halt_starts_no_more_cases_and_lets_those_that_run_end_with_their_retries() -> None:
    recorder, started = Recorder(), Counter[str]()
    schedule: Schedule

    async def execute(planned: PlannedAttempt) -> CaseResult:
        started[planned.key.case_id] += 1
        if len(started) == 3:
            schedule.halt()
        await asyncio.sleep(0.01)
        lost = planned.number == 1 and planned.key.case_id == "case-2"
        return result(planned, Outcome.SANDBOX_ERROR if lost else Outcome.PASSED)

    schedule = Schedule(
        plan(10),
        execute=execute,
        record=recorder,
        abandoned=cancelled_result,
        policy=Policy(concurrency=3, max_retries=2, **QUICK),
        stop=Stop(),
    )
    await schedule.run()
    assert started == {"case-0": 1, "case-1": 1, "case-2": 2}
    assert len(recorder.results) == 4
