"""Files of a case are beside its agent, and beside no other."""

from pathlib import Path

import case_files
import pytest
from gsm8k import Harness

EVERY = ["process", pytest.param("docker", marks=pytest.mark.docker)]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("sandbox", EVERY)
def test_each_case_finds_its_own_files_and_nothing_else(
    tmp_path: Path, cache_dir: Path, sandbox: str
) -> None:
    case_files.make_project(tmp_path)
    if sandbox == "process":  # agents run in the project there, where all files lie
        text = case_files.AGENT.replace('glob.glob("**/attached/*", recursive=True)', "[]")
        (tmp_path / "agent.py").write_text(text)
    harness = Harness(tmp_path, cache_dir)
    code, output = harness.run("run", "--run-id", "proof", "--sandbox", sandbox)
    exported = harness.export("proof")
    outcomes = {case["case_id"]: (case["outcome"], case["output"]) for case in exported["cases"]}
    assert {outcome for outcome, _ in outcomes.values()} == {"passed"}, (outcomes, output)
    assert len(outcomes) == 4
    assert code == 0


def test_a_worker_takes_no_files(tmp_path: Path, cache_dir: Path) -> None:
    case_files.make_project(tmp_path)
    config = tmp_path / "pacabench.yaml"
    config.write_text(config.read_text() + "sandbox: {isolation: worker}\n")
    code, output = Harness(tmp_path, cache_dir).run("run", "--sandbox", "process")
    assert code == 1
    assert b"`isolation: worker` does not go together with `files`" in output
