"""One attempt: whatever the agent does becomes the right outcome."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import pytest

from pacabench.agent import MOST_TIMES_OVER
from pacabench.attempt import Workshop, run_attempt, unrecovered
from pacabench.config.schema import AgentConfig, SandboxConfig
from pacabench.errors import EvaluatorError, SandboxError, SandboxUnavailableError
from pacabench.evaluators.base import Evaluator
from pacabench.evaluators.desk import LEFT
from pacabench.left_files import LeftFiles, Wanted
from pacabench.model import (
    JSON,
    BudgetScope,
    CallRecord,
    Case,
    CaseKey,
    CaseResult,
    Evaluation,
    Outcome,
    PlannedAttempt,
    new_attempt_id,
)
from pacabench.protocol import MAX_LINE_BYTES
from pacabench.sandbox.base import SandboxAgent
from pacabench.sandbox.pool import SessionPool
from pacabench.testing import Act, FakeSandbox, ScriptedAgent, fake_call

Isolation = Literal["case", "worker"]


def sandbox_agent(isolation: Isolation = "case") -> SandboxAgent:
    return SandboxAgent(
        config=AgentConfig(name="agent", command="unused"),
        sandbox=SandboxConfig(isolation=isolation),
        env={},
        source=None,
        requirements=None,
        project=Path(),
    )


class Equality:
    def check(self, case: Case) -> None:
        raise AssertionError(case)

    async def evaluate(self, case: Case, output: JSON) -> Evaluation:
        return Evaluation(passed=output == case.expected, score=float(output == case.expected))


class BrokenEvaluator:
    def check(self, case: Case) -> None:
        raise AssertionError(case)

    async def evaluate(self, case: Case, output: JSON) -> Evaluation:
        raise EvaluatorError("the judge is out")


@dataclass
class Bench:
    """A workshop around a fake sandbox."""

    agent: ScriptedAgent
    isolation: Isolation = "case"
    timeout_s: float = 5.0
    evaluator: Evaluator = field(default_factory=Equality)
    start_failures: Sequence[Exception | None] = ()
    calls: list[CallRecord] = field(default_factory=list)
    logs: dict[str, tuple[bytes, str]] = field(default_factory=dict)
    over_budget: tuple[BudgetScope, str] | None = None

    def __post_init__(self) -> None:
        self.sandbox = FakeSandbox(
            self.agent, on_call=self.calls.append, start_failures=self.start_failures
        )
        self.workshop = Workshop(
            pool=SessionPool(self.sandbox, most=2),
            agents={"agent": sandbox_agent(self.isolation)},
            evaluators={"data": self.evaluator},
            timeout_s=self.timeout_s,
            calls_of=lambda attempt: [c for c in self.calls if c.attempt_id == attempt],
            keep_log=self.keep_log,
            over_budget=lambda _: self.over_budget,
        )

    async def keep_log(self, attempt_id: str, log: bytes, stderr: str) -> str | None:
        self.logs[attempt_id] = (log, stderr)
        return None

    async def attempt(self, case_id: str = "1", *, hidden: bool = False) -> CaseResult:
        key = CaseKey("agent", "data", case_id)
        case = Case("data", case_id, f"answer {case_id}", f"answer {case_id}", hidden=hidden)
        planned = PlannedAttempt(key, [case], 0, 1, new_attempt_id(key))
        return await run_attempt(planned, self.workshop)


def playing(*acts: Act) -> ScriptedAgent:
    return ScriptedAgent({"1": acts})


FAILED_CALL = fake_call(status=429, request_digest="a")
LINE = b'{"output": "answer 1"}\n'

OUTCOMES: dict[str, tuple[Act, Outcome, str | None]] = {
    "a right answer": (Act.answers("answer 1"), Outcome.PASSED, None),
    "a wrong answer": (Act.answers("something else"), Outcome.FAILED, None),
    "an empty answer": (Act.answers(""), Outcome.FAILED, None),
    "an answer of null": (Act.answers(None), Outcome.FAILED, None),
    "log lines before the answer": (
        Act(stdout=b"thinking\n[1, 2]\n{broken\n" + LINE),
        Outcome.PASSED,
        None,
    ),
    "a second answer": (
        Act(stdout=LINE + b'{"output": "changed my mind"}\n'),
        Outcome.PASSED,
        None,
    ),
    "an answer to another case": (
        Act(stdout=b'{"output": "wrong", "case_id": "2"}\n' + LINE),
        Outcome.PASSED,
        None,
    ),
    "an answer and then a crash": (
        Act(stdout=LINE, exit_code=1, stderr="boom"),
        Outcome.PASSED,
        None,
    ),
    "an error of its own": (Act.fails("cannot do it"), Outcome.AGENT_ERROR, "cannot do it"),
    "a crash": (Act.crashes(), Outcome.AGENT_ERROR, "exited with code 1 and no answer: Tra"),
    "a signal": (Act(signal=11), Outcome.AGENT_ERROR, "signal 11"),
    "a clean exit without a word": (Act(exit_code=0), Outcome.INVALID_OUTPUT, "without a line"),
    "a clean exit after garbage": (
        Act(stdout=b"\xff\xfe\x00 answer: B\n", exit_code=0),
        Outcome.INVALID_OUTPUT,
        "without a line",
    ),
    "an answer that is too long": (
        Act(stdout=b'{"output": "' + b"x" * MAX_LINE_BYTES + b'"}\n', exit_code=0),
        Outcome.INVALID_OUTPUT,
        "one of its lines was cut at 32 MiB",
    ),
    "too much memory": (
        Act(signal=9, out_of_memory=True),
        Outcome.OUT_OF_MEMORY,
        "sandbox.memory",
    ),
    "a wrong answer after a provider failure": (
        Act.answers("dunno", calls=[FAILED_CALL]),
        Outcome.PROVIDER_ERROR,
        "HTTP status 429",
    ),
    "an error after a provider failure": (
        Act.fails("rate limited", calls=[FAILED_CALL]),
        Outcome.PROVIDER_ERROR,
        "the agent: rate limited",
    ),
    "a right answer in spite of a provider failure": (
        Act.answers("answer 1", calls=[FAILED_CALL]),
        Outcome.PASSED,
        None,
    ),
    "a wrong answer after a failure that a repeat made good": (
        Act.answers("dunno", calls=[FAILED_CALL, fake_call(request_digest="a")]),
        Outcome.FAILED,
        None,
    ),
    "a wrong answer after a request that was the agent's fault": (
        Act.answers("dunno", calls=[fake_call(status=400)]),
        Outcome.FAILED,
        None,
    ),
}


class TestOutcomes:
    @pytest.mark.parametrize("what", OUTCOMES)
    async def test_what_the_agent_does(self, what: str) -> None:
        act, outcome, error = OUTCOMES[what]
        result = await Bench(playing(act)).attempt()

        assert result.outcome is outcome
        if error is None:
            assert result.error is None
        else:
            assert error in (result.error or "")

    async def test_silence_until_the_timeout(self) -> None:
        bench = Bench(playing(Act(hangs=True)), timeout_s=0.05)
        result = await bench.attempt()

        assert result.outcome is Outcome.TIMEOUT
        assert result.exit is not None
        assert result.exit.killed
        assert not bench.sandbox.live

    @pytest.mark.parametrize("act", [Act(hangs=True), Act.answers("no"), Act.fails("refused")])
    async def test_nothing_is_held_against_an_agent_whose_sandbox_failed_meanwhile(
        self, act: Act
    ) -> None:
        act = replace(act, failure="the sidecar is gone, in the middle of a case")
        bench = Bench(playing(act), timeout_s=0.05)
        result = await bench.attempt()
        assert (result.outcome, result.error) == (Outcome.SANDBOX_ERROR, act.failure)
        assert not bench.sandbox.live

    async def test_rate_limits_waited_out_in_vain_are_no_timeout(self) -> None:
        act = Act(hangs=True, calls=[FAILED_CALL])
        result = await Bench(playing(act), timeout_s=0.05).attempt()

        assert result.outcome is Outcome.PROVIDER_ERROR

    async def test_a_sandbox_that_does_not_start_is_no_fault_of_the_agent(self) -> None:
        bench = Bench(playing(), start_failures=[SandboxError("no lane")])
        result = await bench.attempt()

        assert result.outcome is Outcome.SANDBOX_ERROR
        assert result.error == "no lane"

    async def test_an_engine_that_is_gone_ends_the_run(self) -> None:
        bench = Bench(playing(), start_failures=[SandboxUnavailableError("no engine")])
        with pytest.raises(SandboxUnavailableError):
            await bench.attempt()

    async def test_an_evaluator_that_fails_says_nothing_about_the_answer(self) -> None:
        result = await Bench(playing(Act.answers("x")), evaluator=BrokenEvaluator()).attempt()

        assert result.outcome is Outcome.EVALUATOR_ERROR
        assert result.error == "the judge is out"
        assert result.output == "x"


class TestWaitingForTheProvider:
    """With its clock standing still, an attempt ends late, and not for ever."""

    async def ended(self, *calls: CallRecord, timeout_s: float = 0.05) -> CaseResult:
        bench = Bench(playing(Act(hangs=True, calls=calls)), timeout_s=timeout_s)
        workshop = replace(
            bench.workshop,
            follow=lambda _, hold: asyncio.get_running_loop().call_soon(hold, True),
            waited_ms=lambda _: 480.0,
        )
        bench.workshop = workshop
        began = asyncio.get_running_loop().time()
        result = await bench.attempt()
        assert asyncio.get_running_loop().time() - began >= MOST_TIMES_OVER * timeout_s - 0.01
        assert result.provider_wait_ms == 480.0
        return result

    async def test_a_provider_that_never_began_to_answer_is_to_blame(self) -> None:
        silent = fake_call(status=None, end="client_gone", duration_ms=490.0)
        result = await self.ended(silent)
        assert result.outcome is Outcome.PROVIDER_ERROR
        assert "did not answer a call" in (result.error or "")

    @pytest.mark.parametrize(
        "call",
        [
            fake_call(status=200, end="client_gone", duration_ms=490.0),
            fake_call(status=None, end="client_gone", duration_ms=20.0),
            fake_call(status=None, end="client_gone", duration_ms=490.0, sent=False),
        ],
        ids=["a reply that goes on", "a short call", "one that never went out"],
    )
    async def test_anything_else_is_a_timeout(self, call: CallRecord) -> None:
        result = await self.ended(call)
        assert result.outcome is Outcome.TIMEOUT
        assert "waiting for the provider included" in (result.error or "")

    async def test_without_it_the_wait_is_measured_all_the_same(self) -> None:
        bench = Bench(playing(Act.answers("answer 1")))
        bench.workshop = replace(bench.workshop, waited_ms=lambda _: 12.5)
        assert (await bench.attempt()).provider_wait_ms == 12.5


class TestWhatIsKept:
    async def test_log_and_stderr_go_to_the_log(self) -> None:
        bench = Bench(playing(Act(stdout=b"hello\n", stderr="warned\n", exit_code=2)))
        result = await bench.attempt()

        assert bench.logs[result.attempt_id] == (b"hello\n", "warned\n")

    async def test_a_hidden_case_id_is_not_shown_but_recorded(self) -> None:
        agent = ScriptedAgent()
        result = await Bench(agent).attempt("secret-name", hidden=True)

        assert "secret-name" not in agent.seen[0]["case_id"]
        assert result.key.case_id == "secret-name"

    async def test_the_expected_answer_is_not_sent(self) -> None:
        agent = ScriptedAgent()
        await Bench(agent).attempt()

        assert "expected" not in agent.seen[0]


class TestIsolation:
    async def test_case_gives_every_attempt_a_session_of_its_own(self) -> None:
        bench = Bench(ScriptedAgent())
        for number in range(3):
            assert (await bench.attempt(str(number))).outcome is Outcome.PASSED
        assert bench.sandbox.started == 3
        assert not bench.sandbox.live

    async def test_worker_keeps_one_for_many_cases(self) -> None:
        bench = Bench(ScriptedAgent(), isolation="worker")
        for number in range(5):
            assert (await bench.attempt(str(number))).outcome is Outcome.PASSED
        assert bench.sandbox.started == 1
        await bench.workshop.pool.close_idle()
        assert not bench.sandbox.live

    async def test_a_worker_that_exits_after_each_answer_is_replaced(self) -> None:
        def answer_and_exit(case: dict[str, JSON]) -> Act:
            return Act.answers(case["input"], exit_code=0)

        bench = Bench(ScriptedAgent(otherwise=answer_and_exit), isolation="worker")
        for number in range(3):
            assert (await bench.attempt(str(number))).outcome is Outcome.PASSED
        assert bench.sandbox.started == 3

    async def test_a_worker_that_a_case_kills_gets_one_fresh_try_and_is_then_to_blame(
        self,
    ) -> None:
        agent = ScriptedAgent({"bad": [Act.crashes()]})
        bench = Bench(agent, isolation="worker")
        await bench.attempt("fine")
        result = await bench.attempt("bad")

        assert result.outcome is Outcome.AGENT_ERROR
        assert [case["case_id"] for case in agent.seen] == ["fine", "bad", "bad"]
        assert (await bench.attempt("fine again")).outcome is Outcome.PASSED

    async def test_a_late_answer_of_a_worker_never_meets_the_next_case(self) -> None:
        late = Act.answers("answer 1", delay_s=0.1)
        bench = Bench(playing(late), isolation="worker", timeout_s=0.02)
        assert (await bench.attempt("1")).outcome is Outcome.TIMEOUT
        await asyncio.sleep(0.15)
        bench.workshop = replace(bench.workshop, timeout_s=5.0)  # the next case is a quick one
        result = await bench.attempt("2")

        assert result.outcome is Outcome.PASSED
        assert result.output == "answer 2"
        assert bench.sandbox.started == 2

    async def test_a_second_answer_of_a_worker_never_meets_the_next_case(self) -> None:
        chatty = Act(stdout=LINE + b'{"output": "answer to nothing"}\n')
        bench = Bench(playing(chatty), isolation="worker")
        await bench.attempt("1")
        result = await bench.attempt("2")

        assert result.output == "answer 2"


class TestCancellation:
    async def test_leaves_no_session_behind(self) -> None:
        bench = Bench(playing(Act(hangs=True)))
        task = asyncio.create_task(bench.attempt())
        await asyncio.sleep(0.02)
        assert bench.sandbox.live
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not bench.sandbox.live


class TestUnrecovered:
    def test_an_equal_request_that_succeeded_later_makes_good(self) -> None:
        assert unrecovered([FAILED_CALL, fake_call(request_digest="a")]) is None

    def test_one_that_succeeded_before_does_not(self) -> None:
        assert unrecovered([fake_call(request_digest="a"), FAILED_CALL]) is FAILED_CALL

    def test_another_request_does_not(self) -> None:
        assert unrecovered([FAILED_CALL, fake_call(request_digest="b")]) is FAILED_CALL

    @pytest.mark.parametrize("status", [400, 404, 413, 422])
    def test_what_the_agent_asked_wrongly_is_its_own_fault(self, status: int) -> None:
        assert unrecovered([fake_call(status=status)]) is None


class TestBudget:
    @pytest.mark.parametrize("scope", ["run", "agent", "case"])
    @pytest.mark.parametrize(
        "act",
        [Act.answers("answer 1"), Act.crashes(), Act(exit_code=0), Act(calls=(FAILED_CALL,))],
        ids=["a right answer", "a crash", "nothing", "a provider's failure"],
    )
    async def test_a_refused_call_is_what_counts_whatever_came_after(
        self, scope: BudgetScope, act: Act
    ) -> None:
        bench = Bench(playing(act), timeout_s=1.0, over_budget=(scope, "no room"))
        found = await bench.attempt()
        assert (found.outcome, found.error) == (Outcome.BUDGET_EXCEEDED, "no room")
        assert (found.budget, found.decides) == (scope, scope == "case")
        assert found.evaluation is None

    async def test_its_answer_is_kept(self) -> None:
        found = await Bench(playing(Act.answers("x")), over_budget=("case", "no room")).attempt()
        assert found.output == "x"


class FilesJudge:
    """Passes an answer whose agent left what the case expects."""

    def check(self, case: Case) -> None:
        raise AssertionError(case)

    async def evaluate(self, case: Case, output: JSON) -> Evaluation:
        del output
        left = LEFT.get()
        passed = left is not None and list(left.files) == [case.expected]
        return Evaluation(passed=passed, score=float(passed))


class TestLeftFiles:
    @staticmethod
    def bench(act: Act) -> tuple[Bench, dict[str, LeftFiles]]:
        bench = Bench(ScriptedAgent(otherwise=lambda _: act), evaluator=FilesJudge())
        kept: dict[str, LeftFiles] = {}

        async def keep(attempt_id: str, left: LeftFiles) -> str:
            kept[attempt_id] = left
            return f"{attempt_id}.tar"

        wanted = {"data": Wanted(("*.txt",))}
        bench.workshop = replace(bench.workshop, keep_left=keep, wanted=wanted)
        return bench, kept

    async def test_are_kept_and_judged(self) -> None:
        bench, kept = self.bench(Act.answers("done", leaves={"answer 1": b"1"}))
        result = await bench.attempt()
        assert result.outcome is Outcome.PASSED
        assert result.left == f"{result.attempt_id}.tar"
        assert result.left_out == ()
        assert kept == {result.attempt_id: LeftFiles(("*.txt",), {"answer 1": b"1"})}
        assert not bench.sandbox.live

    async def test_of_an_agent_without_an_answer_are_not_looked_at(self) -> None:
        bench, kept = self.bench(Act.crashes(leaves={"a.txt": b"1"}))
        result = await bench.attempt()
        assert (result.outcome, result.left, kept) == (Outcome.AGENT_ERROR, None, {})

    async def test_that_cannot_be_taken_are_the_sandboxs_fault(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def fail(*_: object) -> LeftFiles:
            raise SandboxError("no keeper")

        bench, _ = self.bench(Act.answers("done"))
        monkeypatch.setattr("pacabench.testing.sandbox.FakeSession.take_left", fail)
        result = await bench.attempt()
        assert (result.outcome, result.error) == (Outcome.SANDBOX_ERROR, "no keeper")
        assert not bench.sandbox.live
