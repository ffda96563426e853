"""Packed files are read as they come, and have an end."""

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest

from pacabench.datasets import gzipped
from pacabench.datasets.base import Dataset
from pacabench.errors import DatasetError

Open = Callable[..., Dataset]
ROWS = b'{"input": 1, "expected": "a"}\n{"input": 2, "expected": "b"}\n'
TABLE = b"input;expected\n1;a\n2;b\n".replace(b";", b",")


@pytest.fixture
def project(tmp_path: Path, open_set: Open) -> Path:
    del open_set
    return tmp_path / "project"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("d.jsonl", ROWS),
        ("d.csv", TABLE),
        ("d.tsv", TABLE.replace(b",", b"\t")),
        ("d.jsonl", b"\xef\xbb\xbf" + ROWS),
    ],
    ids=["jsonl", "csv", "tsv", "bom"],
)
def test_rows_are_those_of_the_plain_file(
    project: Path, open_set: Open, name: str, content: bytes
) -> None:
    (project / name).write_bytes(content)
    (project / f"{name}.gz").write_bytes(gzip.compress(content[:20]) + gzip.compress(content[20:]))
    plain, packed = open_set(name), open_set(f"{name}.gz")
    assert [case.input for case in packed.cases] == [case.input for case in plain.cases]
    assert packed.digest == plain.digest


def test_a_directory_and_a_pattern_have_them_too(project: Path, open_set: Open) -> None:
    (project / "data").mkdir()
    (project / "data" / "test.jsonl.gz").write_bytes(gzip.compress(ROWS))
    (project / "data" / "train.jsonl.gz").write_bytes(gzip.compress(ROWS[:30]))
    assert len(open_set("data", split="test").cases) == 2
    assert len(open_set("data/tr*.gz").cases) == 1


@pytest.mark.parametrize("name", ["d.jsonl.gz", "d.csv.gz"])
def test_what_is_broken_is_named(project: Path, open_set: Open, name: str) -> None:
    whole = gzip.compress((ROWS if "jsonl" in name else TABLE) * 5000)
    for content in (b"no gzip", whole[:-20], whole[:40] + b"\0" * 40 + whole[80:]):
        (project / name).write_bytes(content)
        with pytest.raises(DatasetError, match="is no whole gzip file"):
            open_set(name)


@pytest.mark.parametrize("name", ["d.jsonl.gz", "d.csv.gz"])
def test_a_bomb_is_not_unpacked(
    project: Path, open_set: Open, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gzipped, "MAX_BYTES", 1024**2)
    rows = ROWS if "jsonl" in name else TABLE[:15]
    (project / name).write_bytes(gzip.compress(rows + b"\n" * 64 * 1024**2))
    with pytest.raises(DatasetError, match="unpacks to more than 1 MiB; unpack it"):
        open_set(name)


def test_other_packed_formats_are_refused(project: Path, open_set: Open) -> None:
    (project / "d.parquet.gz").write_bytes(b"")
    with pytest.raises(DatasetError, match=r"must end in .*\.jsonl\.gz"):
        open_set("d.parquet.gz")
