"""``compare``: which agents are meant, and what the gate says."""

import subprocess
import sys
from typing import cast

import pytest

from pacabench.cli.comparing import _gate, _pairs_in
from pacabench.cli.exit import ExitCode
from pacabench.errors import UsageError
from pacabench.report.comparison import RunComparison


class _Row:
    agent_b, datasets = "agent", ("data",)


class _Found:
    def __init__(self, regressions: list[_Row], *, whole: bool) -> None:
        self.regressions, self.is_whole = regressions, whole
        self.rows, self.pools = regressions, ()


@pytest.mark.parametrize(
    ("worse", "whole", "code"),
    [
        (False, True, ExitCode.DONE),
        (True, True, ExitCode.GATE),
        (True, False, ExitCode.GATE),
        (False, False, ExitCode.INFRASTRUCTURE),
    ],
)
def test_a_gate_that_does_not_see_every_case_does_not_open(
    worse: bool, whole: bool, code: ExitCode
) -> None:
    found = _Found([_Row()] if worse else [], whole=whole)
    assert _gate(cast("RunComparison", found)) is code


class TestPairs:
    def test_by_name_by_list_and_crossed(self) -> None:
        def of(text: str) -> list[tuple[str, str]]:
            return _pairs_in(text, ["a", "b", "x=y"], ["b", "c", "x=y"], ["b", "x=y"])

        assert of("b") == [("b", "b")]
        assert of("a=c, b") == [("a", "c"), ("b", "b")]
        assert of("x=y") == [("x=y", "x=y")]

    @pytest.mark.parametrize("text", ["a", "b=a", "c=b"])
    def test_that_are_not_there_are_refused(self, text: str) -> None:
        with pytest.raises(UsageError):
            _pairs_in(text, ["a", "b"], ["b", "c"], ["b"])


def test_the_command_line_waits_for_no_library_of_statistics() -> None:
    ask = "import sys, pacabench.cli.app; print({'scipy', 'numpy'} & set(sys.modules))"
    asked = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True)
    assert asked.stdout.strip() == "set()"
