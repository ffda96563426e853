"""Agents of a harness that was killed are found and ended, wherever they moved to."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from pacabench.owner import current_owner
from pacabench.sandbox.orphans import MARK, make_home, mark, remove_orphans

HARNESS = """
import os, subprocess, sys, time
from pacabench.owner import current_owner
from pacabench.sandbox.orphans import MARK, make_home, mark
owner = current_owner()
home = make_home(owner)
agent = subprocess.Popen(
    ["sh", "-c", "sleep 300 & setsid sleep 300 & wait"],
    env={**os.environ, MARK: mark(owner)}, start_new_session=True)
print(home, flush=True)
time.sleep(300)
"""


def marked(owner_mark: str) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == owner_mark:
                found.append(process)
        except psutil.Error:
            continue
    return found


@pytest.fixture
def dead_harness() -> Iterator[tuple[Path, str]]:
    harness = subprocess.Popen([sys.executable, "-c", HARNESS], stdout=subprocess.PIPE, text=True)
    assert harness.stdout is not None
    home = Path(harness.stdout.readline().strip())
    owner_mark = "_".join(home.name.removeprefix("pacabench-home-").split("_")[:2])
    while len(marked(owner_mark)) < 3:
        time.sleep(0.01)
    harness.send_signal(signal.SIGKILL)
    harness.wait()
    harness.stdout.close()
    yield home, owner_mark
    for process in marked(owner_mark):
        process.kill()


def test_orphans_and_their_homes_go(dead_harness: tuple[Path, str]) -> None:
    home, owner_mark = dead_harness
    assert home.is_dir()
    assert len(marked(owner_mark)) == 3

    remove_orphans()

    deadline = time.monotonic() + 5
    while marked(owner_mark) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert marked(owner_mark) == []
    assert not home.exists()


def test_what_a_live_harness_holds_is_left_alone() -> None:
    owner = current_owner()
    home = make_home(owner)
    agent = subprocess.Popen(["sleep", "60"], env={**os.environ, MARK: mark(owner)})
    try:
        remove_orphans()
        assert agent.poll() is None
        assert home.is_dir()
    finally:
        agent.kill()
        agent.wait()
        home.rmdir()


def test_names_that_are_not_ours_are_left_alone(tmp_path: Path) -> None:
    agent = subprocess.Popen(["sleep", "60"], env={**os.environ, MARK: "not_a_mark"})
    try:
        remove_orphans()
        assert agent.poll() is None
    finally:
        agent.kill()
        agent.wait()
