"""What tests of every kind share: is there an engine, where caches lie, what was left running."""

import functools
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import docker
import hypothesis
import psutil
import pytest

# Machines that build are shared and disks sync slowly: a time limit per example only makes flakes.
hypothesis.settings.register_profile("pacabench", deadline=None)
hypothesis.settings.load_profile("pacabench")

REPOSITORY = Path(__file__).parent.parent


@functools.cache
def engine_problem() -> str | None:
    """Why no test can use a Docker Engine, or None.

    Asked in a process of its own: docker-py leaves a socket open when nobody answers.
    """
    ask = "import docker; docker.from_env(timeout=20).close()"
    asked = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=False)
    if asked.returncode == 0:
        return None
    return f"no Docker Engine answers: {asked.stderr.strip().splitlines()[-1]}"


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what needs an engine where there is none; where one is promised, fail instead."""
    if item.get_closest_marker("docker") is None:
        return
    problem = engine_problem()
    if problem is None:
        return
    if os.environ.get("PACABENCH_TESTS_REQUIRE_DOCKER"):
        pytest.fail(problem)
    pytest.skip(problem)


@pytest.fixture(scope="session")
def cache_dir() -> Path:
    """Wheels and environments, kept between test runs and shared by workers."""
    path = REPOSITORY / ".pacabench" / "test-cache"
    path.mkdir(parents=True, exist_ok=True)
    return path


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real data sets that are not part of the repository."""
    path = REPOSITORY.parent / "shared" / "data"
    if not path.is_dir():
        pytest.skip(f"the real data sets are not here: {path}")
    return path


@pytest.fixture
def left_running() -> Callable[[str], int]:
    """Counts containers of a run, and agents among this process's children."""

    def count(run_id: str) -> int:
        children = psutil.Process().children(recursive=True)
        agents = sum("agent" in " ".join(_command(child)) for child in children)
        if engine_problem() is not None:
            return agents
        client = docker.from_env(timeout=60)
        try:
            filters = {"label": f"pacabench.run={run_id}"}
            return agents + len(client.api.containers(all=True, filters=filters))
        finally:
            client.close()

    return count


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []
