"""``command``: programs that look at answers, as processes of their own."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import humaneval
import pytest

from pacabench.events import Event, Notice
from pacabench.model import CaseResult, Outcome
from pacabench.run import RunRequest, start_run
from pacabench.scheduler import Stop
from pacabench.store import load_run

CONFIG = """\
name: checked
config: {{concurrency: 2, timeout_seconds: 30, max_retries: 0, proxy: {{enabled: false}}}}
sandbox: {{kind: process}}
agents: [{{name: a, command: python agent.py, source: agent}}]
datasets:
  - name: d
    source: d.jsonl
    hide: [secret]
    evaluator: {{type: command, command: python check.py, source: checks, timeout_seconds: 3{more}}}
"""
AGENT = "import sys, json\nfor line in sys.stdin: print(json.dumps({'output': json.loads(line)['input']}), flush=True)\n"  # noqa: E501
READ = "import json, os, signal, sys, time\ncase = json.loads(sys.stdin.readline())\ncode = case['code']\n"  # noqa: E501


async def run(folder: Path, **flags: Any) -> dict[str, CaseResult]:
    request = RunRequest(folder / "pacabench.yaml", run_id="run", flags=flags)
    said: list[Event] = []
    report = await start_run(request, accept_changes=False, listener=said.append, stop=Stop())
    assert not [event for event in said if isinstance(event, Notice) and event.level == "error"]
    return {result.key.case_id: result for result in load_run(report.run_dir).results()}


@pytest.fixture
def checked(tmp_path: Path) -> Callable[..., Any]:
    async def make(check: str, answer: str = "x", more: str = "") -> CaseResult:
        files = {
            "pacabench.yaml": CONFIG.format(more=more),
            "d.jsonl": json.dumps(
                {"input": answer, "expected": "e", "secret": "s", "case_id": "c"}
            ),
            "agent/agent.py": AGENT,
            "checks/check.py": READ + check,
        }
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text(text)
        return (await run(tmp_path))["c"]

    return make


class TestVerdicts:
    async def test_it_sees_the_case_with_what_agents_do_not(self, checked: Any) -> None:
        result = await checked("print(json.dumps({**case, 'passed': True, 'm': case['metadata']}))")
        assert result.outcome is Outcome.PASSED
        details = result.evaluation.details
        assert details["m"] == '{"expected":"e","secret":"s"}'
        assert details["output"] == "x"
        assert "code" not in details

    async def test_a_score_may_be_in_between(self, checked: Any) -> None:
        result = await checked("print(json.dumps({'code': code, 'score': 0.25}))")
        assert (result.outcome, result.evaluation.score) == (Outcome.FAILED, 0.25)

    @pytest.mark.parametrize(
        "line",
        ["{'passed': True}", "{'passed': True, 'code': '0' * 32}", "[code]", "code"],
    )
    async def test_a_line_without_the_code_is_log(self, checked: Any, line: str) -> None:
        result = await checked(
            f"print(json.dumps({line}), flush=True)\n"
            "print(json.dumps({'code': code, 'passed': False, 'mine': 1}), flush=True)"
        )
        assert (result.outcome, result.evaluation.details) == (Outcome.FAILED, {"mine": 1})


class TestEnds:
    @pytest.mark.parametrize(
        ("check", "reason"),
        [
            ("time.sleep(60)", "did not end within 3 s"),
            ("os.kill(os.getpid(), signal.SIGKILL)", "was ended by signal 9"),
            ("os.system('kill -9 $PPID'); time.sleep(9)", "was ended by signal 9"),
        ],
    )
    async def test_what_an_answer_could_have_done_has_failed(
        self, checked: Any, check: str, reason: str
    ) -> None:
        result = await checked(check)
        assert result.outcome is Outcome.FAILED
        assert reason in result.evaluation.details["reason"]

    @pytest.mark.parametrize(
        ("check", "reason"),
        [
            ("raise KeyError('nope')", "exit code 1 and no verdict: .*KeyError: 'nope'"),
            ("pass", "exit code 0 and no verdict"),
            ("print(json.dumps({'code': code}))", "it must have `passed`"),
            ("print(json.dumps({'code': code, 'score': 7}))", "it must have `passed`"),
        ],
    )
    async def test_what_the_program_does_wrong_is_its_error(
        self, checked: Any, check: str, reason: str
    ) -> None:
        result = await checked(check)
        assert result.outcome is Outcome.EVALUATOR_ERROR
        assert result.error is not None
        assert re.search(reason, result.error, re.DOTALL)


async def test_human_eval_judges_published_solutions_and_hostile_ones(tmp_path: Path) -> None:
    # Without containers the answer that takes all memory is left out: limits there are softer.
    expected = humaneval.make_project(tmp_path, cases=12, concurrency=2, limit=30)
    results = await run(tmp_path, **{"sandbox.kind": "process"})
    verdicts = {case: result.outcome is Outcome.PASSED for case, result in results.items()}
    assert verdicts == expected
    assert {result.outcome for result in results.values()} == {Outcome.PASSED, Outcome.FAILED}
