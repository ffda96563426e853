"""Whole runs in memory: begin, stop, resume, retry, changes. Only the sandbox is a fake."""

import asyncio
import dataclasses
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import pytest

import pacabench.session
from pacabench.config.schema import SandboxKind
from pacabench.errors import RunChangedError, SandboxUnavailableError, UsageError
from pacabench.events import AttemptFinished, Event, Notice, RunStarted
from pacabench.job import RunReport
from pacabench.model import CaseKey, Outcome, new_attempt_id
from pacabench.proxy.spool import Spool
from pacabench.report.view import read_view
from pacabench.run import RunRequest, resume_run, retry_run, start_run
from pacabench.sandbox.base import Sandbox, SandboxContext
from pacabench.scheduler import Stop
from pacabench.store import Selection, load_run
from pacabench.store.reader import read_calls
from pacabench.testing import Act, FakeSandbox, ScriptedAgent, fake_call

CONFIG = """\
name: unit
config: {concurrency: 2, max_retries: 1, timeout_seconds: 5, proxy: {provider: scripted}}
agents:
  - {name: a, command: python a.py, teardown: echo bye}
  - {name: b, command: python b.py}
datasets:
  - {name: d, source: d.jsonl}
"""
CASES = 5


@dataclass
class Project:
    """A benchmark in a directory, and a fake sandbox that plays its agents."""

    folder: Path
    agent: ScriptedAgent = field(default_factory=ScriptedAgent)
    events: list[Event] = field(default_factory=list)
    stop: Stop = field(default_factory=Stop)
    opened: list[FakeSandbox] = field(default_factory=list)
    room: int = 0
    """Sessions that the sandbox was asked to have room for."""
    on_event: Callable[[Event], object] = lambda _: None

    def __post_init__(self) -> None:
        self.write(CONFIG)
        rows = [
            {"case_id": f"c{n}", "input": f"answer {n}", "expected": f"answer {n}"}
            for n in range(CASES)
        ]
        (self.folder / "d.jsonl").write_text("\n".join(map(json.dumps, rows)))
        (self.folder / "a.py").write_text("")

    def write(self, text: str) -> None:
        (self.folder / "pacabench.yaml").write_text(text)

    def listen(self, event: Event) -> None:
        self.events.append(event)
        self.on_event(event)

    @asynccontextmanager
    async def open(self, kind: SandboxKind, context: SandboxContext) -> AsyncIterator[Sandbox]:
        del kind
        self.room = context.concurrency
        async with FakeSandbox(self.agent, on_call=context.on_call) as sandbox:
            self.opened.append(sandbox)
            yield sandbox

    async def start(self, run_id: str = "run", **more: Any) -> RunReport:
        request = RunRequest(self.folder / "pacabench.yaml", run_id=run_id, **more)
        return await start_run(request, accept_changes=False, listener=self.listen, stop=self.stop)

    async def resume(self, *, accept_changes: bool = False) -> RunReport:
        return await resume_run(
            self.run_dir, accept_changes=accept_changes, listener=self.listen, stop=Stop()
        )

    async def retry(self, *only: Outcome) -> RunReport:
        return await retry_run(
            self.run_dir,
            only=frozenset(only) or None,
            accept_changes=False,
            listener=self.listen,
            stop=Stop(),
        )

    @property
    def run_dir(self) -> Path:
        return self.folder / "runs" / "run"

    @property
    def finished(self) -> list[tuple[str, str, Outcome]]:
        return [
            (event.result.key.agent, event.result.key.case_id, event.result.outcome)
            for event in self.events
            if isinstance(event, AttemptFinished)
        ]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    made = Project(tmp_path)
    monkeypatch.setattr("pacabench.session.open_sandbox", made.open)
    monkeypatch.setattr("pacabench.scheduler.Policy.delay_s", lambda *_: 0.001)
    return made


