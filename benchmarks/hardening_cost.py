"""What hardening costs: cases/s with profile ``strict`` against ``unsafe``, in one run.

Two agents that are the same but for their profile, in the same run: the harness gives each case to
both before the next one, so that a noisy machine hits both alike. Which of them comes first changes
from round to round; the first cases of a round, which make the lanes, do not count. The agent is
three lines of shell: anything longer would hide the cost.

    python benchmarks/hardening_cost.py [--cases N] [--rounds N] [--parallel 1,4]

The goal is a cost under 5%: a ratio over 0.95.
"""

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from collections import defaultdict
from pathlib import Path

from docker_overhead import AGENT

from pacabench.events import AttemptFinished, AttemptStarted, Event
from pacabench.model import CaseKey, Outcome
from pacabench.run import RunRequest, start_run
from pacabench.scheduler import Stop

PROFILES = ("strict", "unsafe")
CONFIG = """\
name: hardening
config:
  concurrency: {parallel}
  max_retries: 0
  proxy: {{provider: scripted}}
agents:
  - {{name: {first}, command: sh agent.sh, sandbox: {{profile: {first}}}}}
  - {{name: {second}, command: sh agent.sh, sandbox: {{profile: {second}}}}}
datasets: [{{name: cases, source: cases.jsonl, evaluator: {{type: exact_match}}}}]
"""


def attempt_times(project: Path, parallel: int, order: tuple[str, ...]) -> dict[str, list[float]]:
    """Seconds that each attempt took, from its start to its result on disk, by profile."""
    began: dict[CaseKey, float] = {}
    times: dict[str, list[float]] = defaultdict(list)

    def listen(event: Event) -> None:
        match event:
            case AttemptStarted(key=key):
                began[key] = time.monotonic()
            case AttemptFinished(result=result):
                assert result.outcome is Outcome.PASSED, result
                times[result.key.agent].append(time.monotonic() - began[result.key])

    text = CONFIG.format(parallel=parallel, first=order[0], second=order[1])
    (project / "pacabench.yaml").write_text(text)
    request = RunRequest(project / "pacabench.yaml")
    asyncio.run(start_run(request, accept_changes=False, listener=listen, stop=Stop()))
    return {profile: found[parallel:] for profile, found in times.items()}


def measure(project: Path, parallel: int, rounds: int) -> dict[str, float | list[float]]:
    """Cases/s of both profiles and their ratio: of all rounds together, and of each."""
    everything: dict[str, list[float]] = {profile: [] for profile in PROFILES}
    ratios = []
    for turn in range(rounds):
        order = PROFILES if turn % 2 else PROFILES[::-1]
        times = attempt_times(project, parallel, order)
        ratios.append(statistics.mean(times["unsafe"]) / statistics.mean(times["strict"]))
        for profile in PROFILES:
            everything[profile] += times[profile]
    rates = {profile: parallel / statistics.mean(everything[profile]) for profile in PROFILES}
    return {
        "parallel": parallel,
        **rates,
        "ratio": rates["strict"] / rates["unsafe"],
        "ratio_of_medians": statistics.median(everything["unsafe"])
        / statistics.median(everything["strict"]),
        "ratios": ratios,
    }


def main() -> None:
    """Print both rates and their ratio for each parallelism, as a table and as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--parallel", default="1,4")
    options = parser.parse_args()
    found = []
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder)
        (project / "agent.sh").write_text(AGENT)
        rows = (
            json.dumps({"case_id": str(n), "input": "x", "expected": "yes"})
            for n in range(options.cases)
        )
        (project / "cases.jsonl").write_text("\n".join(rows))
        for parallel in map(int, options.parallel.split(",")):
            entry = measure(project, parallel, options.rounds)
            found.append(entry)
            print(
                "{parallel:>3} parallel: strict {strict:6.2f}/s  unsafe {unsafe:6.2f}/s  "
                "ratio {ratio:.3f}, of medians {ratio_of_medians:.3f}".format(**entry),
                "rounds",
                ", ".join(f"{ratio:.2f}" for ratio in entry["ratios"]),
                flush=True,
            )
    print(json.dumps(found))


if __name__ == "__main__":
    main()
