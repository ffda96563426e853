"""The time in which at least one call waits."""

import pytest

from pacabench.proxy import waits
from pacabench.proxy.waits import WaitClock


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    clock = [100.0]
    monkeypatch.setattr(waits.time, "perf_counter", lambda: clock[0])
    return clock


def test_calls_that_overlap_count_once(now: list[float]) -> None:
    seen: list[tuple[bool, float]] = []
    clock = WaitClock(lambda *change: seen.append(change))
    clock.enter()
    now[0] += 2
    clock.enter()
    now[0] += 3
    clock.leave()
    now[0] += 1
    assert clock.total_ms == 6000
    clock.leave()
    now[0] += 10
    clock.enter()
    now[0] += 1
    clock.leave()
    assert clock.total_ms == 7000
    assert seen == [(True, 0), (False, 6000), (True, 6000), (False, 7000)]
