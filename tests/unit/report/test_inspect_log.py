"""Inspect's log, read back with Inspect's own reader where it is installed."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from pacabench.model import CaseKey, Outcome
from pacabench.report.inspect_log import inspect_chunks, inspect_name
from pacabench.report.view import RunView
from pacabench.testing.records import fake_manifest, fake_metered, fake_result

reader = pytest.mark.skipif(
    importlib.util.find_spec("inspect_ai") is None,
    reason="pip install 'pacabench[inspect]': Inspect's own reader is not here",
)


def log_of(view: RunView, **more: Any) -> dict[str, Any]:
    content = b"".join(inspect_chunks(view, view.summary.agents[0], **more))
    found: dict[str, Any] = orjson.loads(content)
    return found


class TestLog:
    def test_is_about_one_agent_on_one_data_set(self, mixed: RunView) -> None:
        log = log_of(mixed)
        assert (log["version"], log["status"]) == (2, "success")
        assert (log["eval"]["model"], log["eval"]["task"]) == ("pacabench/agent", "benchmark/data")
        assert [sample["id"] for sample in log["samples"]] == [
            "case-1", "case-2", "case-3", "case-10",
        ]  # fmt: skip

    def test_infrastructure_is_an_error_and_no_score(self, mixed: RunView) -> None:
        log = log_of(mixed)
        scores = {
            sample["id"]: sample["scores"]["evaluator"]["value"] if "scores" in sample else None
            for sample in log["samples"]
        }
        assert scores == {"case-1": "C", "case-2": "I", "case-3": None, "case-10": "I"}
        assert log["samples"][2]["error"]["message"] == "ended by provider_error"
        results = log["results"]
        assert (results["total_samples"], results["completed_samples"]) == (5, 3)
        assert results["scores"][0]["metrics"]["accuracy"]["value"] == pytest.approx(1 / 3)

    def test_questions_stand_in_it_where_they_are_known(self, mixed: RunView) -> None:
        log = log_of(mixed, questions={("data", "case-1"): "what is 6 x 7?"})
        assert log["samples"][0]["input"] == "what is 6 x 7?"
        assert log["samples"][1]["input"] == "case case-2"

    def test_an_interrupted_run_is_named_so(self, mixed: RunView) -> None:
        object.__setattr__(mixed.record, "status", "interrupted")
        log = log_of(mixed)
        assert log["status"] == "error"
        assert "resume" in log["error"]["message"]


@reader
@pytest.mark.filterwarnings("default")
class TestInspectsReader:
    @pytest.fixture
    def read(self, tmp_path: Path) -> Callable[[RunView], Any]:
        def read(view: RunView) -> Any:
            from inspect_ai.log import list_eval_logs, read_eval_log  # noqa: PLC0415

            summary = view.summary.agents[0]
            path = tmp_path / "logs" / inspect_name(view, summary)
            path.parent.mkdir()
            path.write_bytes(b"".join(inspect_chunks(view, summary)))
            (listed,) = list_eval_logs(str(path.parent))
            assert Path(listed.name.removeprefix("file://")) == path
            header = read_eval_log(str(path), header_only=True)
            assert header.samples is None
            assert header.results is not None
            return read_eval_log(str(path))

        return read

    def test_takes_everything(self, mixed: RunView, read: Callable[[RunView], Any]) -> None:
        log = read(mixed)
        assert log.status == "success"
        assert log.eval.model == "pacabench/agent"
        assert log.results.scores[0].metrics["accuracy"].value == pytest.approx(1 / 3)
        first = log.samples[0]
        assert (first.output.completion, first.target) == ("42", "42")
        assert first.scores["evaluator"].value == "C"
        assert first.model_usage["pacabench/agent"].total_tokens == 107
        assert first.model_usage["pacabench/agent"].total_cost == 0.25
        assert log.samples[2].error.message == "ended by provider_error"
        assert log.stats.model_usage["pacabench/agent"].input_tokens == 180

    def test_takes_epochs_lists_and_hostile_text(
        self,
        make_view: Callable[..., RunView],
        read: Callable[[RunView], Any],
        evil: str,
    ) -> None:
        results = [
            fake_result(
                CaseKey("agent", "data", evil, epoch),
                Outcome.FAILED if epoch == 2 else Outcome.PASSED,
                output={"text": evil},
                expected=[evil, 1],
            )
            for epoch in (1, 2)
        ]
        manifest = fake_manifest(
            config={"epochs": 2, "datasets": {"data": {"evaluator": {"type": "contains"}}}},
            planned_cases={"agent": {"data": 2}},
        )
        view = make_view(results, [fake_metered(results[0], None)], manifest)
        log = read(view)
        assert (log.eval.config.epochs, log.eval.dataset.samples) == (2, 1)
        assert [(sample.id, sample.epoch) for sample in log.samples] == [(evil, 1), (evil, 2)]
        assert log.samples[0].target == [evil, "1"]
        assert log.samples[1].scores["contains"].value == "I"
