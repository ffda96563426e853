"""Time in which the process stood still counts for no deadline."""

import asyncio
import os
import signal
import subprocess
import sys
import time

import pytest

from pacabench.standstill import LateClock, StandstillLoop


class Hands:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def hands() -> Hands:
    return Hands()


class TestLateClock:
    def test_a_sleep_that_was_asked_for_counts(self, hands: Hands) -> None:
        clock = LateClock(hands)
        hands.now += 40
        assert clock.read(40) == 1040
        hands.now += 500
        assert clock.read(None) == 1540
        assert clock.stood_still_s == 0

    def test_a_wake_up_that_is_a_little_late_counts_too(self, hands: Hands) -> None:
        clock = LateClock(hands)
        hands.now += 0.9
        assert clock.read() == 1000.9

    def test_a_standstill_does_not_and_is_told(self, hands: Hands) -> None:
        clock, told = LateClock(hands), list[float]()
        clock.on_standstill = told.append
        hands.now += 3605
        assert clock.read(5) == pytest.approx(1005)
        hands.now += 2
        assert clock.read(2) == pytest.approx(1007)
        assert told == [3600]

    def test_it_never_goes_back(self, hands: Hands) -> None:
        clock, last = LateClock(hands), 0.0
        for step in (0.1, 7, 0, 0.5, 30, 1.0, 1.1, 0.0):
            hands.now += step
            now = clock.read()
            assert now >= last
            last = now


CODE = """
import asyncio, sys
from pacabench.standstill import StandstillLoop

async def main():
    loop = asyncio.get_running_loop()
    print("ready", flush=True)
    try:
        async with asyncio.timeout(4):
            line = await loop.run_in_executor(None, sys.stdin.readline)
            print("heard", line.strip(), f"{loop.clock.stood_still_s:.0f}")
    except TimeoutError:
        print("timed out")

with asyncio.Runner(loop_factory=StandstillLoop) as runner:
    runner.run(main())
"""


def test_what_came_while_the_process_was_stopped_is_heard_before_any_deadline() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", CODE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stdin is not None
        assert child.stdout.readline() == "ready\n"
        os.kill(child.pid, signal.SIGSTOP)
        child.stdin.write("answer\n")
        child.stdin.flush()
        time.sleep(6)
        os.kill(child.pid, signal.SIGCONT)
        said = child.stdout.read().split()
    assert said[:2] == ["heard", "answer"]
    assert int(said[2]) >= 4


def test_a_deadline_of_time_that_ran_is_kept() -> None:
    async def main() -> float:
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await asyncio.Event().wait()
        return time.monotonic() - began

    with asyncio.Runner(loop_factory=StandstillLoop) as runner:
        assert 0.2 <= runner.run(main()) < 5
