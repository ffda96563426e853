"""What a proxy takes before it does anything: time to its first answer, memory at rest."""

import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from proxy_bench.contestants import Contestant
from proxy_bench.processes import rss_mb
from proxy_bench.scenarios import Generator

STREAMS = 500
Open = Callable[[Path], AbstractContextManager[Contestant]]


@dataclass(frozen=True)
class Rest:
    """Of one contestant, medians over its starts."""

    first_answer_s: float
    """From the start of its process to the end of a first good reply."""
    idle_mb: float
    streams_mb: float | None
    """With ``STREAMS`` streams open that bring nothing; None: not measured."""


def measure_rest(open_one: Open, generator: Generator, *, starts: int, streams: bool) -> Rest:
    """Start a fresh one several times, and look at it."""
    first, idle, busy = [], [], []
    for _ in range(starts):
        with tempfile.TemporaryDirectory() as folder:
            began = time.monotonic()
            with open_one(Path(folder)) as contestant:
                generator.ask_once(contestant)
                first.append(time.monotonic() - began)
                idle.append(_rss(contestant.process))
                if streams:
                    generator.hold(contestant, STREAMS)
                    busy.append(_rss(contestant.process))
                    generator.let_go()
    return Rest(
        statistics.median(first),
        statistics.median(idle),
        statistics.median(busy) if busy else None,
    )


def _rss(process: subprocess.Popen[bytes] | None) -> float:
    assert process is not None
    return rss_mb(process.pid)
