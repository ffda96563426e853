"""What hardening costs: cases/s with profile ``strict`` against ``unsafe``, in one run.

The same harness, image, agent and parallelism; only what the container may do differs. Each round
runs both, in turns the one or the other first, so that a noisy machine hits both; the median of the
ratios counts. The agent is three lines of shell: anything longer would hide the cost.

    python benchmarks/hardening_cost.py [--cases N] [--rounds N] [--parallel 1,4]

The goal is a cost under 5%: a ratio over 0.95.
"""

import argparse
import json
import statistics
import tempfile
from pathlib import Path

from docker_overhead import harness_rate, make_project

PROFILES = ("strict", "unsafe")


def main() -> None:
    """Print both rates and their ratio for each parallelism, as a table and as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--parallel", default="1,4")
    options = parser.parse_args()
    found = []
    with tempfile.TemporaryDirectory() as folder:
        project = make_project(Path(folder), options.cases)
        harness_rate(project, 1, 1)  # builds the images
        for parallel in map(int, options.parallel.split(",")):
            rates: dict[str, list[float]] = {profile: [] for profile in PROFILES}
            for turn in range(options.rounds):
                for profile in PROFILES if turn % 2 else reversed(PROFILES):
                    rate = harness_rate(project, parallel, options.cases, profile)
                    rates[profile].append(rate)
            strict, unsafe = (statistics.median(rates[profile]) for profile in PROFILES)
            ratios = [s / u for s, u in zip(rates["strict"], rates["unsafe"], strict=True)]
            ratio = statistics.median(ratios)
            entry = {"parallel": parallel, "strict": strict, "unsafe": unsafe, "ratio": ratio}
            found.append({**entry, "ratios": ratios})
            both = f"strict {strict:6.2f}/s  unsafe {unsafe:6.2f}/s"
            print(f"{parallel:>3} parallel: {both}  ratio {ratio:.3f}  cost {1 - ratio:+.1%}")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
