"""What two runs on disk can be compared on, and what is said beside the figures."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest

from pacabench.errors import UsageError
from pacabench.model import CaseResult, Outcome
from pacabench.report.comparison import (
    RunComparison,
    agents_in,
    compare_runs,
    datasets_in,
    export_comparison,
)
from pacabench.report.versus import comparison_view
from pacabench.report.view import RunView, read_view
from pacabench.store import RunStore, load_run
from pacabench.testing.records import fake_key, fake_manifest, fake_result

SAME = [("agent", "agent")]
Make = Callable[..., RunView]


@pytest.fixture
def run(tmp_path: Path) -> Make:
    def make(run_id: str, results: Sequence[CaseResult], **changes: Any) -> RunView:
        async def fill(store: RunStore) -> None:
            for result in results:
                await store.append_result(result)

        fields = {
            "dataset_hashes": {"data": "sha256:1"},
            "planned_cases": {"agent": {"data": len(results)}},
            **changes,
        }
        manifest = fake_manifest(run_id, **fields)
        with RunStore.create(tmp_path / "runs", manifest, "") as store:
            store.begin_session()
            asyncio.run(fill(store))
            store.end_session("finished")
        return read_view(load_run(store.run_dir))

    return make


def answers(passed: int, failed: int, **changes: Any) -> list[CaseResult]:
    outcomes = [Outcome.PASSED] * passed + [Outcome.FAILED] * failed
    return [
        fake_result(fake_key(f"case-{number}"), outcome, **changes)
        for number, outcome in enumerate(outcomes)
    ]


class TestDataSets:
    def test_that_differ_are_refused_with_both_hashes(self, run: Make) -> None:
        a = run("a", answers(2, 1))
        b = run("b", answers(2, 1), dataset_hashes={"data": "sha256:2"})
        with pytest.raises(UsageError, match="sha256:1 -> sha256:2"):
            compare_runs(a, b, SAME)

    def test_that_differ_are_matched_by_id_and_expected_answer_when_asked(self, run: Make) -> None:
        a = run("a", answers(2, 1))
        other = [*answers(1, 0), fake_result(fake_key("case-1"), expected="43")]
        b = run("b", other, dataset_hashes={"data": "sha256:2"})
        found = compare_runs(a, b, SAME, allow_different_data=True)
        assert [row.pairs for row in found.rows] == [1]
        assert any("1 case with another expected answer" in text for text in found.warnings)

    def test_of_one_run_alone_are_left_out_and_named(self, run: Make) -> None:
        more = fake_result(fake_key(dataset="more"))
        a = run("a", [*answers(1, 0), more], planned_cases={"agent": {"data": 1, "more": 1}})
        found = compare_runs(a, run("b", answers(1, 0)), SAME)
        assert [row.dataset for row in found.rows] == ["data"]
        assert any("`more` is in one run alone" in text for text in found.warnings)

    def test_without_a_case_in_common_nothing_is_compared(self, run: Make) -> None:
        with pytest.raises(UsageError, match="no judged case in common"):
            compare_runs(run("a", answers(1, 0)), run("b", answers(1, 0)), [("agent", "nobody")])


class TestWarnings:
    def test_another_evaluator_is_loud(self, run: Make) -> None:
        def config(kind: str) -> dict[str, Any]:
            return {"datasets": {"data": {"evaluator": {"type": kind}}}}

        a = run("a", answers(1, 0), config=config("contains"))
        b = run("b", answers(1, 0), config=config("exact_match"))
        found = compare_runs(a, b, SAME)
        assert any("judged by another evaluator" in text for text in found.warnings)
        assert found.differences == ["datasets.data.evaluator.type: 'contains' -> 'exact_match'"]

    def test_pending_and_lost_cases_make_it_incomplete(self, run: Make) -> None:
        a = run("a", answers(2, 0))
        lost = fake_result(fake_key("case-1"), Outcome.SANDBOX_ERROR)
        b = run("b", [*answers(1, 0), lost], planned_cases={"agent": {"data": 5}})
        found = compare_runs(a, b, SAME)
        assert not found.is_whole
        assert any("3 pending and 1 failed by infrastructure" in text for text in found.warnings)
        assert compare_runs(a, a, SAME).is_whole

    def test_nothing_is_said_where_nothing_differs(self, run: Make) -> None:
        found = compare_runs(run("a", answers(2, 1)), run("b", answers(1, 2)), SAME)
        assert (found.warnings, found.differences) == ([], [])


class TestShown:
    def found(self, run: Make) -> RunComparison:
        return compare_runs(run("old", answers(20, 0)), run("new", answers(10, 10)), SAME)

    def test_the_table_and_the_flips(self, run: Make, render: Callable[..., str]) -> None:
        text = render(comparison_view(self.found(run), limit=3))
        assert "old" in text
        assert "-50.0" in text
        assert "B is worse" in text
        assert "10 cases got worse (agent, data): case-10, case-11, case-12 and 7 more" in text

    def test_as_json(self, run: Make) -> None:
        found = orjson.loads(orjson.dumps(export_comparison(self.found(run))))
        (row,) = found["comparisons"]
        assert (row["accuracy_a"], row["accuracy_b"], row["difference"]) == (1.0, 0.5, -0.5)
        assert row["table"] == {"both": 10, "only_a": 10, "only_b": 0, "neither": 0}
        assert row["p_value"] == pytest.approx(2 / 2**10)
        assert (row["regression"], row["decided"]) == (True, True)
        assert len(row["to_failed"]) == 10
        assert (found["run_a"]["id"], found["run_b"]["id"]) == ("old", "new")

    def test_hostile_names_are_harmless(self, hostile: RunView, render: Callable[..., str]) -> None:
        (agent,), (dataset,) = agents_in(hostile), datasets_in(hostile)
        found = compare_runs(hostile, hostile, [(agent, agent)])
        assert found.rows[0].dataset == dataset
        text = render(comparison_view(found, limit=None))
        assert "\x1b" not in text
        assert "\u202e" not in text
