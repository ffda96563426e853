"""Rows that the user's own code makes."""

from collections.abc import Callable
from pathlib import Path

import pytest

from pacabench.datasets.base import Dataset
from pacabench.errors import DatasetError

Open = Callable[..., Dataset]


def write(tmp_path: Path, body: str) -> None:
    (tmp_path / "project" / "rows.py").write_text(f"def make():\n{body}\n")


def test_yields_rows_one_at_a_time(open_set: Open, tmp_path: Path) -> None:
    write(tmp_path, "    for n in range(3): yield {'input': n, 'split': 'ab'[n % 2]}")
    assert [case.input for case in open_set("python:rows:make").cases] == [0, 1, 2]
    dataset = open_set("python:rows:make", split="b")
    assert [case.where for case in dataset.cases] == ["rows:make:row 2"]


def test_a_number_that_is_none_is_null_and_no_question(open_set: Open, tmp_path: Path) -> None:
    row = "'expected': float('nan'), 'v': [float('inf'), 1.5]"
    write(tmp_path, f"    yield {{'input': 'q', {row}}}")
    (case,) = open_set("python:rows:make").cases
    assert (case.expected, case.metadata) == (None, {"v": [None, 1.5]})
    write(tmp_path, "    yield {'input': float('inf')}")
    with pytest.raises(DatasetError, match=r"column 'input' \(input_map.input\) is null"):
        open_set("python:rows:make")


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("    yield {'input': 1}\n    raise KeyError('x')", "failed after 1 rows: KeyError: 'x'"),
        ("    return None", "failed after 0 rows: TypeError"),
        ("    yield 'text'", "rows:make:row 1: must be an object, not text"),
        ("    yield {'input': {1, 2}}", "rows:make:row 1: "),
        ("    yield {'input': float('nan'), 'case_id': 1}\n    yield {}", "no column 'input'"),
    ],
)
def test_what_goes_wrong_is_named(open_set: Open, tmp_path: Path, body: str, problem: str) -> None:
    write(tmp_path, body)
    with pytest.raises(DatasetError) as caught:
        open_set("python:rows:make")
    assert problem in str(caught.value)


@pytest.mark.parametrize("source", ["python:rows", "python:rows:other", "python:missing_x:make"])
def test_no_such_function(open_set: Open, tmp_path: Path, source: str) -> None:
    write(tmp_path, "    yield {}")
    with pytest.raises(DatasetError, match="dataset 'set': source python:"):
        open_set(source)
