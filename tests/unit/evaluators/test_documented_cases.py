"""The table of hard cases in docs/evaluators.md holds."""

import json
import re
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from pydantic import TypeAdapter

from pacabench.checking import Checks
from pacabench.config.evaluators import CommandConfig, EvaluatorConfig, LlmJudgeConfig, PythonConfig
from pacabench.config.schema import AgentConfig, SandboxConfig
from pacabench.errors import DatasetError, EvaluatorError, SandboxError
from pacabench.evaluators import matching
from pacabench.evaluators.base import Evaluator
from pacabench.evaluators.desk import Desk, Question
from pacabench.evaluators.factory import make_evaluator
from pacabench.model import Case
from pacabench.sandbox.base import SandboxAgent
from pacabench.testing import Act, FakeSandbox

DOCUMENT = Path(__file__).parents[3] / "docs" / "evaluators.md"
CELL = re.compile(r"(?<!\\)\|")
VERDICTS = {"passes", "fails", "refused", "evaluator_error"}


def table(header: str) -> list[tuple[str, ...]]:
    """The rows of all tables below "Hard cases" with this header, without their backquotes."""
    rows: list[tuple[str, ...]] = []
    inside = False
    for line in DOCUMENT.read_text().split("## Hard cases")[1].splitlines():
        if line == header:
            inside = True
        elif not line.startswith("|"):
            inside = False
        elif inside and not line.startswith("|---"):
            cells = [cell.strip().replace("\\|", "|") for cell in CELL.split(line)[1:-1]]
            rows.append(tuple(cell.strip("`").strip() for cell in cells))
    return rows


def documented() -> list[tuple[str, ...]]:
    return table("| evaluator | expected | answer | verdict |")


def documented_choices() -> dict[str, str]:
    (text,) = re.findall(r"The options, from here on, are `(.*)`", DOCUMENT.read_text())
    choices: dict[str, str] = json.loads(text)
    return choices


def models() -> list[Any]:
    return list(get_args(get_args(EvaluatorConfig)[0]))


async def judge(evaluator: str, expected: Any, answer: Any) -> tuple[str, float | None]:
    config = TypeAdapter[Any](EvaluatorConfig).validate_python(yaml.safe_load(evaluator))
    judging = make_evaluator(config, DOCUMENT.parent)
    case = Case(
        dataset="d",
        case_id="c",
        input="q",
        expected=expected,
        metadata={"choices": documented_choices()},
        where="d.jsonl:1",
    )
    try:
        judging.check(case)
    except DatasetError:
        return "refused", None
    return await verdict_of(judging, case, answer)


def agree(judged: tuple[str, float | None], verdict: str) -> None:
    name, _, score = verdict.partition(" ")
    assert judged[0] == name
    if score:
        assert judged[1] == pytest.approx(float(score), abs=1e-4)


async def verdict_of(evaluator: Evaluator, case: Case, answer: Any) -> tuple[str, float | None]:
    try:
        evaluation = await evaluator.evaluate(case, answer)
    except EvaluatorError:
        return "evaluator_error", None
    return ("passes" if evaluation.passed else "fails"), evaluation.score


@pytest.mark.parametrize(("evaluator", "expected", "answer", "verdict"), documented())
async def test_a_documented_case_is_judged_as_documented(
    evaluator: str, expected: str, answer: str, verdict: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matching, "TIMEOUT_S", 1.0)
    judged = await judge(evaluator, json.loads(expected), json.loads(answer))
    agree(judged, verdict)


PYTHON = "| function | answer | verdict |"
COMMAND = "| writes | ends | verdict |"
JUDGE = "| options | replies | verdict |"
NEXT = "\u23ce"


@pytest.mark.parametrize(("body", "answer", "verdict"), table(PYTHON))
async def test_of_a_function(body: str, answer: str, verdict: str, tmp_path: Path) -> None:
    (tmp_path / "scoring.py").write_text(f"def check(output, expected, case):\n    {body}\n")
    config = PythonConfig(type="python", function="scoring:check", timeout_seconds=0.5)
    case = Case("d", "c", input="q", expected="42", metadata={"level": 1})
    agree(await verdict_of(make_evaluator(config, tmp_path), case, json.loads(answer)), verdict)


@pytest.mark.parametrize(("writes", "ends", "verdict"), table(COMMAND))
async def test_of_a_program(writes: str, ends: str, verdict: str, tmp_path: Path) -> None:
    def program(message: dict[str, Any]) -> Act:
        lines = [line.strip() for line in writes.replace("CODE", message["code"]).split(NEXT)]
        written = "".join(f"{line}\n" for line in lines if line).encode()
        how, _, number = ends.partition(" ")
        return Act(
            written,
            exit_code=int(number) if how == "exit" else None,
            signal=int(number) if how == "signal" else None,
            out_of_memory=ends == "out of memory",
            hangs=ends == "no end",
        )

    config = CommandConfig(type="command", command="x", timeout_seconds=0.5)
    failure = SandboxError("no engine") if ends == "engine fails" else None
    desk = Desk()
    async with FakeSandbox(program, start_failures=[failure]) as sandbox:
        desk.run_check = Checks(sandbox, {config: a_program(tmp_path)}).run
        case = Case("d", "c", input="q", expected="42")
        agree(await verdict_of(make_evaluator(config, tmp_path, desk), case, "x"), verdict)


def a_program(project: Path) -> SandboxAgent:
    return SandboxAgent(
        config=AgentConfig(name="x", command="x"),
        sandbox=SandboxConfig(),
        env={},
        source=None,
        requirements=None,
        project=project,
    )


@pytest.mark.parametrize(("options", "replies", "verdict"), table(JUDGE))
async def test_of_a_judge(options: str, replies: str, verdict: str, tmp_path: Path) -> None:
    coming = [reply.strip() for reply in replies.split(NEXT)]
    answer = '{"code": "CODE", "verdict": "correct"}'

    async def ask(_: LlmJudgeConfig, question: Question) -> str:
        (code,) = re.findall(r"<ANSWER ([0-9a-f]{16})>", question.user)
        assert answer in question.user
        reply = coming.pop(0) if len(coming) > 1 else coming[0]
        return answer.join(part.replace("CODE", code) for part in reply.split("ANSWER"))

    config = LlmJudgeConfig.model_validate(
        {"type": "llm_judge", "model": "m", **yaml.safe_load(options)}
    )
    case = Case("d", "c", input="q", expected="42", where="d:1")
    evaluator = make_evaluator(config, tmp_path, Desk(ask))
    evaluator.check(case)
    agree(await verdict_of(evaluator, case, answer), verdict)


def test_the_table_is_read_and_every_verdict_is_in_it() -> None:
    rows = documented()
    assert len(rows) > 180
    assert {verdict.split()[0] for *_, verdict in rows} == VERDICTS
    judged = {yaml.safe_load(evaluator)["type"] for evaluator, *_ in rows}
    types = {model.model_fields["type"].annotation.__args__[0] for model in models()}
    assert judged | {"python", "command", "llm_judge"} == types
    for own in (PYTHON, COMMAND, JUDGE):
        assert len(table(own)) > 15
        assert {row[-1].split()[0] for row in table(own)} == VERDICTS - {"refused"}


def test_the_limits_in_the_text_are_those_of_the_code() -> None:
    text = DOCUMENT.read_text()
    assert f"more than {matching.MAX_CHARACTERS:,}\ncharacters" in text
    assert f"runs for {matching.TIMEOUT_S:.0f} seconds" in text