class TestSalvage:
    @pytest.mark.parametrize("before", [True, False])
    async def test_calls_of_a_dead_session_count_once_whenever_they_are_found(
        self, project: Project, monkeypatch: pytest.MonkeyPatch, before: bool
    ) -> None:
        """Before the first attempt, or, where the engine was in the way, behind the last one."""

        @asynccontextmanager
        async def salvaging(kind: SandboxKind, context: SandboxContext) -> AsyncIterator[Sandbox]:
            if before:
                leave_call(context.run_dir)
            async with project.open(kind, context) as sandbox:
                yield sandbox
            if not before:
                leave_call(context.run_dir)

        def leave_call(run_dir: Path) -> None:
            spool = Spool(run_dir / "spool" / "docker-1")
            spool.end(fake_call(attempt_id=new_attempt_id(CaseKey("a", "d", "c0"))))
            spool.close()

        monkeypatch.setattr("pacabench.session.open_sandbox", salvaging)
        report = await project.start()

        assert report.summary.total.usage.calls == 1
        assert len(list(read_calls(project.run_dir))) == 1
        assert list((project.run_dir / "spool").iterdir()) == []


class TestStart:
    async def test_every_case_of_every_agent_once(self, project: Project) -> None:
        report = await project.start()

        assert report.summary.total.passed == 2 * CASES
        assert len(set(project.finished)) == len(project.finished) == 2 * CASES
        assert (report.infrastructure_left, report.pending, report.stopped) == (0, 0, False)
        assert load_run(project.run_dir).status == "finished"

    async def test_teardown_runs_once_after_the_last_case(self, project: Project) -> None:
        await project.start()

        assert project.opened[0].torn_down == ["a"]

    async def test_workers_of_many_agents_never_need_more_sessions_than_there_is_room_for(
        self, project: Project
    ) -> None:
        agents = "".join(f"  - {{name: a{n}, command: x}}\n" for n in range(5))
        text = CONFIG.replace("  - {name: b, command: python b.py}\n", agents)
        project.write(text + "sandbox: {isolation: worker}\n")
        report = await project.start()

        assert report.summary.total.passed == 6 * CASES
        assert project.opened[0].peak <= project.room
        assert project.opened[0].started < 6 * CASES  # each serves several cases all the same

    async def test_a_selection_is_all_that_is_run(self, project: Project) -> None:
        report = await project.start(selection=Selection(limit=2, agents=("b",)))

        assert {(agent, case) for agent, case, _ in project.finished} == {("b", "c0"), ("b", "c1")}
        assert report.summary.total.cases == 2

    async def test_an_unknown_name_is_a_usage_error_with_the_nearest_one(
        self, project: Project
    ) -> None:
        project.write(CONFIG.replace("name: b", "name: memory"))
        with pytest.raises(UsageError, match="did you mean 'memory'"):
            await project.start(selection=Selection(agents=("memry",)))
        assert not project.run_dir.exists()

    async def test_calls_are_in_the_books_with_their_case(self, project: Project) -> None:
        def ask_twice(case: dict[str, Any]) -> Act:
            number = case["case_id"]
            calls = [fake_call(call_id=f"{number}-{turn}-{id(case)}") for turn in range(2)]
            return Act.answers(case["input"], calls=calls)

        project.agent = ScriptedAgent(otherwise=ask_twice)
        report = await project.start()

        assert report.summary.total.usage.calls == 2 * 2 * CASES
        assert {call.key.case_id for call in load_run(project.run_dir).calls()} == {
            f"c{n}" for n in range(CASES)
        }

    async def test_infrastructure_outcomes_are_retried_and_then_left_over_loudly(
        self, project: Project
    ) -> None:
        failing = Act.answers("no", calls=[fake_call(status=503)])
        project.agent = ScriptedAgent({"c1": [failing]})
        report = await project.start()

        assert report.infrastructure_left == 2
        assert len([entry for entry in project.finished if entry[1] == "c1"]) == 2 * 2
        assert report.summary.total.accuracy == 1.0

    async def test_a_sandbox_that_cannot_be_opened_leaves_no_run_for_resume_to_find(
        self, project: Project, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        @asynccontextmanager
        async def refuse(*_: object) -> AsyncIterator[Sandbox]:
            raise SandboxUnavailableError("no engine")
            yield

        with monkeypatch.context() as patch:
            patch.setattr("pacabench.session.open_sandbox", refuse)
            with pytest.raises(SandboxUnavailableError):
                await project.start()
        assert list((project.folder / "runs").iterdir()) == []

        assert (await project.start()).pending == 0
        project.write(CONFIG.replace("name: d,", "name: d2,"))
        with monkeypatch.context() as patch:
            patch.setattr("pacabench.session.open_sandbox", refuse)
            with pytest.raises(SandboxUnavailableError):
                await project.resume(accept_changes=True)
        assert load_run(project.run_dir).manifest.status == "stopped"

    async def test_an_engine_that_dies_leaves_a_run_that_can_be_resumed(
        self, project: Project
    ) -> None:
        def die(case: dict[str, Any]) -> Act:
            if len(project.finished) >= 3:
                raise SandboxUnavailableError("the engine is gone")
            return Act.answers(case["input"])

        project.agent = ScriptedAgent(otherwise=die)
        with pytest.raises(SandboxUnavailableError):
            await project.start()
        assert load_run(project.run_dir).status == "stopped"
        before = set(project.finished)
        assert len(before) >= 3

        project.agent = ScriptedAgent()
        project.events.clear()
        report = await project.resume()

        assert report.summary.total.passed == 2 * CASES
        assert not before & set(project.finished)


class TestResume:
    async def stopped_after(self, project: Project, count: int) -> None:
        def stop_when_due(event: Event) -> None:
            if isinstance(event, AttemptFinished) and len(project.finished) >= count:
                project.stop.request()

        project.on_event = stop_when_due
        report = await project.start()
        assert report.stopped
        assert report.pending > 0
        project.on_event = lambda _: None

    async def test_only_what_is_missing_is_run(self, project: Project) -> None:
        await self.stopped_after(project, 4)
        done = set(project.finished)
        project.events.clear()
        report = await project.resume()

        assert report.pending == 0
        assert not done & set(project.finished)
        assert len(done) + len(project.finished) == 2 * CASES

    async def test_no_teardown_when_stopped(self, project: Project) -> None:
        await self.stopped_after(project, 2)

        assert project.opened[0].torn_down == []

    async def test_wrong_answers_stand(self, project: Project) -> None:
        project.agent = ScriptedAgent({"c0": [Act.answers("wrong")]})
        await project.start()
        project.agent = ScriptedAgent()
        project.events.clear()
        report = await project.resume()

        assert project.finished == []
        assert report.summary.total.failed == 2

    async def test_what_the_infrastructure_failed_is_run_again(self, project: Project) -> None:
        failing = Act.answers("no", calls=[fake_call(status=503)])
        project.agent = ScriptedAgent({"c1": [failing]})
        await project.start()
        project.agent = ScriptedAgent()
        report = await project.resume()

        assert report.infrastructure_left == 0
        assert report.summary.total.passed == 2 * CASES

    async def test_run_with_the_id_of_a_run_goes_on_with_it(self, project: Project) -> None:
        await self.stopped_after(project, 3)
        project.stop = Stop()
        report = await project.start()

        assert report.summary.total.attempts == 2 * CASES

    async def test_progress_starts_with_what_is_decided(self, project: Project) -> None:
        await self.stopped_after(project, 3)
        decided = len(project.finished)
        project.events.clear()
        await project.resume()
        (started,) = [event for event in project.events if isinstance(event, RunStarted)]

        assert len(started.decided) == decided
        assert started.planned == {"a": CASES, "b": CASES}

    async def test_cancelling_leaves_a_run_that_can_be_resumed(self, project: Project) -> None:
        project.write(CONFIG.replace("timeout_seconds: 5", "timeout_seconds: 600"))
        project.agent = ScriptedAgent({"c3": [Act(hangs=True)]})
        task = asyncio.create_task(project.start())
        four_are_done = asyncio.Event()
        project.on_event = lambda _: len(project.finished) >= 4 and four_are_done.set()
        await four_are_done.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not project.opened[0].live

        project.agent = ScriptedAgent()
        report = await project.resume()
        assert report.summary.total.passed == 2 * CASES


class TestChanges:
    CHANGES: ClassVar[dict[str, Callable[[Path], object]]] = {
        "agents.a.command": lambda folder: (folder / "pacabench.yaml").write_text(
            CONFIG.replace("python a.py", "python -O a.py")
        ),
        "agents.a": lambda folder: (folder / "a.py").write_text("print()"),
        "datasets.d": lambda folder: (folder / "d.jsonl").write_text(
            '{"case_id": "c0", "input": "x", "expected": "y"}'
        ),
        "timeout_seconds": lambda folder: (folder / "pacabench.yaml").write_text(
            CONFIG.replace("timeout_seconds: 5", "timeout_seconds: 6")
        ),
    }

    @pytest.mark.parametrize("what", CHANGES)
    async def test_are_refused_and_named(self, project: Project, what: str) -> None:
        await project.start()
        self.CHANGES[what](project.folder)
        with pytest.raises(RunChangedError, match=what):
            await project.resume()

    async def test_are_accepted_when_the_user_says_so_and_then_stand(
        self, project: Project
    ) -> None:
        await project.start()
        self.CHANGES["agents.a.command"](project.folder)
        await project.resume(accept_changes=True)
        await project.resume()

        told = [event.text for event in project.events if isinstance(event, Notice)]
        assert any("python -O a.py" in text for text in told)

    async def test_that_are_accepted_are_the_runs_configuration_and_the_old_one_is_kept(
        self, project: Project
    ) -> None:
        await project.start()
        texts = [(project.run_dir / "config.yaml").read_text()]
        for flag in ("-O", "-OO"):
            self.CHANGES["agents.a.command"](project.folder)
            text = (project.folder / "pacabench.yaml").read_text().replace("-O", flag)
            (project.folder / "pacabench.yaml").write_text(text)
            await project.resume(accept_changes=True)
            texts.append((project.run_dir / "config.yaml").read_text())
            assert texts[-1] == text
        assert len(set(texts)) == 3
        kept = [(project.run_dir / f"config.{number}.yaml").read_text() for number in (1, 2)]
        assert kept == texts[:2]
        assert not (project.run_dir / "config.3.yaml").exists()

    async def test_a_changed_file_is_named(self, project: Project) -> None:
        await project.start()
        (project.folder / "a.py").write_text("print()")
        with pytest.raises(RunChangedError, match=r"agents\.a\.a\.py: '[0-9a-f]{16}' -> "):
            await project.resume()

    async def test_a_new_file_is_one_in_containers_and_none_where_agents_run_in_their_source(
        self, project: Project
    ) -> None:
        await project.start()
        (project.folder / "memory.db").write_text("left by an agent")
        with pytest.raises(RunChangedError, match=r"memory\.db: added"):
            await project.resume()

        project.write(CONFIG + "sandbox: {kind: process}\n")
        await project.start("other")
        (project.folder / "cache.db").write_text("left by an agent")
        await project.start("other")

    async def test_accepted_flags_stand_for_the_next_session_too(self, project: Project) -> None:
        await project.start()
        request = RunRequest(
            project.folder / "pacabench.yaml", {"config.timeout_seconds": 9}, run_id="run"
        )
        await start_run(request, accept_changes=True, listener=project.listen, stop=Stop())
        await project.resume()

        assert load_run(project.run_dir).manifest.flags == {"config.timeout_seconds": 9}

    async def test_a_configuration_that_was_moved_is_found_again(self, project: Project) -> None:
        await project.start()
        moved = project.folder / "moved.yaml"
        (project.folder / "pacabench.yaml").rename(moved)
        await resume_run(
            project.run_dir,
            config_path=moved,
            accept_changes=True,
            listener=project.listen,
            stop=Stop(),
        )
        await project.resume()

    async def test_more_at_a_time_is_no_change(self, project: Project) -> None:
        await project.start()
        project.write(CONFIG.replace("concurrency: 2", "concurrency: 3"))
        await project.resume()


class TestRetry:
    async def test_runs_what_did_not_pass_and_keeps_the_history(self, project: Project) -> None:
        project.agent = ScriptedAgent({"c0": [Act.answers("wrong")], "c1": [Act.crashes()]})
        await project.start()
        project.agent = ScriptedAgent()
        project.events.clear()
        report = await project.retry()

        assert {case for _, case, _ in project.finished} == {"c0", "c1"}
        assert report.summary.total.passed == 2 * CASES
        assert report.summary.total.attempts == 2 * CASES + 4

    async def test_only_narrows(self, project: Project) -> None:
        project.agent = ScriptedAgent({"c0": [Act.answers("wrong")], "c1": [Act.crashes()]})
        await project.start()
        project.agent = ScriptedAgent()
        project.events.clear()
        await project.retry(Outcome.AGENT_ERROR)

        assert {case for _, case, _ in project.finished} == {"c1"}

    async def test_passed_cases_are_never_run_again(self, project: Project) -> None:
        await project.start()
        project.events.clear()
        await project.retry(Outcome.PASSED, Outcome.FAILED)

        assert project.finished == []


class TestEpochs:
    async def test_of_a_case_are_each_counted_once_also_after_a_stop(
        self, project: Project
    ) -> None:
        project.write(CONFIG.replace("max_retries: 1", "max_retries: 1, epochs: 3"))
        project.on_event = lambda event: (
            project.stop.request()
            if isinstance(event, AttemptFinished) and len(project.finished) == 13
            else None
        )
        begun = await project.start()
        assert begun.stopped
        assert begun.summary.total.cases == 3 * 2 * CASES
        assert 0 < begun.pending < 3 * 2 * CASES - 12

        report = await project.resume()
        total = report.summary.total
        assert (total.passed, total.cases, total.pending) == (30, 30, 0)
        assert total.attempts == 30
        results = list(load_run(project.run_dir).results())
        assert len({result.key for result in results}) == len(results) == 30
        assert {result.key.epoch for result in results} == {1, 2, 3}
        for agent in read_view(load_run(project.run_dir)).summary.agents:
            assert agent.repeats is not None
            assert [at.k for at in agent.repeats.at] == [1, 2, 3]

    async def test_more_of_them_are_a_change_that_can_be_accepted(self, project: Project) -> None:
        await project.start()
        project.write(CONFIG.replace("max_retries: 1", "max_retries: 1, epochs: 2"))
        with pytest.raises(RunChangedError, match="epochs: unset -> 2"):
            await project.resume()
        report = await project.resume(accept_changes=True)
        assert (report.summary.total.cases, report.summary.total.attempts) == (20, 20)


class TestStopWhenDecided:
    """Agent ``b`` is always right, agent ``a`` never."""

    MANY = 60

    @pytest.fixture
    def lopsided(self, project: Project) -> Project:
        rows = [
            {"case_id": f"c{n}", "input": f"answer {n}", "expected": f"answer {n}"}
            for n in range(self.MANY)
        ]
        (project.folder / "d.jsonl").write_text("\n".join(map(json.dumps, rows)))
        project.agent = ScriptedAgent(
            otherwise=lambda case: Act.answers(case["input"], calls=[fake_call()])
        )
        return project

    @pytest.fixture
    def wrong_a(self, lopsided: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
        real = pacabench.session.run_attempt

        async def run_attempt(planned: Any, workshop: Any) -> Any:
            result = await real(planned, workshop)
            if planned.key.agent != "a" or result.outcome is not Outcome.PASSED:
                return result
            return dataclasses.replace(result, outcome=Outcome.FAILED)

        monkeypatch.setattr("pacabench.session.run_attempt", run_attempt)
        return lopsided

    async def test_no_case_is_started_once_it_is_sure(self, wrong_a: Project) -> None:
        report = await wrong_a.start(selection=Selection(stop_when_decided=True))

        decision = load_run(wrong_a.run_dir).manifest.decision
        assert decision is not None
        assert decision == report.decision
        assert (decision.winner, decision.pairs, decision.pairs_planned) == ("b", 8, self.MANY)
        done = len(wrong_a.finished)
        assert 16 <= done <= 16 + 2 * 2
        assert sum(decision.not_run.values()) == 2 * self.MANY - done == report.pending
        assert (report.left, report.stopped) == (0, False)
        assert load_run(wrong_a.run_dir).status == "finished"
        assert any(
            "b is better than a" in event.text
            for event in wrong_a.events
            if isinstance(event, Notice)
        )

    async def test_cases_come_in_an_order_of_chance_that_is_the_runs(
        self, wrong_a: Project
    ) -> None:
        await wrong_a.start(selection=Selection(stop_when_decided=True))
        first = [case for agent, case, _ in wrong_a.finished if agent == "a"]
        assert sorted(first, key=lambda case: int(case[1:])) != first

    async def test_a_run_that_is_stopped_before_goes_on_to_the_same_decision(
        self, wrong_a: Project
    ) -> None:
        wrong_a.on_event = lambda event: (
            wrong_a.stop.request() if len(wrong_a.finished) == 6 else None
        )
        begun = await wrong_a.start(selection=Selection(stop_when_decided=True))
        assert (begun.stopped, begun.decision) == (True, None)
        assert begun.left > 0
        assert load_run(wrong_a.run_dir).status == "stopped"

        wrong_a.on_event = lambda _: None
        report = await wrong_a.resume()
        assert report.decision is not None
        assert (report.decision.winner, report.decision.pairs) == ("b", 8)
        results = list(load_run(wrong_a.run_dir).results())
        assert len({result.key for result in results}) == len(results)

        again = await wrong_a.resume()
        assert again.decision == report.decision
        assert len(list(load_run(wrong_a.run_dir).results())) == len(results)

    async def test_the_rest_can_be_run_after_all(self, wrong_a: Project) -> None:
        await wrong_a.start(selection=Selection(stop_when_decided=True))
        with pytest.raises(RunChangedError, match="stop_when_decided"):
            await wrong_a.start()
        request = RunRequest(wrong_a.folder / "pacabench.yaml", run_id="run")
        report = await start_run(request, accept_changes=True, listener=wrong_a.listen, stop=Stop())
        assert report.pending == 0
        assert report.decision is not None
        assert report.decision.winner == "b"

    async def test_without_a_difference_ends_when_the_rest_cannot_make_one(
        self, lopsided: Project
    ) -> None:
        report = await lopsided.start(selection=Selection(stop_when_decided=True))
        decision = report.decision
        assert decision is not None
        # each pair agrees: seven that are left cannot be the eight in a row which decide it
        assert (decision.winner, decision.pairs) == (None, self.MANY - 7)
        assert decision.out_of_reach
        assert 0 < report.pending == sum(decision.not_run.values()) <= 14
        assert (report.left, load_run(lopsided.run_dir).status) == (0, "finished")
        assert any(
            "no decision can be reached any more" in event.text
            for event in lopsided.events
            if isinstance(event, Notice)
        )
        again = await lopsided.resume()
        assert (again.decision, again.pending) == (decision, report.pending)

    async def test_cases_that_can_decide_nothing_are_refused(self, lopsided: Project) -> None:
        with pytest.raises(UsageError, match="needs 8 cases at least, and there are 7"):
            await lopsided.start(selection=Selection(stop_when_decided=True, limit=7))
        assert not lopsided.run_dir.exists()


class TestLeftOut:
    """Files of agents that could not be taken out."""

    async def test_the_first_few_are_told_and_each_is_on_record(
        self, project: Project, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real = pacabench.session.run_attempt
        found = ("out/link: no regular file", "out/pipe: no regular file")

        async def run_attempt(planned: Any, workshop: Any) -> Any:
            return dataclasses.replace(await real(planned, workshop), left_out=found)

        monkeypatch.setattr("pacabench.session.run_attempt", run_attempt)
        await project.start()
        results = list(load_run(project.run_dir).results())
        assert len(results) > 3
        assert {result.left_out for result in results} == {found}
        told = [
            event.text
            for event in project.events
            if isinstance(event, Notice) and "of what the agent left" in event.text
        ]
        assert len(told) == 3
        assert "out/link: no regular file and 1 more: not taken out" in told[0]
        assert told[2].endswith("that is told of no further case")
