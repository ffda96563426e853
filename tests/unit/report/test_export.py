"""The export's schema: names, types and sums as docs/export.md promises them."""

from collections.abc import Callable
from typing import Any

import orjson
import pytest

from pacabench.report.egress import MAX_TARGETS
from pacabench.report.export import export_chunks, export_run, export_runs
from pacabench.report.view import RunView
from pacabench.store import list_runs
from pacabench.testing.records import fake_egress, fake_metered, fake_result

RUN = {
    "id", "name", "description", "version", "author", "status", "started", "finished", "sandbox",
    "engine", "sandbox_profiles", "sandbox_weaknesses", "image_digests", "dataset_hashes",
    "dataset_revisions", "judge",
    "agent_fingerprints", "config_fingerprint", "audit", "decision", "scores",
    "package_version", "python", "platform", "prices_version", "providers", "scripted", "sessions",
    "cassette", "budget",
}  # fmt: skip
USAGE = {
    "calls", "input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens", "cost_usd",
    "cost_incomplete", "uncounted_calls", "unpriced_calls", "estimated_calls", "replayed_calls",
    "other_model_calls",
}  # fmt: skip
AGENT = USAGE | {
    "name", "dataset", "cases", "passed", "failed", "infrastructure", "pending", "outcomes",
    "accuracy", "latency_p50_ms", "latency_p95_ms", "attempts", "scripted_calls", "failed_calls",
    "denied_calls", "sandbox_profile", "sdk_retries", "accuracy_ci95", "repeats", "per_case",
    "cost_per_pass_usd", "not_run", "attempts_cut_short",
    "unmatched_calls",
}  # fmt: skip
CASE = USAGE | {
    "agent", "dataset", "case_id", "epoch", "outcome", "passed", "score", "output", "expected",
    "error", "attempts", "duration_ms", "ttft_ms", "provider_wait_ms",
    "egress", "left", "left_out",
}  # fmt: skip


def parsed(view: RunView, *, include_cases: bool) -> dict[str, Any]:
    text = b"".join(export_chunks(view, include_cases=include_cases))
    assert text.endswith(b"}\n")
    export: dict[str, Any] = orjson.loads(text)
    return export


class TestSchema:
    def test_has_exactly_the_documented_names(self, mixed: RunView) -> None:
        export = export_run(mixed, include_cases=True)
        assert list(export) == ["schema_version", "run", "agents", "cases"]
        assert set(export["run"]) == RUN
        assert all(set(agent) == AGENT for agent in export["agents"])
        assert all(set(case) == CASE for case in export["cases"])

    def test_leaves_cases_out_unless_asked(self, mixed: RunView) -> None:
        assert "cases" not in export_run(mixed, include_cases=False)

    @pytest.mark.parametrize("include_cases", [True, False])
    def test_piece_by_piece_is_the_same(self, mixed: RunView, include_cases: bool) -> None:
        whole = export_run(mixed, include_cases=include_cases)
        assert parsed(mixed, include_cases=include_cases) == whole

    def test_a_run_without_results_is_valid_too(self, make_view: Callable[..., RunView]) -> None:
        export = parsed(make_view([]), include_cases=True)
        assert export["cases"] == []
        assert export["agents"] == []


class TestFigures:
    def test_of_the_run(self, mixed: RunView) -> None:
        run = export_run(mixed, include_cases=False)["run"]
        assert (run["id"], run["status"]) == ("run-1", "finished")
        assert (run["sandbox"], run["engine"]) == ("docker", "Docker 20.10.24")
        assert run["image_digests"] == {"agent": "sha256:1"}
        assert run["dataset_hashes"] == {"data": "sha256:abc"}
        assert run["providers"] == [{"name": "openai", "kind": "openai"}]

    def test_of_an_agent(self, mixed: RunView) -> None:
        agent, other = export_run(mixed, include_cases=False)["agents"]
        expected = {
            "name": "agent", "dataset": "data", "cases": 5, "passed": 1, "failed": 2,
            "infrastructure": 1, "pending": 1, "attempts": 5, "accuracy": 1 / 3,
            "outcomes": {"passed": 1, "failed": 1, "timeout": 1, "provider_error": 1},
            "latency_p50_ms": 300.0, "calls": 3, "input_tokens": 300, "output_tokens": 21,
            "cached_tokens": 120, "reasoning_tokens": 9, "cost_usd": 0.75,
            "cost_incomplete": False, "uncounted_calls": 0, "unpriced_calls": 0,
            "estimated_calls": 0, "other_model_calls": 0, "attempts_cut_short": 0,
            "failed_calls": 1, "denied_calls": 0, "scripted_calls": 0, "sdk_retries": 0,
            "replayed_calls": 0, "unmatched_calls": 0,
        }  # fmt: skip
        assert {name: agent[name] for name in expected} == expected
        assert agent["latency_p95_ms"] == pytest.approx(300 + (61_000 - 300) * 0.9)
        assert agent["accuracy_ci95"] == pytest.approx([0.0615, 0.7923], abs=1e-4)
        assert agent["cost_per_pass_usd"] == 0.75
        assert agent["per_case"]["ttft_ms"] == {
            "count": 2,
            "p50": 11.25,
            "p95": 12.375,
            "mean": 11.25,
        }
        assert agent["per_case"]["cost_usd"]["mean"] == 0.25
        assert agent["repeats"] is None
        assert (other["calls"], other["input_tokens"], other["cost_usd"]) == (1, None, None)
        assert (other["uncounted_calls"], other["cost_incomplete"]) == (1, True)

    def test_of_a_case(self, mixed: RunView) -> None:
        cases = {
            (case["agent"], case["case_id"]): case
            for case in export_run(mixed, include_cases=True)["cases"]
        }
        assert cases["agent", "case-1"] == {
            "agent": "agent", "dataset": "data", "case_id": "case-1", "epoch": 1,
            "outcome": "passed", "passed": True, "score": 1.0, "output": "42", "expected": "42",
            "error": None, "attempts": 1, "duration_ms": 100.0, "provider_wait_ms": None,
            "ttft_ms": 12.5, "calls": 1,
            "input_tokens": 100, "output_tokens": 7, "cached_tokens": 40, "reasoning_tokens": 3,
            "cost_usd": 0.25, "cost_incomplete": False, "uncounted_calls": 0, "unpriced_calls": 0,
            "egress": cases["agent", "case-1"]["egress"],  # below
            "left": None, "left_out": [],
            "estimated_calls": 0, "replayed_calls": 0, "other_model_calls": 0,
        }  # fmt: skip
        wrong = cases["agent", "case-2"]
        assert (wrong["outcome"], wrong["attempts"], wrong["calls"]) == ("failed", 2, 2)
        timeout = cases["agent", "case-10"]
        assert (timeout["score"], timeout["error"]) == (None, "ended by timeout")

    def test_cases_come_in_an_order_that_does_not_depend_on_who_was_faster(
        self, mixed: RunView
    ) -> None:
        cases = export_run(mixed, include_cases=True)["cases"]
        assert [(case["agent"], case["case_id"]) for case in cases] == [
            ("agent", "case-1"), ("agent", "case-2"), ("agent", "case-3"), ("agent", "case-10"),
            ("other", "case-1"),
        ]  # fmt: skip

    def test_scripted_answers_are_named_as_what_they_are(
        self, make_view: Callable[..., RunView]
    ) -> None:
        result = fake_result()
        view = make_view([result], [fake_metered(result, None, provider="scripted")])
        export = export_run(view, include_cases=False)
        assert export["run"]["scripted"] is True
        assert export["agents"][0]["scripted_calls"] == 1
        assert export["agents"][0]["cost_usd"] is None


