"""HumanEval's own tests, run on answers in containers; hostile answers among them."""

import json
from pathlib import Path

import humaneval
import pytest
from gsm8k import Harness

pytestmark = [pytest.mark.docker, pytest.mark.timeout(600)]


def test_verdicts_are_those_of_the_published_solutions(tmp_path: Path, cache_dir: Path) -> None:
    expected = humaneval.make_project(tmp_path, cases=16, concurrency=2, limit=30)
    harness = Harness(tmp_path, cache_dir)
    code, output = harness.run("run", "--run-id", "proof", "--sandbox", "docker")
    assert code == 0, output.decode(errors="replace")
    exported = harness.export("proof")
    verdicts = {case["case_id"]: case["passed"] for case in exported["cases"]}
    assert verdicts == expected
    assert {case["outcome"] for case in exported["cases"]} == {"passed", "failed"}
    manifest = json.loads((tmp_path / "runs" / "proof" / "run.json").read_text())
    kept = manifest["sandbox"]["profiles"]["evaluator of humaneval"]
    assert kept["profile"] == "strict"
