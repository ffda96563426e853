"""What the proxy costs: added latency, requests/s, streams, CPU, memory, against references.

    python benchmarks/proxy_overhead.py [--rounds N] [--without-litellm] [--json FILE]

In one run: straight to a fake provider, through a bare relay on aiohttp, through PacaBench's proxy
as the sidecar runs it (same process, control channel, spool, a lane's socket), and through the
proxy of LiteLLM from PyPI. The proxies share one core, load generator and provider another one.
Each round has one burst of each of them, the others stopped meanwhile, and the order changes from
round to round. Every call of ours is compared with what the proxy booked for it.
docs/performance.md says how to read the figures.
"""

import argparse
import json
import os
import platform
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from proxy_bench.contestants import (
    Contestant,
    open_bare,
    open_litellm,
    open_own,
    open_provider,
)
from proxy_bench.findings import BARE, DIRECT, OWN, Rounds, figures, goals
from proxy_bench.litellm_venv import VERSION, default_cache, ensure_litellm
from proxy_bench.processes import BenchError, free_port, two_cores
from proxy_bench.resting import Rest, measure_rest
from proxy_bench.scenarios import SCENARIOS, Burst, Generator, open_generator
from proxy_bench.tables import render_goals, render_scenario

_STARTS = 5


@contextmanager
def open_contestants(
    core: int, provider: int, litellm: Path | None
) -> Iterator[Sequence[Contestant]]:
    """Everything that is compared, each of the proxies paused."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        found = [
            Contestant(DIRECT, provider),
            stack.enter_context(open_bare(core, provider)),
            stack.enter_context(open_own(core, provider, folder)),
        ]
        if litellm is not None:
            say("starting LiteLLM")
            found.append(
                stack.enter_context(open_litellm(core, provider, folder, litellm, free_port()))
            )
        for contestant in found:
            contestant.pause()
        yield found


def measure_loads(
    generator: Generator, contestants: Sequence[Contestant], rounds: int
) -> dict[str, Rounds]:
    """Each scenario's bursts, by contestant."""
    found: dict[str, Rounds] = {}
    for scenario in SCENARIOS:
        say(scenario.name)
        bursts: dict[str, list[Burst]] = {contestant.name: [] for contestant in contestants}
        for turn in range(rounds):
            for place in range(len(contestants)):
                contestant = contestants[(place + turn) % len(contestants)]
                bursts[contestant.name].append(generator.run(scenario, contestant))
        found[scenario.name] = bursts
    return found


def measure_rests(generator: Generator, core: int, provider: int) -> dict[str, Rest]:
    """Starts and memory of the relay and of our own."""
    say("starts and memory")

    def bare(_: Path) -> Any:
        return open_bare(core, provider)

    def own(folder: Path) -> Any:
        return open_own(core, provider, folder)

    return {
        BARE: measure_rest(bare, generator, starts=_STARTS, streams=True),
        OWN: measure_rest(own, generator, starts=_STARTS, streams=True),
    }


def say(text: str) -> None:
    """Tell whoever waits."""
    print(f"... {text}", file=sys.stderr, flush=True)


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    return {
        "python": platform.python_version(),
        "aiohttp": version("aiohttp"),
        "litellm": VERSION,
        "cores": len(os.sched_getaffinity(0)),
        "load_average": os.getloadavg(),
    }


def run(rounds: int, litellm: Path | None) -> dict[str, Any]:
    """Measure everything, print the tables, return the figures."""
    load_core, proxy_core = two_cores()
    began, at_start = time.monotonic(), machine()
    with (
        open_provider(load_core) as (provider, port),
        open_generator(load_core, provider) as generator,
    ):
        rests = measure_rests(generator, proxy_core, port)
        with open_contestants(proxy_core, port, litellm) as contestants:
            loads = measure_loads(generator, contestants, rounds)
    found = {
        scenario: {name: figures(bursts, name) for name in bursts}
        for scenario, bursts in loads.items()
    }
    for scenario, its in found.items():
        print(render_scenario(scenario, its))
    promised = goals(loads, rests[OWN])
    print(render_goals(promised))
    return {
        "scenarios": found,
        "rest": {name: asdict(rest) for name, rest in rests.items()},
        "goals": [asdict(goal) | {"met": goal.met} for goal in promised],
        "rounds": rounds,
        "machine": at_start,
        "load_average_at_end": os.getloadavg(),
        "seconds": time.monotonic() - began,
    }


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--without-litellm", action="store_true")
    parser.add_argument("--cache-dir", type=Path, default=default_cache())
    parser.add_argument("--json", type=Path, help="a file for all figures")
    options = parser.parse_args()
    # So that nothing is left behind that is paused.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("proxy_overhead: told to stop"))
    try:
        litellm = None if options.without_litellm else ensure_litellm(options.cache_dir)
        found = run(options.rounds, litellm)
    except BenchError as error:
        sys.exit(f"proxy_overhead: {error}")
    if options.json is not None:
        options.json.write_text(json.dumps(found, indent=2) + "\n")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
