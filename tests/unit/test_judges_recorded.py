"""Judges in runs that are recorded, replayed, and limited by a budget."""

from pathlib import Path

import pytest
from judged import KEY, Judged, MakeJudged, judged, verdict_on
from rich.console import Console

from pacabench.events import Notice
from pacabench.job import RunReport
from pacabench.model import Outcome
from pacabench.report.misses import misses
from pacabench.report.view import RunView, read_view
from pacabench.report.wording import warnings_of
from pacabench.run import RunRequest
from pacabench.store import load_run
from pacabench.testing import Reply, Request

__all__ = ["judged"]

STRICT = ", prompt: 'Be strict. {answer}'"


def view_of(report: RunReport) -> RunView:
    return read_view(load_run(report.run_dir))


def verdicts(report: RunReport) -> dict[str, tuple[Outcome, object]]:
    view = view_of(report)
    return {
        result.key.case_id: (result.outcome, result.evaluation)
        for result in view.deciding(view.case_keys())
    }


def shown(view: RunView) -> str:
    console = Console(width=400, color_system=None)
    found = misses(view)
    with console.capture() as capture:
        console.print(found if found is not None else "")
    return capture.get()


class Fickle:
    """Says in its third reply what it said in no other: verdicts that no other call would give."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, request: Request) -> Reply:
        self.asked += 1
        reply = verdict_on(request)
        return Reply(text=reply.text.replace('"r"', f'"r{self.asked}"'), tokens=reply.tokens)


@pytest.fixture
def recorded(judged: MakeJudged) -> Judged:
    return judged(Fickle())


class TestReplay:
    async def test_the_same_verdicts_without_a_network_and_a_key(self, recorded: Judged) -> None:
        votes = ", votes: 3"
        live = await recorded.run(votes, run_id="live", cassette=("record", recorded.cassette))
        asked = len(recorded.provider.books)
        assert asked == 4  # two of three agree
        again = await recorded.run(
            votes, run_id="again", cassette=("replay", recorded.cassette), key=False
        )
        assert len(recorded.provider.books) == asked
        assert verdicts(again) == verdicts(live)
        judge = view_of(again).judge
        assert (judge.calls, judge.replayed_calls, judge.unmatched_calls) == (4, 4, 0)
        assert judge.input_tokens == view_of(live).judge.input_tokens == 400

    async def test_no_key_is_in_the_cassette(self, recorded: Judged) -> None:
        await recorded.run(cassette=("record", recorded.cassette))
        for path in recorded.cassette.rglob("*"):
            assert path.is_dir() or KEY.encode() not in path.read_bytes()

    async def test_a_judge_that_was_not_recorded_is_reported_and_not_asked(
        self, recorded: Judged
    ) -> None:
        await recorded.run(run_id="live", cassette=("record", recorded.cassette))
        recorded.provider.books.clear()
        report = await recorded.run(
            STRICT, run_id="strict", cassette=("replay", recorded.cassette), key=False
        )
        view = view_of(report)
        assert not recorded.provider.books
        assert report.summary.total.outcomes == {Outcome.EVALUATOR_ERROR: 2}
        assert view.judge.unmatched_calls == 2
        assert shown(view).count(": judge: chat.completions gpt-4o-mini: no recording fits") == 2
        assert "differs at /messages/" in shown(view)
        assert any("2 LLM calls of judges without a match" in it for it in warnings_of(view))

    async def test_that_is_not_tried_again(self, recorded: Judged) -> None:
        await recorded.run(run_id="live", cassette=("record", recorded.cassette))
        report = await recorded.run(
            STRICT, run_id="s", cassette=("replay", recorded.cassette), retries=3
        )
        assert report.summary.total.outcomes == {Outcome.EVALUATOR_ERROR: 2}
        assert view_of(report).judge.unmatched_calls == 2

    async def test_a_cassette_without_judges_says_so(
        self, recorded: Judged, tmp_path: Path
    ) -> None:
        await recorded.run(run_id="live", cassette=("record", recorded.cassette))
        index = recorded.cassette / "index.jsonl"
        lines = index.read_bytes().splitlines(keepends=True)
        index.write_bytes(b"".join(line for line in lines if b"/judge" not in line))
        report = await recorded.run(run_id="no", cassette=("replay", recorded.cassette))
        assert report.summary.total.outcomes == {Outcome.EVALUATOR_ERROR: 2}
        assert "holds no recording of the judging of this case" in shown(view_of(report))


class TestReplayOrRecord:
    async def test_another_judge_is_asked_and_recorded_beside_what_agents_said(
        self, recorded: Judged
    ) -> None:
        await recorded.run(run_id="live", cassette=("record", recorded.cassette))
        recorded.provider.books.clear()
        either = ("replay-or-record", recorded.cassette)
        strict = await recorded.run(STRICT, run_id="strict", cassette=either, retries=1)
        assert len(recorded.provider.books) == 2
        assert (strict.summary.total.passed, strict.summary.total.failed) == (1, 1)
        again = await recorded.run(
            STRICT, run_id="again", cassette=("replay", recorded.cassette), key=False
        )
        assert len(recorded.provider.books) == 2
        assert verdicts(again) == verdicts(strict)


class TestBudget:
    async def test_judges_use_up_the_budget_of_the_run(self, judged: MakeJudged) -> None:
        run = judged(verdict_on)
        report = await run.run(more="budget: {calls: 1}")
        assert len(run.provider.books) == 1
        assert report.summary.total.passed + report.summary.total.failed == 1
        assert (report.pending, report.left) == (1, 1)
        assert report.over_budget is not None
        assert "the run's budget" in report.over_budget
        assert view_of(report).spending.total.calls == 1

    async def test_what_they_spent_is_known_when_the_run_goes_on(self, judged: MakeJudged) -> None:
        run = judged(verdict_on)
        await run.run(more="budget: {calls: 1}")
        still = await run.resume(more="budget: {calls: 1}")
        assert still.pending == 1
        assert len(run.provider.books) == 1
        done = await run.resume(more="budget: {calls: 2}")
        assert done.pending == 0
        assert len(run.provider.books) == 2
        assert (done.summary.total.passed, done.summary.total.failed) == (1, 1)

    async def test_those_of_agents_and_cases_do_not_hold_them(self, judged: MakeJudged) -> None:
        run = judged(verdict_on)
        report = await run.run(", votes: 3", more="budget: {case: {calls: 1}}")
        assert (report.summary.total.passed, report.summary.total.failed) == (1, 1)
        assert len(run.provider.books) == 4

    async def test_a_judge_without_a_price_is_refused_where_dollars_count(
        self, judged: MakeJudged
    ) -> None:
        run = judged(verdict_on)
        path = run.write(run.openai(), model="nobody-knows-it", more="budget: {usd: 1}")
        report = await run.start(RunRequest(path, run_id="run"))
        assert not run.provider.books
        assert report.over_budget is not None
        assert "nobody-knows-it" in report.over_budget

    async def test_dollars_are_those_of_the_judges_own_provider(self, judged: MakeJudged) -> None:
        run = judged(verdict_on)
        report = await run.run(more="budget: {usd: 1}")
        view = view_of(report)
        assert view.judge.cost_usd is not None
        assert view.spending.total.usd == pytest.approx(view.judge.cost_usd)
        assert not [it for it in run.events if isinstance(it, Notice) and "price" in it.text]
