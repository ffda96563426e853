"""Judges in whole runs: asked through a proxy of their own, in books of their own."""

import json
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from pacabench import session
from pacabench.config.load import load_config
from pacabench.errors import ConfigError
from pacabench.events import Event
from pacabench.job import RunReport
from pacabench.judging import judge_specs
from pacabench.model import Outcome
from pacabench.report.view import read_view
from pacabench.run import RunRequest, start_run
from pacabench.sandbox.base import Sandbox, SandboxContext
from pacabench.scheduler import Stop
from pacabench.store import load_run
from pacabench.testing import FakeProvider, FakeSandbox, Reply, Request, Tokens, provider_in_thread
from pacabench.testing.sandbox import ScriptedAgent

KEY = "sk-the-key-of-the-judge"
CONFIG = """\
name: judged
config: {{concurrency: 2, max_retries: 0, proxy: {{provider: scripted, retry_for_seconds: 0}}}}
agents: [{{name: a, command: python a.py}}]
datasets:
  - name: d
    source: d.jsonl
    evaluator: {{type: llm_judge, model: gpt-4o-mini, {judge}}}
"""
MARKED = re.compile(r"<ANSWER (\w+)>\n(.*)\n</ANSWER", re.DOTALL)


def text_of(request: Request) -> str:
    content = request["messages"][-1]["content"]
    return content if isinstance(content, str) else content[0]["text"]


def verdict_on(request: Request) -> Reply:
    found = MARKED.search(text_of(request))
    assert found is not None
    verdict = "correct" if found[2] == "right" else "incorrect"
    said = json.dumps({"code": found[1], "reasoning": "r", "verdict": verdict})
    return Reply(text=said, tokens=Tokens(prompt=100, completion=10))


class Judged:
    """A run of two cases, one answered right, with a judge that a provider on loopback plays."""

    def __init__(self, folder: Path, provider: FakeProvider) -> None:
        self.folder = folder
        self.provider = provider
        rows = [{"input": answer, "expected": "right"} for answer in ("right", "wrong")]
        (folder / "d.jsonl").write_text("\n".join(map(json.dumps, rows)))
        (folder / "a.py").write_text("")
        self.events: list[Event] = []

    def write(self, judge: str) -> Path:
        path = self.folder / "pacabench.yaml"
        path.write_text(CONFIG.format(judge=judge))
        (self.folder / ".env").write_text(f"JUDGE_KEY={KEY}\n")
        return path

    async def run(self, more: str = "") -> RunReport:
        judge = f"base_url: '{self.provider.base_url}', provider: openai, api_key_env: JUDGE_KEY"
        request = RunRequest(self.write(judge + more), run_id="run")
        return await start_run(
            request, accept_changes=False, listener=self.events.append, stop=Stop()
        )


@pytest.fixture
def judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[Callable[[Request], Reply]], Judged]]:
    @asynccontextmanager
    async def open_fake(kind: str, context: SandboxContext) -> AsyncIterator[Sandbox]:
        async with FakeSandbox(ScriptedAgent(), on_call=context.on_call) as sandbox:
            yield sandbox

    monkeypatch.setattr(session, "open_sandbox", open_fake)
    opened = []

    def make(answer: Callable[[Request], Reply]) -> Judged:
        context = provider_in_thread(answer)
        opened.append(context)
        return Judged(tmp_path, context.__enter__())

    yield make
    for context in opened:
        context.__exit__(None, None, None)


