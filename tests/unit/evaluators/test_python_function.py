"""The user's own function as an evaluator."""

import sys
from pathlib import Path

import pytest

from pacabench.config.evaluators import PythonConfig
from pacabench.errors import ConfigError, EvaluatorError
from pacabench.evaluators.factory import make_evaluator
from pacabench.model import JSON, Case, Evaluation

CASE = Case(
    "set", "c", input="q", expected="42", metadata={"level": 1}, withheld={"test": "assert x"}
)


async def judge(project: Path, body: str, output: JSON = "42", **options: float) -> Evaluation:
    (project / "scoring.py").write_text(f"def check(output, expected, case):\n    {body}\n")
    config = PythonConfig(type="python", function="scoring:check", **options)
    return await make_evaluator(config, project).evaluate(CASE, output)


class TestVerdicts:
    @pytest.mark.parametrize(
        ("body", "verdict"),
        [
            ("return output == expected", Evaluation(True, 1.0)),
            ("return output != expected", Evaluation(False, 0.0)),
            ("return 0.25", Evaluation(False, 0.25)),
            ("return 1", Evaluation(True, 1.0)),
            ("return {'score': 0.5, 'passed': True}", Evaluation(True, 0.5)),
            ("return {'score': 0.5, 'why': 'half'}", Evaluation(False, 0.5, {"why": "half"})),
            ("return {'passed': False}", Evaluation(False, 0.0)),
            (
                "return {'passed': True, **case['metadata']}",
                Evaluation(True, 1.0, {"level": 1, "test": "assert x"}),
            ),
        ],
    )
    async def test_what_it_may_return(self, tmp_path: Path, body: str, verdict: Evaluation) -> None:
        assert await judge(tmp_path, body) == verdict

    @pytest.mark.parametrize(
        "body", ["return None", "return 2", "return float('nan')", "return 'yes'", "return {}"]
    )
    async def test_what_it_may_not(self, tmp_path: Path, body: str) -> None:
        with pytest.raises(EvaluatorError, match=r"scoring:check returned .* must be true, false"):
            await judge(tmp_path, body)

    async def test_a_coroutine_function_is_awaited(self, tmp_path: Path) -> None:
        (tmp_path / "slow.py").write_text("async def check(output, expected, case): return True\n")
        config = PythonConfig(type="python", function="slow:check")
        assert (await make_evaluator(config, tmp_path).evaluate(CASE, "x")).passed

    async def test_null_is_not_even_asked_about(self, tmp_path: Path) -> None:
        assert not (await judge(tmp_path, "return True", None)).passed


class TestFailures:
    async def test_what_it_raises_is_its_failure_and_no_wrong_answer(self, tmp_path: Path) -> None:
        with pytest.raises(EvaluatorError, match="scoring:check failed: KeyError: 'nope'"):
            await judge(tmp_path, "return case['nope']")

    async def test_one_that_does_not_end_is_left(self, tmp_path: Path) -> None:
        with pytest.raises(EvaluatorError, match=r"did not end within 0\.1 s"):
            await judge(tmp_path, "import time; time.sleep(1)", timeout_seconds=0.1)

    @pytest.mark.parametrize(
        ("function", "problem"),
        [
            ("nowhere_at_all:check", "ModuleNotFoundError"),
            ("scoring:other", "has no function other"),
            ("broken:check", "cannot be imported: SyntaxError"),
        ],
    )
    def test_one_that_is_not_there_is_named_before_the_run(
        self, tmp_path: Path, function: str, problem: str
    ) -> None:
        (tmp_path / "scoring.py").write_text("")
        (tmp_path / "broken.py").write_text("def")
        with pytest.raises(ConfigError, match=problem):
            make_evaluator(PythonConfig(type="python", function=function), tmp_path)


class TestModules:
    async def test_two_projects_may_have_files_of_the_same_name(self, tmp_path: Path) -> None:
        (tmp_path / "a").mkdir()
        (tmp_path / "b").mkdir()
        assert (await judge(tmp_path / "a", "return True")).passed
        assert not (await judge(tmp_path / "b", "return False")).passed
        assert "scoring" not in sys.modules

    async def test_a_file_of_the_project_wins_over_an_installed_module(
        self, tmp_path: Path
    ) -> None:
        (tmp_path / "json.py").write_text("def check(output, expected, case): return True\n")
        config = PythonConfig(type="python", function="json:check")
        assert (await make_evaluator(config, tmp_path).evaluate(CASE, "x")).passed
