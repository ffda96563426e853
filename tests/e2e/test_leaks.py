"""The leaks benchmark: a bounded run of it is flat, and it sees what is not."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "leaks.py"


@pytest.fixture(scope="module")
def leaks() -> ModuleType:
    """The benchmark as a module."""
    spec = importlib.util.spec_from_file_location("leaks_benchmark", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def verdicts(leaks: Any, name: str, values: list[float]) -> dict[str, bool]:
    """Whether each figure is flat, for one sample every 50 cases."""
    samples = [leaks.Sample(50 * n, {name: value}) for n, value in enumerate(values, 1)]
    return {verdict.name: verdict.flat for verdict in leaks.judge(samples, alone=True)}


@pytest.mark.parametrize("name", ["containers", "harness fds", "sidecar fds", "engine fds"])
def test_one_that_stays_behind_in_fifty_cases_is_seen(leaks: Any, name: str) -> None:
    assert verdicts(leaks, name, [90.0 + n for n in range(20)]) == {name: False}


def test_memory_that_grows_by_ten_kilobytes_a_case_is_seen(leaks: Any) -> None:
    assert verdicts(leaks, "harness memory", [90 + 0.5 * n for n in range(20)]) == {
        "harness memory": False
    }


def test_warm_up_and_outliers_are_no_leak(leaks: Any) -> None:
    values = [60.0, 75.0, 88.0, 95.0, *([99.0, 101.0, 130.0, 100.0] * 4)]
    assert verdicts(leaks, "harness fds", values) == {"harness fds": True}


@pytest.mark.docker
@pytest.mark.timeout(300)
def test_sixty_cases_leave_everything_flat(cache_dir: Path) -> None:
    """`make leaks` runs a thousand."""
    done = subprocess.run(
        [sys.executable, SCRIPT, "--cases", "60", "--every", "6", "--cache", cache_dir],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "| growth |" in done.stdout