class TestRuns:
    async def test_calls_of_judges_are_counted_exactly_and_apart(
        self, judged: Callable[..., Judged]
    ) -> None:
        run = judged(verdict_on)
        report = await run.run()
        view = read_view(load_run(report.run_dir))
        assert (report.summary.total.passed, report.summary.total.failed) == (1, 1)
        assert view.judge.calls == len(run.provider.books) == 2
        assert view.judge.input_tokens == run.provider.totals().prompt == 200
        assert view.judge.output_tokens == run.provider.totals().completion == 20
        assert view.judge.cost_usd is not None
        assert view.judge.cost_usd > 0
        assert view.summary.total.usage.calls == 0

    async def test_the_real_key_goes_to_the_provider_and_nowhere_else(
        self, judged: Callable[..., Judged]
    ) -> None:
        run = judged(verdict_on)
        report = await run.run()
        assert {entry.key for entry in run.provider.books} == {KEY}
        for path in report.run_dir.rglob("*"):
            assert path.is_dir() or KEY.encode() not in path.read_bytes()

    async def test_a_key_in_the_yaml_is_masked_in_the_run(
        self, judged: Callable[..., Judged]
    ) -> None:
        run = judged(verdict_on)
        url = run.provider.base_url
        request = RunRequest(
            run.write(f"base_url: '{url}', provider: openai, api_key: '${{JUDGE_KEY}}'"),
            run_id="run",
        )
        report = await start_run(
            request, accept_changes=False, listener=run.events.append, stop=Stop()
        )
        assert {entry.key for entry in run.provider.books} == {KEY}
        for path in report.run_dir.rglob("*"):
            assert path.is_dir() or KEY.encode() not in path.read_bytes()

    @pytest.mark.parametrize(
        "reply",
        [Reply(status=500), Reply(status=401), Reply(text="I cannot say."), Reply(reset_after=0)],
        ids=["500", "401", "no verdict", "reset"],
    )
    async def test_a_judge_that_fails_is_no_wrong_answer(
        self, judged: Callable[..., Judged], reply: Reply
    ) -> None:
        report = await judged(lambda _: reply).run(", max_retries: 0")
        assert report.summary.total.outcomes == {Outcome.EVALUATOR_ERROR: 2}
        assert report.infrastructure_left == 2
        assert report.summary.total.accuracy is None

    async def test_one_that_takes_too_long_is_left(self, judged: Callable[..., Judged]) -> None:
        run = judged(lambda _: Reply(silent=True))
        report = await run.run(", timeout_seconds: 0.5")
        assert report.summary.total.outcomes == {Outcome.EVALUATOR_ERROR: 2}

    async def test_the_schema_of_the_reply_is_asked_for_unless_it_is_turned_off(
        self, judged: Callable[..., Judged]
    ) -> None:
        asked: list[Request] = []

        def answer(request: Request) -> Reply:
            asked.append(request)
            return verdict_on(request)

        run = judged(answer)
        await run.run(", temperature: 0.5")
        schema = asked[0]["response_format"]["json_schema"]
        assert schema["strict"]
        assert schema["schema"]["properties"]["verdict"]["enum"] == ["correct", "incorrect"]
        assert asked[0]["temperature"] == 0.5


class TestAnthropic:
    async def test_is_asked_in_its_own_way(self, judged: Callable[..., Judged]) -> None:
        run = judged(verdict_on)
        origin = run.provider.base_url.removesuffix("/v1")
        request = RunRequest(
            run.write(f"base_url: '{origin}', provider: anthropic, api_key_env: JUDGE_KEY"),
            run_id="run",
        )
        report = await start_run(
            request, accept_changes=False, listener=run.events.append, stop=Stop()
        )
        assert (report.summary.total.passed, report.summary.total.failed) == (1, 1)
        assert {entry.target for entry in run.provider.books} == {"/v1/messages"}
        assert read_view(load_run(report.run_dir)).judge.input_tokens == 200


class TestSettings:
    def spec(self, folder: Path, judge: str, proxy: str, **environ: str) -> Any:
        text = CONFIG.format(judge=judge).replace(
            "proxy: {provider: scripted, retry_for_seconds: 0}", f"proxy: {{{proxy}}}"
        )
        (folder / "pacabench.yaml").write_text(text)
        loaded = load_config(folder / "pacabench.yaml", environ=environ)
        (spec,) = judge_specs(loaded, [loaded.config.datasets[0].evaluator]).values()
        return spec

    def test_the_runs_own_provider_is_asked_where_nothing_is_said(self, tmp_path: Path) -> None:
        spec = self.spec(
            tmp_path, "votes: 1", "provider: groq, enabled: false", GROQ_API_KEY="g-key"
        )
        assert (spec.kind, spec.api_key) == ("groq", "g-key")

    def test_one_of_several_by_its_name(self, tmp_path: Path) -> None:
        proxy = "providers: {scripted: {}, openai: {base_url: 'http://127.0.0.1:1/v1'}}"
        spec = self.spec(tmp_path, "provider: openai", proxy)
        assert spec.base_url == "http://127.0.0.1:1/v1"

    def test_a_missing_key_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="OPENAI_API_KEY is not set") as missing:
            self.spec(tmp_path, "provider: openai", "provider: scripted")
        # A replay wants no key for its agents: who it is that wants one has to be said.
        assert "for the judge, evaluator `llm_judge`" in str(missing.value)

    def test_one_that_no_judge_speaks_to_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="`llm_judge` cannot ask gemini"):
            self.spec(tmp_path, "provider: gemini", "provider: scripted", GEMINI_API_KEY="g")
