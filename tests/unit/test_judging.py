"""Judges in whole runs: asked through a proxy of their own, in books of their own."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from judged import CONFIG, KEY, MakeJudged, judged, verdict_on

from pacabench.config.load import load_config
from pacabench.errors import ConfigError
from pacabench.judging import judge_specs
from pacabench.model import Outcome
from pacabench.report.view import read_view
from pacabench.run import RunRequest
from pacabench.store import load_run
from pacabench.testing import Reply, Request

__all__ = ["judged"]


class TestRuns:
    async def test_calls_of_judges_are_counted_exactly_and_apart(self, judged: MakeJudged) -> None:
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
        self, judged: MakeJudged
    ) -> None:
        run = judged(verdict_on)
        report = await run.run()
        assert {entry.key for entry in run.provider.books} == {KEY}
        for path in report.run_dir.rglob("*"):
            assert path.is_dir() or KEY.encode() not in path.read_bytes()

    async def test_a_key_in_the_yaml_is_masked_in_the_run(self, judged: MakeJudged) -> None:
        run = judged(verdict_on)
        url = run.provider.base_url
        request = RunRequest(
            run.write(f"base_url: '{url}', provider: openai, api_key: '${{JUDGE_KEY}}'"),
            run_id="run",
        )
        report = await run.start(request)
        assert {entry.key for entry in run.provider.books} == {KEY}
        for path in report.run_dir.rglob("*"):
            assert path.is_dir() or KEY.encode() not in path.read_bytes()

    @pytest.mark.parametrize(
        "reply",
        [Reply(status=500), Reply(status=401), Reply(text="I cannot say."), Reply(reset_after=0)],
        ids=["500", "401", "no verdict", "reset"],
    )
    async def test_a_judge_that_fails_is_no_wrong_answer(
        self, judged: MakeJudged, reply: Reply
    ) -> None:
        report = await judged(lambda _: reply).run(", max_retries: 0")
        assert report.summary.total.outcomes == {Outcome.EVALUATOR_ERROR: 2}
        assert report.infrastructure_left == 2
        assert report.summary.total.accuracy is None

    async def test_one_that_takes_too_long_is_left(self, judged: MakeJudged) -> None:
        run = judged(lambda _: Reply(silent=True))
        report = await run.run(", timeout_seconds: 0.5")
        assert report.summary.total.outcomes == {Outcome.EVALUATOR_ERROR: 2}

    async def test_the_schema_of_the_reply_is_asked_for_unless_it_is_turned_off(
        self, judged: MakeJudged
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

    async def test_its_own_time_is_the_only_limit(
        self, judged: MakeJudged, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        short = aiohttp.ClientTimeout(total=0.3)
        monkeypatch.setattr("aiohttp.client.DEFAULT_TIMEOUT", short)
        run = judged(lambda request: replace(verdict_on(request), delay_s=0.6))
        report = await run.run(", timeout_seconds: 30")
        assert report.summary.total.outcomes == {Outcome.PASSED: 1, Outcome.FAILED: 1}

    async def test_a_long_reply_comes_in_pieces_and_is_read_whole(self, judged: MakeJudged) -> None:
        def answer(request: Request) -> Reply:
            said = json.loads(verdict_on(request).text)
            return Reply(text=json.dumps({**said, "reasoning": "because " * 20_000}))

        report = await judged(answer).run(", max_retries: 0")
        assert report.summary.total.outcomes == {Outcome.PASSED: 1, Outcome.FAILED: 1}


class TestOtherApis:
    """Anthropic's, Google's, Azure's and Amazon's, each in its own way."""

    @pytest.mark.parametrize("structured", [True, False])
    @pytest.mark.parametrize(
        ("provider", "model", "target"),
        [
            ("anthropic", "claude-haiku-4-5", "/v1/messages"),
            ("gemini", "gemini-2.5-flash", "/v1beta/models/gemini-2.5-flash:generateContent"),
            (
                "azure_openai",
                "my-deployment",
                "/openai/deployments/my-deployment/chat/completions?api-version=2024-10-21",
            ),
            (
                "bedrock",
                "anthropic.claude-3-haiku-20240307-v1:0",
                "/model/anthropic.claude-3-haiku-20240307-v1%3A0/converse",
            ),
        ],
    )
    async def test_is_asked_in_its_own_way(
        self, judged: MakeJudged, provider: str, model: str, target: str, structured: bool
    ) -> None:
        run = judged(verdict_on)
        judge = (
            f"base_url: '{run.provider.origin}', provider: {provider}, api_key_env: JUDGE_KEY, "
            f"structured: {str(structured).lower()}"
        )
        path = run.write(judge, model=model)
        with (run.folder / ".env").open("a") as env:
            env.write("AWS_REGION=eu-central-1\n")
        report = await run.start(RunRequest(path, run_id="run"))
        assert (report.summary.total.passed, report.summary.total.failed) == (1, 1)
        assert {entry.target for entry in run.provider.books} == {target}
        assert {entry.key for entry in run.provider.books} == {KEY}
        view = read_view(load_run(report.run_dir))
        assert (view.judge.input_tokens, view.judge.output_tokens) == (200, 20)
        for entry in run.provider.books:
            assert (b"schema" in entry.body.lower()) is structured


class TestSettings:
    def spec(self, folder: Path, judge: str, proxy: str, **environ: str) -> Any:
        text = CONFIG.format(judge=judge, model="m", more="", retries=0).replace(
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

    def test_the_region_is_that_of_the_run(self, tmp_path: Path) -> None:
        proxy = "provider: bedrock, region: eu-north-1, enabled: false"
        judge = "base_url: 'https://bedrock.internal', api_key_env: BEDROCK_KEY"
        spec = self.spec(tmp_path, judge, proxy, BEDROCK_KEY="k-123456789")
        assert (spec.kind, spec.region) == ("bedrock", "eu-north-1")

    def test_a_missing_key_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="OPENAI_API_KEY is not set") as missing:
            self.spec(tmp_path, "provider: openai", "provider: scripted")
        # A replay wants no key for its agents: who it is that wants one has to be said.
        assert "for the judge, evaluator `llm_judge`" in str(missing.value)
