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
        assert [row.datasets for row in found.rows] == [["data"]]
        assert any("`more` is in one run alone" in text for text in found.warnings)

    def test_without_a_case_in_common_nothing_is_compared(self, run: Make) -> None:
        with pytest.raises(UsageError, match="no judged case in common"):
            compare_runs(run("a", answers(1, 0)), run("b", answers(1, 0)), [("agent", "nobody")])


def in_sets(**cells: tuple[int, int]) -> dict[str, Any]:
    """``run``'s results and changes: of each data set so many cases that passed and failed."""
    results = [
        fake_result(fake_key(f"case-{number}", dataset=dataset), outcome)
        for dataset, (passed, failed) in cells.items()
        for number, outcome in enumerate([Outcome.PASSED] * passed + [Outcome.FAILED] * failed)
    ]
    return {
        "results": results,
        "dataset_hashes": dict.fromkeys(cells, "sha256:1"),
        "planned_cases": {"agent": {dataset: sum(cell) for dataset, cell in cells.items()}},
    }


class TestAllDataSetsTogether:
    def found(self, run: Make, agents: Sequence[tuple[str, str]] = SAME) -> RunComparison:
        a = run("a", **in_sets(x=(10, 0), y=(10, 0), z=(9, 1)))
        b = run("b", **in_sets(x=(7, 3), y=(7, 3), z=(6, 4)))
        return compare_runs(a, b, agents)

    def test_are_a_regression_where_each_alone_is_none(self, run: Make) -> None:
        found = self.found(run)
        assert [row.is_regression for row in found.rows] == [False] * 3
        (pool,) = found.pools
        assert (pool.pairs, pool.p_value) == (30, pytest.approx(2 / 2**9))
        assert found.regressions == [pool]

    def test_are_compared_once_for_agents_that_are_named_twice(self, run: Make) -> None:
        found = self.found(run, [*SAME, *SAME])
        assert [pool.pairs for pool in found.pools] == [30]
        assert len(found.rows) == 3

    def test_are_nothing_new_where_there_is_one_with_pairs(self, run: Make) -> None:
        a, b = run("a", **in_sets(x=(2, 0), y=(2, 0))), run("b", **in_sets(x=(2, 0), y=(0, 0)))
        assert compare_runs(a, a, SAME, ["x"]).pools == []
        found = compare_runs(a, b, SAME)
        assert ([row.datasets for row in found.rows], found.pools) == ([["x"]], [])

    def test_that_differ_are_refused_or_pooled_without_the_cases_that_changed(
        self, run: Make
    ) -> None:
        fields = in_sets(x=(2, 0), y=(2, 0))
        other = [fake_result(fake_key("case-1", dataset="y"), expected="43"), *fields["results"]]
        hashes = {"x": "sha256:1", "y": "sha256:2"}
        a = run("a", **fields)
        b = run("b", **{**fields, "results": other[:-1], "dataset_hashes": hashes})
        with pytest.raises(UsageError, match="did not run on the same data"):
            compare_runs(a, b, SAME)
        found = compare_runs(a, b, SAME, allow_different_data=True)
        assert [row.pairs for row in (*found.rows, *found.pools)] == [2, 1, 3]

    def test_are_the_last_row_of_the_table(self, run: Make, render: Callable[..., str]) -> None:
        text = render(comparison_view(self.found(run), limit=3))
        (row,) = [line for line in text.splitlines() if "all (3)" in line]
        assert row.split()[:7] == ["agent", "all", "(3)", "30", "96.7%", "66.7%", "-30.0"]
        assert "B is worse" in row
        assert "each case counting alike" in text
        assert text.count("got worse") == 3  # by data set, not once more

    def test_stand_apart_in_the_json(self, run: Make) -> None:
        found = orjson.loads(orjson.dumps(export_comparison(self.found(run))))
        assert [row["dataset"] for row in found["comparisons"]] == ["x", "y", "z"]
        (pool,) = found["pooled"]
        assert (pool["datasets"], pool["pairs"], pool["regression"]) == (["x", "y", "z"], 30, True)
        assert pool["table"] == {"both": 20, "only_a": 9, "only_b": 0, "neither": 1}
        assert pool["to_failed"][3] == {"dataset": "y", "case_id": "case-7"}
        single = found["comparisons"][0]
        assert pool.keys() - single.keys() == {"datasets"}
        assert single.keys() - pool.keys() == {"dataset"}


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
        assert found.rows[0].datasets == [dataset]
        text = render(comparison_view(found, limit=None))
        assert "\x1b" not in text
        assert "\u202e" not in text
