"""Files that come with cases: found in one directory, hashed, and nothing else."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pacabench.datasets import case_files
from pacabench.datasets.base import Dataset
from pacabench.datasets.case_files import read_files
from pacabench.errors import DatasetError

Open = Callable[..., Dataset]
FILES = {"columns": ["file_name", "more"], "directory": "attached"}


@pytest.fixture
def load(open_set: Open, tmp_path: Path) -> Callable[..., Dataset]:
    project = tmp_path / "project"
    (project / "attached" / "deep").mkdir(parents=True)
    (project / "attached" / "a.txt").write_text("a")
    (project / "attached" / "deep" / "b.bin").write_bytes(b"\x00b")
    (tmp_path / "secret.txt").write_text("secret")
    (project / "attached" / "link").symlink_to(tmp_path / "secret.txt")

    def read(*rows: dict[str, Any]) -> Dataset:
        (project / "d.jsonl").write_text("\n".join(json.dumps({"input": 1, **row}) for row in rows))
        return open_set("d.jsonl", files=FILES)

    return read


def test_are_those_that_columns_name(load: Callable[..., Dataset]) -> None:
    rows = [
        {"case_id": 1, "file_name": "a.txt", "more": ["deep/b.bin", "a.txt"]},
        {"case_id": 2, "file_name": "", "more": None},
        {"case_id": 3},
    ]
    first, second, third = load(*rows).cases
    assert read_files(first) == {"a.txt": b"a", "deep/b.bin": b"\x00b"}
    assert second.files == third.files == ()


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("../../secret.txt", "leads out"),
        ("/etc/passwd", "leads out"),
        ("link", "leads out"),
        ("deep/../a.txt", "leads out"),
        ("missing.txt", "there is no file"),
        ("deep", "there is no file"),
        (7, "must name a file"),
        ("a\n.txt", "must name a file"),
    ],
)
def test_what_is_none_of_them_makes_a_row_bad(
    load: Callable[..., Dataset], name: Any, problem: str
) -> None:
    with pytest.raises(DatasetError) as caught:
        load({"file_name": "a.txt"}, {"file_name": name})
    assert f"d.jsonl:2: column 'file_name'" in str(caught.value)  # noqa: F541
    assert problem in str(caught.value)


def test_too_much_is_refused(load: Callable[..., Dataset], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(case_files, "MAX_BYTES", 2)
    load({"file_name": "deep/b.bin"})
    with pytest.raises(DatasetError, match="its files have 3 bytes, and 2 are the most"):
        load({"file_name": "a.txt", "more": "deep/b.bin"})


def test_their_content_is_part_of_the_digest_and_a_change_is_noticed(
    load: Callable[..., Dataset], tmp_path: Path
) -> None:
    before = load({"file_name": "a.txt"})
    (tmp_path / "project" / "attached" / "a.txt").write_text("b")
    assert load({"file_name": "a.txt"}).digest != before.digest
    with pytest.raises(DatasetError, match="is not what it was when the run began"):
        read_files(before.cases[0])
    (tmp_path / "project" / "attached" / "a.txt").unlink()
    with pytest.raises(DatasetError, match="cannot be read: No such file"):
        read_files(before.cases[0])
