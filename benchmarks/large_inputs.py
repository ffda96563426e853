"""What large inputs cost: a data set of gigabytes, and answers of megabytes.

Seconds stand beside a reference of the same run (a bare ``orjson.loads`` of every line of the same
file, in a process of its own), memory as the peak of the whole command.

    python benchmarks/large_inputs.py [--gigabytes N] [--row-bytes N] [--answer-megabytes N]

The goal: memory that does not grow with the size of the file, nor with the number of long answers.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

from large_run import REFERENCE, Cost, measure

CONFIG = """\
name: inputs
config: {{concurrency: 2, proxy: {{provider: scripted}}}}
sandbox: {{kind: process}}
agents: [{{name: solver, command: python agent.py, source: agent}}]
datasets: [{{name: questions, source: cases.jsonl, evaluator: {{type: exact_match}}}}]
"""
AGENT = """\
import json, sys
case = json.loads(sys.stdin.readline())
print(json.dumps({"output": case["expected_length"] * "x"}))
"""


def make_project(project: Path, rows: int, row_bytes: int, answer_bytes: int) -> None:
    """``rows`` questions of ``row_bytes`` each, answered with ``answer_bytes``."""
    (project / "agent").mkdir(parents=True)
    (project / "agent" / "agent.py").write_text(AGENT)
    (project / "pacabench.yaml").write_text(CONFIG.format())
    text = "All happy families are alike. " * (row_bytes // 30)
    with (project / "cases.jsonl").open("w") as file:
        for number in range(rows):
            row = {
                "case_id": f"q{number}",
                "input": f"{number} {text}",
                "expected": "y",
                "expected_length": answer_bytes,
            }
            file.write(json.dumps(row) + "\n")


def run(project: Path, run_id: str, limit: int) -> Cost:
    """The first ``limit`` cases."""
    command = [sys.executable, "-m", "pacabench", "run", "--run-id", run_id]
    return measure([*command, "--limit", str(limit), "--quiet"], project)


def show(name: str, cost: Cost, reference: Cost | None = None) -> dict[str, float | str]:
    """One line of the table."""
    times = f"{cost.seconds / reference.seconds:6.2f} x reference" if reference else " " * 18
    print(f"{name:<34} {cost.seconds:7.2f} s {times}  {cost.peak_mb:6.0f} MB", flush=True)
    return {"name": name, "seconds": round(cost.seconds, 2), "peak_mb": round(cost.peak_mb)}


def main() -> None:
    """Print a table, and the same as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gigabytes", type=float, default=2.0)
    parser.add_argument("--row-bytes", type=int, default=20_000)
    parser.add_argument("--answer-megabytes", type=int, default=10)
    options = parser.parse_args()
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for share in (0.05, 1.0):
            project = Path(folder) / f"data-{share}"
            rows = int(options.gigabytes * share * 1e9 / options.row_bytes)
            make_project(project, rows, options.row_bytes, 10)
            size = (project / "cases.jsonl").stat().st_size / 1e9
            lines = [sys.executable, "-c", REFERENCE, str(project / "cases.jsonl")]
            reference = measure(lines, project)
            name = f"{size:.2f} GB, {rows} rows"
            found.append(show(f"{name}: reference", reference))
            found.append(show(f"{name}: run, 2 cases", run(project, "r1", 2), reference))
            (project / "cases.jsonl").unlink()
        project = Path(folder) / "answers"
        make_project(project, 40, 100, options.answer_megabytes * 1_000_000)
        for limit in (4, 40):
            name = f"{limit} answers of {options.answer_megabytes} MB"
            found.append(show(name, run(project, f"r{limit}", limit)))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
