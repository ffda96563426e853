"""Making evaluators, and letting them see the cases first."""

from collections.abc import Iterable
from pathlib import Path

import pytest

from pacabench.config.evaluators import ExactMatchConfig
from pacabench.errors import DatasetError
from pacabench.evaluators.factory import SHOWN_PROBLEMS, CaseCheck, make_evaluator
from pacabench.model import Case


def case(line: int, expected: object) -> Case:
    return Case("set", f"c{line}", input="q", expected=expected, where=f"d.jsonl:{line}")


def check_cases(cases: Iterable[Case], limit: int | None = None) -> None:
    check = CaseCheck(make_evaluator(ExactMatchConfig(), Path()), limit)
    for item in cases:
        check.take(item)
    check.finish()


class TestCaseCheck:
    def test_what_will_not_be_run_is_not_looked_at(self) -> None:
        cases = [case(1, "a"), case(2, "")]
        check_cases(cases, limit=1)
        with pytest.raises(DatasetError, match=r"d\.jsonl:2"):
            check_cases(cases, limit=2)

    def test_good_cases_pass(self) -> None:
        check_cases([case(1, "a"), case(2, 0), case(3, False)])

    def test_every_bad_case_is_named(self) -> None:
        cases = [case(1, "a"), case(2, ""), case(3, None)]
        with pytest.raises(DatasetError) as caught:
            check_cases(cases)
        assert str(caught.value).splitlines() == [
            f"dataset 'set': d.jsonl:{line}: case 'c{line}': `expected` is empty; name its column "
            "in input_map.expected"
            for line in (2, 3)
        ]

    def test_a_flood_is_counted(self) -> None:
        with pytest.raises(DatasetError) as caught:
            check_cases(case(line, "") for line in range(100))
        lines = str(caught.value).splitlines()
        assert len(lines) == SHOWN_PROBLEMS + 1
        assert lines[-1] == "and 80 more cases"
