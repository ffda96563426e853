"""Real problems, the real ``openai`` SDK, streaming; books that must agree to the token."""

from pathlib import Path

import pytest
from gsm8k import prove
from gsm8k_replay import prove_replay


@pytest.fixture(scope="module")
def problems(shared_data: Path) -> Path:
    return shared_data / "gsm8k" / "test.jsonl"


@pytest.mark.timeout(600)
def test_process_sandbox_agrees_with_the_books(problems: Path, cache_dir: Path) -> None:
    figures = prove(problems, cases=20, kills=0, sandbox="process", cache=cache_dir, span_s=0)

    assert figures["calls"] == 20


@pytest.mark.docker
@pytest.mark.timeout(900)
def test_docker_sandbox_agrees_with_the_books(problems: Path, cache_dir: Path) -> None:
    figures = prove(problems, cases=24, kills=0, sandbox="docker", cache=cache_dir, span_s=0)

    assert figures["calls"] == 24


@pytest.mark.docker
@pytest.mark.timeout(900)
def test_killed_and_resumed_it_agrees_all_the_same(problems: Path, cache_dir: Path) -> None:
    figures = prove(
        problems, cases=16, kills=3, sandbox="docker", cache=cache_dir, span_s=15, pause_s=0.05
    )

    assert figures["cases"] == 16


@pytest.mark.timeout(600)
def test_recorded_and_replayed_it_is_the_same_to_the_token(problems: Path, cache_dir: Path) -> None:
    figures = prove_replay(problems, cases=16, kills=0, sandbox="process", cache=cache_dir)

    assert figures["provider_was_asked"] == figures["replayed"]["calls"] == 16
