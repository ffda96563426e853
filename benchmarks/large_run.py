"""What a run of 100,000 cases costs to show, export, compare and resume: seconds, peak memory.

Makes such a run (one result and ``--calls`` LLM calls per case, through the real journal), then
runs the commands as a user does. Seconds depend on the machine, so each command also stands as a
multiple of a reference that is measured in the same run, turn by turn with it: a bare
``orjson.loads`` of every line of the same two files, in a process of its own.

    python benchmarks/large_run.py [--cases N] [--calls N] [--rounds N]

The goal at 100,000 cases: 2 s and 300 MB for show, export and resume.
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pacabench.benchmark import load_benchmark
from pacabench.config.load import load_config
from pacabench.model import Case, CaseKey, CaseResult, Evaluation, ExitFacts, Outcome, Usage
from pacabench.plan import planned_counts
from pacabench.provenance import new_manifest
from pacabench.store import RunStore, Selection
from pacabench.testing.records import fake_metered, fake_result

CONFIG = """\
name: large
config:
  concurrency: 2
  proxy: {provider: scripted}
sandbox: {kind: process}
agents: [{name: solver, command: sh agent.sh, source: agent}]
datasets: [{name: questions, source: cases.jsonl, evaluator: {type: numeric}}]
"""
AGENT = """\
read -r line
echo '{"output": "7"}'
"""
REFERENCE = """\
import orjson, sys
for path in sys.argv[1:]:
    with open(path, "rb") as file:
        for line in file:
            orjson.loads(line)
"""
OUTCOMES = (Outcome.PASSED, Outcome.PASSED, Outcome.PASSED, Outcome.FAILED)
RUN, OTHER = "large-run", "other-run"
LEFT = 1
"""Cases without a result, so that ``resume`` has something to do."""


@dataclass(frozen=True)
class Cost:
    """What one process took."""

    seconds: float
    cpu_seconds: float
    peak_mb: float


def make_project(project: Path, cases: int) -> None:
    """A configuration, an agent, and questions about as long as those of GSM8K."""
    (project / "agent").mkdir()
    (project / "agent" / "agent.sh").write_text(AGENT)
    (project / "pacabench.yaml").write_text(CONFIG)
    with (project / "cases.jsonl").open("w") as file:
        for number in range(cases):
            question = f"Question {number}: " + "how many apples are left in the basket? " * 6
            row = {"case_id": f"q{number:06}", "input": question, "expected": str(number % 97)}
            file.write(json.dumps(row) + "\n")


def results_of(case: Case, number: int) -> CaseResult:
    """A result as a real agent leaves it: an answer in words, facts of its exit."""
    outcome = OUTCOMES[number % len(OUTCOMES)]
    passed = outcome is Outcome.PASSED
    answer = case.expected if passed else f"{case.expected}1"
    return fake_result(
        CaseKey("solver", case.dataset, case.case_id),
        outcome,
        output=f"There are {'some apples ' * 8}in the basket. The answer is {answer}",
        expected=case.expected,
        evaluation=Evaluation(passed, float(passed), {"found": answer, "wanted": case.expected}),
        duration_ms=812.4371 + number % 1000,
        provider_wait_ms=640.25 + number % 500,
        exit=ExitFacts(0, None, False, False, 311, 0, ""),
    )


async def fill(store: RunStore, cases: Sequence[Case], calls: int) -> None:
    """Append results and calls the way a run does, many at a time."""
    group: list[CaseResult] = []
    for number, case in enumerate(cases):
        result = results_of(case, number)
        for call in range(calls):
            store.append_call(
                fake_metered(
                    result,
                    cost_usd=0.000123,
                    ttft_ms=211.5 + number % 300,
                    duration_ms=640.0 + call,
                    usage=Usage(120 + number % 9, 0, None, 60, 0),
                    raw_usage={
                        "prompt_tokens": 120 + number % 9,
                        "completion_tokens": 60,
                        "total_tokens": 180 + number % 9,
                        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
                        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
                    },
                )
            )
        group.append(result)
        if len(group) == 1000 or number == len(cases) - 1:
            await asyncio.gather(*map(store.append_result, group))
            group.clear()


def make_runs(project: Path, calls: int) -> None:
    """Two runs in ``project``, the second one to compare the first with."""
    for run_id in (RUN, OTHER):
        make_run(project, run_id, calls)


def make_run(project: Path, run_id: str, calls: int) -> None:
    """A run in ``project`` that was stopped just before its last case."""
    loaded = load_config(project / "pacabench.yaml")
    benchmark = asyncio.run(load_benchmark(loaded, Selection()))
    manifest = new_manifest(run_id, benchmark, {})
    with RunStore.create(loaded.output_directory, manifest, loaded.text.decode()) as store:
        store.begin_session(
            planned_cases=planned_counts(benchmark.names, benchmark.datasets),
            config_path=str(loaded.path),
        )
        cases = benchmark.datasets[0].cases
        asyncio.run(fill(store, cases[: len(cases) - LEFT], calls))
        store.end_session("stopped")


def measure(command: Sequence[str], project: Path) -> Cost:
    """Run ``command`` to its end."""
    began = time.monotonic()
    child = subprocess.Popen(command, cwd=project, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        sys.exit(f"{command} ended with {child.returncode}")
    return Cost(time.monotonic() - began, used.ru_utime + used.ru_stime, peak_bytes(used) / 1e6)


def peak_bytes(used: resource.struct_rusage) -> int:
    """Linux counts kilobytes, macOS bytes."""
    return used.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def commands(run_dir: Path) -> dict[str, list[str]]:
    """Those that the goal names, and the ones that touch every case's text."""
    pacabench = [sys.executable, "-m", "pacabench"]
    return {
        "reference": [
            sys.executable, "-c", REFERENCE,
            str(run_dir / "results.jsonl"), str(run_dir / "calls.jsonl"),
        ],
        "--help": [*pacabench, "--help"],
        "show": [*pacabench, "show", RUN],
        "export": [*pacabench, "export", RUN],
        "export --include-cases": [*pacabench, "export", RUN, "--include-cases"],
        "show --failures": [*pacabench, "show", RUN, "--failures", "--limit", "20"],
        "show --case": [*pacabench, "show", RUN, "--case", "q000007"],
        "compare": [*pacabench, "compare", RUN, OTHER],
        "resume": [*pacabench, "resume", RUN, "--quiet"],
    }  # fmt: skip


