"""Which directory, which run."""

from pathlib import Path

import pytest

from pacabench.cli.runs import find, locate_runs, name_for, newest_unfinished
from pacabench.errors import ConfigError, RunNotFoundError
from pacabench.model import Outcome
from pacabench.store import Manifest, RunStore, SandboxRecord

CONFIG = """\
name: n
agents: [{name: a, command: c}]
datasets: [{name: d, source: d.jsonl}]
output: {directory: kept}
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def make(runs_dir: Path, run_id: str, *, started: str, ended: str | None) -> None:
    manifest = Manifest(
        run_id=run_id,
        name="n",
        started=started,
        package_version="0",
        python="3",
        platform="p",
        sandbox=SandboxRecord(kind="process"),
    )
    with RunStore.create(runs_dir, manifest, CONFIG) as store:
        store.begin_session()
        if ended is not None:
            store.end_session(ended)  # type: ignore[arg-type]


class TestWhere:
    def test_what_was_given_wins(self, here: Path) -> None:
        (here / "pacabench.yaml").write_text(CONFIG)
        assert locate_runs(Path("x"), None) == here / "x"

    def test_then_what_the_configuration_says(self, here: Path) -> None:
        (here / "pacabench.yaml").write_text(CONFIG)
        assert locate_runs(None, None) == here / "kept"
        (here / "sub").mkdir()
        (here / "sub" / "other.yaml").write_text(CONFIG)
        assert locate_runs(None, Path("sub/other.yaml")) == here / "sub" / "kept"

    def test_then_runs(self, here: Path) -> None:
        assert locate_runs(None, None) == here / "runs"

    def test_a_broken_one_is_passed_over_with_a_warning_unless_it_was_named(
        self, here: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (here / "pacabench.yaml").write_text("name: [")
        assert locate_runs(None, None) == here / "runs"
        assert capsys.readouterr().err.startswith("warning: ")
        with pytest.raises(ConfigError):
            locate_runs(None, Path("pacabench.yaml"))


class TestNewestUnfinished:
    def test_finished_ones_are_passed_over(self, here: Path) -> None:
        make(here, "old", started="2026-01-01T00:00:00Z", ended="stopped")
        make(here, "new", started="2026-01-03T00:00:00Z", ended="stopped")
        make(here, "done", started="2026-01-04T00:00:00Z", ended="finished")
        assert newest_unfinished(here).run_id == "new"

    def test_one_with_cases_that_the_infrastructure_failed_is_none_that_is_done(
        self, here: Path
    ) -> None:
        make(here, "old", started="2026-01-01T00:00:00Z", ended="stopped")
        make(here, "lost", started="2026-01-02T00:00:00Z", ended="finished")
        with RunStore.open(here / "lost") as store:
            store.update_manifest(outcomes={Outcome.PASSED: 9, Outcome.PROVIDER_ERROR: 1})
        make(here, "done", started="2026-01-03T00:00:00Z", ended="finished")
        with RunStore.open(here / "done") as store:
            store.update_manifest(outcomes={Outcome.PASSED: 9, Outcome.TIMEOUT: 1})
        assert newest_unfinished(here).run_id == "lost"

    def test_one_that_is_held_is_nobody_elses(self, here: Path) -> None:
        make(here, "held", started="2026-01-01T00:00:00Z", ended="stopped")
        with RunStore.open(here / "held") as store:
            store.begin_session()
            with pytest.raises(RunNotFoundError, match="has a harness at work"):
                newest_unfinished(here)

    def test_none(self, here: Path) -> None:
        with pytest.raises(RunNotFoundError, match="is unfinished"):
            newest_unfinished(here / "nowhere")


class TestFind:
    def test_by_part_or_by_path(self, here: Path) -> None:
        make(here / "kept", "night-1", started="2026-01-01T00:00:00Z", ended="finished")
        expected = here / "kept" / "night-1"
        assert find("ght-1", here / "kept") == expected
        assert find("kept/night-1", here / "elsewhere") == expected
        assert find(f"{expected}/", here / "elsewhere") == expected

    def test_a_path_to_something_else_is_no_run(self, here: Path) -> None:
        (here / "folder").mkdir()
        with pytest.raises(RunNotFoundError):
            find("./folder", here)


class TestName:
    def test_the_id_is_enough_where_show_looks_by_itself(self, here: Path) -> None:
        assert name_for(here / "runs" / "r1") == "r1"
        (here / "pacabench.yaml").write_text(CONFIG)
        assert name_for(here / "kept" / "r1") == "r1"

    def test_elsewhere_it_is_the_path_ready_for_a_shell(self, here: Path) -> None:
        assert name_for(here / "my runs" / "r1") == f"'{here}/my runs/r1'"
