"""Answers judged again: which, by what, and that nothing of the journal changes."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from pacabench.config.evaluators import (
    CommandConfig,
    ContainsConfig,
    LlmJudgeConfig,
    NumericConfig,
    PythonConfig,
)
from pacabench.config.load import load_config
from pacabench.errors import JournalError, RunChangedError, UsageError
from pacabench.evaluators.desk import Desk
from pacabench.judged_data import load_judged
from pacabench.model import CaseResult, MeteredCall, Outcome
from pacabench.report.export import export_run
from pacabench.report.rescored import export_rescored, rescored_rows
from pacabench.report.view import read_view
from pacabench.report.wording import dangers_of, warnings_of
from pacabench.rescore import RescoreRequest, rescore
from pacabench.sandbox.base import Sandbox, SandboxContext, Weakness
from pacabench.sandbox.factory import open_sandbox
from pacabench.store import RunStore, load_run
from pacabench.store.scores import check_scores_name, free_scores_name, list_scores, read_scores
from pacabench.testing import Reply, Tokens, provider_in_thread
from pacabench.testing.records import fake_key, fake_manifest, fake_metered, fake_result

CONFIG = """\
name: b
agents: [{name: agent, command: none, source: not/there}]
datasets: [{name: data, source: data.jsonl}]
"""
JUDGE = """\
def judge(output, expected, case):
    if output == "broken":
        raise RuntimeError("no judge today")
    return output == "41"