@dataclass(frozen=True)
class Snapshot:
    """The run as it was made: ``resume`` finishes it, and the next round needs it unfinished."""

    manifest: bytes
    sizes: dict[Path, int]

    @classmethod
    def of(cls, run_dir: Path) -> "Snapshot":
        """What is there now."""
        sizes = {path: path.stat().st_size for path in run_dir.glob("*.jsonl")}
        return cls((run_dir / "run.json").read_bytes(), sizes)

    def restore(self, run_dir: Path) -> None:
        """Take back what came after."""
        (run_dir / "run.json").write_bytes(self.manifest)
        for path, size in self.sizes.items():
            os.truncate(path, size)


def table(project: Path, run_dir: Path, rounds: int) -> dict[str, dict[str, float]]:
    """Every command's figures: the median of ``rounds``, all commands once in each."""
    snapshot = Snapshot.of(run_dir)
    costs: dict[str, list[Cost]] = {name: [] for name in commands(run_dir)}
    for _ in range(rounds):
        for name, command in commands(run_dir).items():
            costs[name].append(measure(command, project))
        snapshot.restore(run_dir)
    reference = statistics.median(cost.seconds for cost in costs["reference"])
    found = {}
    print(f"{sum(snapshot.sizes.values()) / 1e6:.0f} MB of journal, {rounds} rounds")
    for name, measured in costs.items():
        seconds = statistics.median(cost.seconds for cost in measured)
        found[name] = {
            "seconds": round(seconds, 3),
            "cpu_seconds": round(statistics.median(cost.cpu_seconds for cost in measured), 3),
            "times_reference": round(seconds / reference, 2),
            "peak_mb": round(max(cost.peak_mb for cost in measured)),
        }
        print(
            "{name:<24} {seconds:6.2f} s  cpu {cpu_seconds:6.2f} s  {times_reference:5.2f} x "
            "reference  {peak_mb:5.0f} MB".format(name=name, **found[name]),
            flush=True,
        )
    return found


def main() -> None:
    """Print a table, and the same as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--calls", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--keep", type=Path, help="make the project here, or use it again")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        project = options.keep or Path(folder)
        if not (project / "runs").exists():
            project.mkdir(exist_ok=True)
            make_project(project, options.cases)
            # In a process of its own: a child's peak of memory is never below its parent's size.
            maker = multiprocessing.get_context("spawn").Process(
                target=make_runs, args=(project, options.calls)
            )
            maker.start()
            maker.join()
        print(json.dumps(table(project, project / "runs" / RUN, options.rounds)))


if __name__ == "__main__":
    main()