class TestHostileContent:
    def test_comes_back_byte_for_byte_in_valid_json(self, hostile: RunView, evil: str) -> None:
        export = parsed(hostile, include_cases=True)
        assert export["run"]["name"] == evil
        assert export["cases"][0]["output"] == {evil: [evil]}
        assert export["agents"][0]["name"] == evil

    @pytest.mark.parametrize(
        "output", [float("inf"), float("nan"), "\ud800", 2**80, {"a": [float("-inf")]}]
    )
    def test_what_json_cannot_hold_breaks_nothing(
        self, make_view: Callable[..., RunView], output: Any
    ) -> None:
        view = make_view([fake_result(output=output)])
        text = b"".join(export_chunks(view, include_cases=True))
        assert orjson.loads(text)["cases"][0]["passed"] is True

    def test_deep_answers_can_be_exported(self, make_view: Callable[..., RunView]) -> None:
        output: Any = 1
        for _ in range(190):
            output = [output]
        view = make_view([fake_result(output=output)])
        assert parsed(view, include_cases=True)["cases"][0]["output"] == output


class TestRuns:
    def test_lists_what_can_be_read_and_what_cannot(self, mixed: RunView) -> None:
        runs_dir = mixed.record.run_dir.parent
        (runs_dir / "broken").mkdir()
        (runs_dir / "broken" / "run.json").write_text("{")
        first, second = export_runs(*list_runs(runs_dir))
        assert first["id"] == "run-1"
        assert first["status"] == "finished"
        assert second["id"] == "broken"
        assert "cannot be read" in second["problem"]


class TestEgress:
    def test_is_added_up_over_all_attempts_at_a_case(self, mixed: RunView) -> None:
        cases = {
            (case["agent"], case["case_id"]): case["egress"]
            for case in export_run(mixed, include_cases=True)["cases"]
        }
        none = {"allowed": 0, "denied": 0, "failed": 0, "bytes_up": 0, "bytes_down": 0}
        sums = {"bytes_up": 2001, "bytes_down": 150_000}
        assert cases["agent", "case-2"] == {
            "allowed": 1,
            "denied": 8,
            "failed": 0,
            **sums,
            "targets": [
                {
                    "host": "en.wikipedia.org",
                    "port": 443,
                    **none,
                    "allowed": 1,
                    "bytes_up": 1,
                    "bytes_down": 50_000,
                },
                {
                    "host": "evil.example",
                    "port": 443,
                    **none,
                    "denied": 1,
                    "bytes_up": 1000,
                    "bytes_down": 50_000,
                },
            ],
        }
        assert cases["agent", "case-1"]["bytes_down"] == 200
        assert cases["other", "case-1"] is None

    def test_has_figures_for_so_many_targets_and_a_sum_of_all(
        self, make_view: Callable[..., RunView]
    ) -> None:
        result = fake_result()
        ways = [fake_egress(result, host=f"h{number}.example") for number in range(MAX_TARGETS + 5)]
        view = make_view([result], egress=[*ways, ways[0]])
        (case,) = export_run(view, include_cases=True)["cases"]
        assert case["egress"]["allowed"] == MAX_TARGETS + 6
        assert len(case["egress"]["targets"]) == MAX_TARGETS
        assert case["egress"]["targets"][0]["allowed"] == 2
