"""The end of a run: code, line, next steps."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from pacabench.cli.ending import conclude, exit_code, final_line, next_steps, say_interrupted
from pacabench.cli.exit import ExitCode
from pacabench.cli.options import LogFormat
from pacabench.job import RunReport
from pacabench.model import CaseResult, MeteredCall, Outcome
from pacabench.stats import summarise

Result = Callable[..., CaseResult]


@pytest.fixture
def report(
    result: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., RunReport]:
    monkeypatch.chdir(tmp_path)

    def make(
        *outcomes: Outcome,
        pending: int = 0,
        stopped: bool = False,
        calls: Iterable[MeteredCall] = (),
    ) -> RunReport:
        results = [result(outcome, f"c{number}") for number, outcome in enumerate(outcomes)]
        summary = summarise(results, calls, {"a": {"d": len(results) + pending}})
        return RunReport(
            run_id="r1",
            run_dir=tmp_path / "runs" / "r1",
            summary=summary,
            infrastructure_left=summary.total.infrastructure,
            pending=pending,
            stopped=stopped,
        )

    return make


class TestExitCode:
    def test_a_run_that_gave_up_is_infrastructure(self, report: Callable[..., RunReport]) -> None:
        gave_up = replace(report(Outcome.PASSED, pending=2), gave_up="provider p is down")
        assert exit_code(gave_up) is ExitCode.INFRASTRUCTURE
        whole = replace(report(Outcome.PASSED), gave_up="provider p is down")
        assert exit_code(whole) is ExitCode.DONE

    def test_a_spent_budget_has_a_code_of_its_own(self, report: Callable[..., RunReport]) -> None:
        spent = replace(report(Outcome.SANDBOX_ERROR, pending=2), over_budget="it is spent")
        assert exit_code(spent) is ExitCode.BUDGET
        assert "Cases are left open" not in next_steps(spent)
        assert "once the budget is raised" in next_steps(spent)
        assert exit_code(replace(spent, stopped=True)) is ExitCode.INTERRUPTED

    def test_a_call_that_nobody_can_price_is_named_and_no_budget_raised(
        self, report: Callable[..., RunReport]
    ) -> None:
        why = "model '\x1b[2Jm' has no known price"
        unpriced = replace(report(Outcome.PASSED, pending=2), over_budget=why, spent=False)
        steps = next_steps(unpriced)
        assert "Cases are left open: model '\\x1b[2Jm' has no known price" in steps
        assert "budget is raised" not in steps
        assert "pacabench resume" in steps

    def test_after_a_replay_without_match_no_resume_is_advised(
        self, report: Callable[..., RunReport]
    ) -> None:
        missed = replace(report(Outcome.PROVIDER_ERROR), missed=True)
        assert "pacabench run --replay-or-record DIR" in next_steps(missed)
        assert "pacabench resume" not in next_steps(missed)
        assert "pacabench resume" in next_steps(replace(missed, missed=False))

    @pytest.mark.parametrize(
        ("outcomes", "pending", "stopped", "code"),
        [
            ([Outcome.PASSED, Outcome.FAILED], 0, False, ExitCode.DONE),
            ([Outcome.SANDBOX_ERROR], 0, False, ExitCode.INFRASTRUCTURE),
            ([Outcome.PASSED], 3, True, ExitCode.INTERRUPTED),
            ([Outcome.CANCELLED], 0, True, ExitCode.INTERRUPTED),
            ([Outcome.PASSED], 0, True, ExitCode.DONE),
        ],
    )
    def test_codes(
        self,
        report: Callable[..., RunReport],
        outcomes: list[Outcome],
        pending: int,
        stopped: bool,
        code: ExitCode,
    ) -> None:
        assert exit_code(report(*outcomes, pending=pending, stopped=stopped)) is code


class TestWords:
    def test_the_final_line(
        self, report: Callable[..., RunReport], call: Callable[..., MeteredCall]
    ) -> None:
        found = report(Outcome.PASSED, Outcome.TIMEOUT, Outcome.PROVIDER_ERROR, pending=2)
        assert final_line(found) == (
            "r1: 50.0% accuracy, 1 passed, 1 failed, 1 infrastructure, 2 pending of 5 cases, "
            "0 calls, $0.0000"
        )

    def test_whole_results_are_not_resumed(self, report: Callable[..., RunReport]) -> None:
        text = next_steps(report(Outcome.PASSED))
        assert "resume" not in text
        assert "--failures" not in text
        assert "pacabench export r1 --include-cases" in text

    def test_wrong_answers_are_looked_at_and_not_retried(
        self, report: Callable[..., RunReport]
    ) -> None:
        text = next_steps(report(Outcome.FAILED))
        assert "pacabench show r1 --failures" in text
        assert "retry" not in text

    def test_what_is_left_is_resumed_first(self, report: Callable[..., RunReport]) -> None:
        lines = next_steps(report(Outcome.CANCELLED, pending=1)).split("\n")
        assert lines[1].startswith("  pacabench resume r1 ")

    def test_interrupted(self, capsys: pytest.CaptureFixture[str]) -> None:
        say_interrupted("r1")
        say_interrupted(None)
        text = capsys.readouterr().err
        assert "pacabench resume r1" in text
        assert "before the first case" in text


class TestFailUnder:
    @pytest.mark.parametrize(
        ("outcomes", "least", "code"),
        [
            ([Outcome.PASSED] * 4 + [Outcome.FAILED], 0.8, ExitCode.DONE),
            ([Outcome.PASSED] * 4 + [Outcome.FAILED], 0.81, ExitCode.GATE),
            ([Outcome.PASSED] * 4, None, ExitCode.DONE),
            # nobody knows yet
            ([Outcome.FAILED, Outcome.SANDBOX_ERROR], 0.5, ExitCode.INFRASTRUCTURE),
        ],
    )
    def test_ends_with_a_code_of_its_own(
        self,
        report: Callable[..., RunReport],
        outcomes: list[Outcome],
        least: float | None,
        code: ExitCode,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        ended = report(*outcomes)
        found = conclude(ended, quiet=True, log_format=LogFormat.TEXT, fail_under=least)
        assert found is code
        assert ("a on d has 80.0%" in capsys.readouterr().err) == (code is ExitCode.GATE)
