"""A bounded sample of the soak: every step once, every victim once, real containers."""

import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from faults.engines import Engine, cannot_be_made, open_private_engine, save_images
from faults.episode import Ended, Episode, Ground, environment
from faults.kills import Kill, Victim, every_step
from faults.project import make_project
from faults.provider import open_books
from faults.steps import Step

pytestmark = pytest.mark.timeout(300)  # images may have to be built

Play = Callable[..., Ended]


@pytest.fixture
def play(tmp_path: Path, cache_dir: Path) -> Play:
    def go(name: str, kills: Sequence[Kill], engine: Engine | None, cases: int) -> Ended:
        ground = Ground(tmp_path, engine, cache_dir, cases=cases, concurrency=2)
        with open_books(engine.namespace_of if engine is not None else None) as books:
            return Episode(f"{name}-{os.getpid()}", kills, ground, books).play()

    return go


def assert_whole(ended: Ended, kills: Sequence[Kill]) -> None:
    assert ended.violations == []
    assert [hit.kill for hit in ended.done] == list(kills)
    assert all(hit.in_flight for hit in ended.done if hit.kill.step is Step.AT_PROVIDER)


STEPS = every_step("process")


@pytest.mark.parametrize("part", range(3))
def test_killed_at_every_step_a_run_of_processes_comes_to_its_end(play: Play, part: int) -> None:
    """One kill per session: each of them is resumed into the next."""
    each = len(STEPS) // 3 + 1
    kills = STEPS[part * each :][:each]
    assert_whole(play("steps", kills, None, cases=len(kills) + 2), kills)


@pytest.mark.docker
def test_whoever_is_killed_nothing_is_lost_or_repeated(play: Play) -> None:
    kills = [
        Kill(Victim.AGENT, Step.SENT),
        Kill(Victim.HOLDER, Step.AT_PROVIDER),
        Kill(Victim.SIDECAR, Step.CALL_WRITTEN),
        Kill(Victim.HARNESS, Step.AT_PROVIDER),
    ]
    ended = play("victims", kills, Engine(), cases=8)
    assert_whole(ended, kills)


@pytest.mark.docker
def test_a_killed_dockerd_costs_attempts_and_no_more(
    play: Play, tmp_path: Path, cache_dir: Path
) -> None:
    """Then the harness is killed as it clears up, and behind its last case: here nobody else does.

    With live-restore: without, a restart takes another 10 s. The soak has both.
    """
    if (problem := cannot_be_made()) is not None:
        pytest.skip(problem)
    project = make_project(tmp_path / "images", "http://127.0.0.1:9", cases=1, concurrency=1)
    save_images(project.path, environment(cache_dir), tmp_path / "images.tar")
    kills = [
        Kill(Victim.ENGINE, Step.SENT),
        Kill(Victim.ENGINE, Step.AT_PROVIDER, nth=2),
        Kill(Victim.HARNESS, Step.AT_PROVIDER),
        Kill(Victim.HARNESS, Step.SPOOL_SAVED),
        Kill(Victim.HARNESS, Step.SIDECAR_LEAVES),
    ]
    with (
        tempfile.TemporaryDirectory(prefix="pbf-") as folder,
        open_private_engine(Path(folder), live_restore=True) as engine,
    ):
        engine.load(tmp_path / "images.tar")
        assert_whole(play("engine", kills, engine, cases=8), kills)