"""


@dataclass
class Run:
    """A run on disk with its project; its agent is not there any more."""

    folder: Path

    @property
    def run_dir(self) -> Path:
        return self.folder / "runs" / "run-1"

    def make(self, results: Sequence[CaseResult], calls: Sequence[MeteredCall] = ()) -> None:
        (self.folder / "pacabench.yaml").write_text(CONFIG)
        (self.folder / "judges.py").write_text(JUDGE)
        ids = dict.fromkeys(result.key.case_id for result in results)
        rows = [{"case_id": name, "input": "question", "expected": "42"} for name in ids]
        (self.folder / "data.jsonl").write_text("\n".join(map(json.dumps, rows)))
        loaded = load_config(self.folder / "pacabench.yaml")
        data = asyncio.run(load_judged(loaded, ["data"], desk=Desk(), evaluator=None, revisions={}))
        manifest = fake_manifest(
            config_path=str(self.folder / "pacabench.yaml"),
            dataset_hashes={"data": data["data"].dataset.digest},
            planned_cases={"agent": {"data": len(ids)}},
        )

        async def fill(store: RunStore) -> None:
            for call in calls:
                store.append_call(call)
            for result in results:
                await store.append_result(result)

        with RunStore.create(self.folder / "runs", manifest, CONFIG) as store:
            store.begin_session()
            asyncio.run(fill(store))
            store.end_session("finished")

    def score(self, evaluator: Any = None, name: str = "new") -> dict[str, tuple[Outcome, str]]:
        """Judge again; case id to outcome and error."""
        record = load_run(self.run_dir)
        asyncio.run(rescore(record, RescoreRequest(name, evaluator=evaluator)))
        view = read_view(record, read_scores(self.run_dir, name))
        results = view.deciding(view.case_keys())
        return {result.key.case_id: (result.outcome, result.error or "") for result in results}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path)


def python_judge() -> PythonConfig:
    return PythonConfig.model_validate({"type": "python", "function": "judges:judge"})


def test_answers_are_judged_and_what_has_none_stays(run: Run) -> None:
    run.make(
        [
            fake_result(fake_key("right")),
            fake_result(fake_key("wrong"), Outcome.FAILED),
            fake_result(fake_key("late"), Outcome.TIMEOUT, output=None),
            fake_result(fake_key("lost"), Outcome.EVALUATOR_ERROR, output="41", evaluation=None),
        ]
    )
    before = (run.run_dir / "results.jsonl").read_bytes()
    found = run.score(python_judge())
    assert {name: outcome for name, (outcome, _) in found.items()} == {
        "right": Outcome.FAILED,
        "wrong": Outcome.PASSED,
        "late": Outcome.TIMEOUT,
        "lost": Outcome.PASSED,
    }
    assert found["late"][1] == "ended by timeout"
    assert (run.run_dir / "results.jsonl").read_bytes() == before
    assert read_view(load_run(run.run_dir)).summary.total.passed == 1


def test_only_the_deciding_attempt_is_judged(run: Run) -> None:
    key = fake_key("twice")
    run.make([fake_result(key, Outcome.FAILED), fake_result(key, number=2)])
    run.score(ContainsConfig(type="contains"))
    assert len(read_scores(run.run_dir, "new").by_attempt) == 1


def test_a_judge_that_fails_says_nothing_about_the_answer(run: Run) -> None:
    run.make([fake_result(fake_key("a"), output="broken"), fake_result(fake_key("b"))])
    found = run.score(python_judge())
    assert found["a"][0] is Outcome.EVALUATOR_ERROR
    assert "no judge today" in found["a"][1]
    record = load_run(run.run_dir)
    new = read_view(record, read_scores(run.run_dir, "new"))
    (row,) = rescored_rows(read_view(record), new)
    assert (row.evaluator_errors, row.accuracy_before, row.accuracy) == (1, 1.0, 0.0)
    exported = export_rescored(new, [row])
    assert exported["judged"] == 2
    assert [key["case_id"] for key in exported["agents"][0]["to_failed"]] == ["a", "b"]


def test_files_that_are_gone_are_said_so(run: Run) -> None:
    run.make([fake_result(fake_key("a"), left="a.tar")])
    with pytest.raises(JournalError, match=r"a\.tar"):
        run.score(python_judge())


def test_a_wrong_answer_after_a_providers_failure_is_the_providers(run: Run) -> None:
    right = fake_result(fake_key("a"))
    run.make([right], [fake_metered(right, 0.0, status=503, usage=None)])
    assert run.score(NumericConfig(type="numeric", tolerance=0.5))["a"][0] is Outcome.PASSED
    found = run.score(python_judge(), "second")
    assert found["a"][0] is Outcome.PROVIDER_ERROR
    assert "provider openai failed" in found["a"][1]


class TestData:
    def test_that_changed_are_refused(self, run: Run) -> None:
        run.make([fake_result(fake_key("a"))])
        rows = (run.folder / "data.jsonl").read_text().replace("42", "43")
        (run.folder / "data.jsonl").write_text(rows)
        with pytest.raises(RunChangedError, match="other data"):
            run.score()
        assert list_scores(run.run_dir) == []

    def test_without_files_that_a_program_wants_are_no_wrong_answers(self, run: Run) -> None:
        run.make([fake_result(fake_key("a"))])
        with (run.folder / "pacabench.yaml").open("a") as config:
            config.write("sandbox: {kind: process}\n")
        found = run.score(CommandConfig(type="command", command="true", files=("*",)))
        assert found["a"][0] is Outcome.EVALUATOR_ERROR
        assert "none were kept of this attempt" in found["a"][1]

    def test_of_no_such_name_are_refused(self, run: Run) -> None:
        run.make([fake_result(fake_key("a"))])
        text = CONFIG.replace("name: data,", "name: date,")
        (run.folder / "pacabench.yaml").write_text(text)
        with pytest.raises(UsageError, match="did you mean 'date'"):
            run.score()


class TestScores:
    def test_names_are_never_taken_twice(self, run: Run) -> None:
        run.make([fake_result(fake_key("a"))])
        assert free_scores_name(run.run_dir) == "scores-1"
        run.score(name="scores-1")
        assert free_scores_name(run.run_dir) == "scores-2"
        for name in ("scores-1", "../x", "", ".hidden"):
            with pytest.raises(UsageError):
                check_scores_name(run.run_dir, name)

    def test_of_no_such_name_say_which_there_are(self, run: Run) -> None:
        run.make([fake_result(fake_key("a"))])
        run.score(name="mine")
        with pytest.raises(UsageError, match="there are: mine"):
            read_scores(run.run_dir, "yours")

    def test_that_are_damaged_are_an_error(self, run: Run) -> None:
        run.make([fake_result(fake_key("a"))])
        run.score()
        path = run.run_dir / "scores" / "new.jsonl"
        content = path.read_bytes()
        path.write_bytes(content.replace(b'"passed"', b'"failed"'))
        with pytest.raises(JournalError, match="line 2 is damaged"):
            read_scores(run.run_dir, "new")
        path.write_bytes(b"")
        with pytest.raises(JournalError, match="first line"):
            read_scores(run.run_dir, "new")

    def test_of_which_lines_are_missing_are_an_error(self, run: Run) -> None:
        run.make([fake_result(fake_key("a")), fake_result(fake_key("b"))])
        run.score()
        path = run.run_dir / "scores" / "new.jsonl"
        lines = path.read_bytes().splitlines(keepends=True)
        path.write_bytes(b"".join(lines[:-1]))
        with pytest.raises(JournalError, match="should hold 2 scores, and holds 1"):
            read_scores(run.run_dir, "new")

    def test_are_named_wherever_figures_go_by_them_and_later_cases_too(self, run: Run) -> None:
        run.make([fake_result(fake_key("a")), fake_result(fake_key("b"))])
        run.score(ContainsConfig(type="contains"))
        record = load_run(run.run_dir)
        (said, *more) = warnings_of(read_view(record, read_scores(run.run_dir, "new")))
        assert "judged again (data: contains): scores `new`" in said
        assert not any("run since" in text for text in more)

        async def run_one_again() -> None:
            with RunStore.open(run.run_dir) as store:
                await store.append_result(fake_result(fake_key("b"), number=2))

        asyncio.run(run_one_again())
        view = read_view(load_run(run.run_dir), read_scores(run.run_dir, "new"))
        assert any("1 case run since" in text for text in warnings_of(view))


class WeakSandbox:
    """A sandbox of plain processes whose engine does not keep a promise."""

    def __init__(self, inner: Sandbox) -> None:
        promise = Weakness(["evaluator"], "an agent can call ptrace (done)")
        self.facts = replace(inner.facts, weaknesses=[promise])
        self.start = inner.start


def test_a_weak_sandbox_of_programs_is_stamped(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run.make([fake_result(fake_key("a"))])
    with (run.folder / "pacabench.yaml").open("a") as config:
        config.write("sandbox: {kind: process}\n")
    real = open_sandbox

    @asynccontextmanager
    async def open_weak(kind: str, context: SandboxContext) -> AsyncIterator[WeakSandbox]:
        async with real(kind, context) as inner:
            yield WeakSandbox(inner)

    monkeypatch.setattr("pacabench.rescore.open_sandbox", open_weak)
    run.score(CommandConfig(type="command", command="true"))
    view = read_view(load_run(run.run_dir), read_scores(run.run_dir, "new"))
    (said,) = dangers_of(view)
    assert "programs that judged" in said
    assert "(--allow-weak-sandbox): an agent can call ptrace (done)." in said
    scores = export_run(view, include_cases=False)["run"]["scores"]
    assert scores["weaknesses"] == ("an agent can call ptrace (done)",)
    # The run's own scores were made before, and by no such program.
    assert dangers_of(read_view(load_run(run.run_dir))) == []


MARKED = re.compile(r"<ANSWER (\w+)>\n(.*)\n</ANSWER", re.DOTALL)
KEY = "sk-the-judges-own-key"


def _says_41_is_right(request: Any) -> Reply:
    content = request["messages"][-1]["content"]
    found = MARKED.search(content if isinstance(content, str) else content[0]["text"])
    assert found is not None
    verdict = "correct" if found[2] == "41" else "incorrect"
    said = json.dumps({"code": found[1], "reasoning": "r", "verdict": verdict})
    return Reply(text=said, tokens=Tokens(prompt=100, completion=10))


def test_a_model_judges_and_what_it_took_is_kept_but_no_key(run: Run) -> None:
    run.make([fake_result(fake_key("right")), fake_result(fake_key("wrong"), Outcome.FAILED)])
    with provider_in_thread(_says_41_is_right) as provider:
        judge = LlmJudgeConfig(
            type="llm_judge",
            model="gpt-4o-mini",
            provider="openai",
            base_url=provider.base_url,
            api_key=KEY,
        )
        found = run.score(judge)
        asked = len(provider.books)
    assert found["right"][0] is Outcome.FAILED
    assert found["wrong"][0] is Outcome.PASSED
    head = read_scores(run.run_dir, "new").head
    assert head.judge is not None
    assert (head.judge.calls, head.judge.input_tokens, head.judge.output_tokens) == (2, 200, 20)
    assert asked == 2
    assert head.evaluators["data"]["api_key"] == "***"
    assert KEY not in (run.run_dir / "scores" / "new.jsonl").read_text()
