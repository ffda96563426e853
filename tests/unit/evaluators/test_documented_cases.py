"""The table of hard cases in docs/evaluators.md holds."""

import json
import re
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from pydantic import TypeAdapter

from pacabench.config.evaluators import EvaluatorConfig
from pacabench.errors import DatasetError, EvaluatorError
from pacabench.evaluators import matching
from pacabench.evaluators.factory import make_evaluator
from pacabench.model import Case

DOCUMENT = Path(__file__).parents[3] / "docs" / "evaluators.md"
CELL = re.compile(r"(?<!\\)\|")
VERDICTS = {"passes", "fails", "refused", "evaluator_error"}


def documented() -> list[tuple[str, str, str, str]]:
    table = DOCUMENT.read_text().split("## Hard cases")[1]
    rows = [line for line in table.splitlines() if line.startswith("| `{")]
    cells = [[cell.strip().replace("\\|", "|") for cell in CELL.split(row)[1:-1]] for row in rows]
    return [(*(cell.strip("`") for cell in row[:3]), row[3]) for row in cells]  # type: ignore[misc]


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
    try:
        evaluation = await judging.evaluate(case, answer)
    except EvaluatorError:
        return "evaluator_error", None
    return ("passes" if evaluation.passed else "fails"), evaluation.score


@pytest.mark.parametrize(("evaluator", "expected", "answer", "verdict"), documented())
async def test_a_documented_case_is_judged_as_documented(
    evaluator: str, expected: str, answer: str, verdict: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matching, "TIMEOUT_S", 1.0)
    name, _, score = verdict.partition(" ")
    judged, judged_score = await judge(evaluator, json.loads(expected), json.loads(answer))
    assert judged == name
    if score:
        assert judged_score == pytest.approx(float(score), abs=1e-4)


def test_the_table_is_read_and_every_verdict_is_in_it() -> None:
    rows = documented()
    assert len(rows) > 180
    assert {verdict.split()[0] for *_, verdict in rows} == VERDICTS
    judged = {yaml.safe_load(evaluator)["type"] for evaluator, *_ in rows}
    assert judged == {model.model_fields["type"].annotation.__args__[0] for model in models()} - {
        "llm_judge",
        "python",
        "command",
    }


def test_the_limits_in_the_text_are_those_of_the_code() -> None:
    text = DOCUMENT.read_text()
    assert f"more than {matching.MAX_CHARACTERS:,}\ncharacters" in text
    assert f"runs for {matching.TIMEOUT_S:.0f} seconds" in text
