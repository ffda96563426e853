"""A large data set stays on disk: its cases are the same, and a file that changes is noticed."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pacabench.config.schema import DatasetConfig
from pacabench.datasets import local
from pacabench.datasets.base import Dataset, Place, StoredCases
from pacabench.datasets.load import load_dataset
from pacabench.errors import DatasetError
from pacabench.model import Case

ROWS = [
    {"input": f"question {number}", "expected": number, "extra": {"n": number}}
    for number in range(5)
]


def write(path: Path, rows: list[dict[str, object]], *, blank: str = "") -> None:
    path.write_text("".join(json.dumps(row) + "\n" + blank for row in rows), encoding="utf-8")


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], Dataset]:
    def read(large: bool, **keys: int) -> Dataset:
        monkeypatch.setattr(local, "HELD_BYTES", 0 if large else 2**60)
        config = DatasetConfig(name="set", source="d.jsonl", hide=["case_id"], **keys)
        return load_dataset(config, Place(tmp_path, tmp_path / "cache"))

    return read


class TestTheSameCases:
    @given(
        rows=st.lists(
            st.fixed_dictionaries(
                {"input": st.text() | st.integers(-9, 9), "expected": st.text(min_size=1)},
                optional={"history": st.lists(st.text()), "other": st.floats(0, 1)},
            ),
            min_size=1,
            max_size=20,
        ),
        blank=st.sampled_from(["", "\n", " \r\n"]),
    )
    @settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_whether_they_are_held_or_stored(
        self,
        rows: list[dict[str, object]],
        blank: str,
        tmp_path: Path,
        load: Callable[[bool], Dataset],
    ) -> None:
        write(tmp_path / "d.jsonl", rows, blank=blank)
        held, stored = load(False), load(True)
        assert isinstance(stored.cases, StoredCases)
        assert list(stored.cases) == list(held.cases)
        assert list(stored.case_ids) == list(held.case_ids)
        assert stored.digest == held.digest

    def test_in_any_order_and_in_slices(
        self, tmp_path: Path, load: Callable[[bool], Dataset]
    ) -> None:
        write(tmp_path / "d.jsonl", ROWS)  # type: ignore[arg-type]
        cases = load(True).cases
        assert [cases[place].expected for place in (3, 0, -1)] == [3, 0, 4]
        assert [case.expected for case in cases[1:4][1:]] == [2, 3]
        assert len(cases[:2]) == 2
        with pytest.raises(IndexError):
            cases[5]

    def test_in_an_order_of_their_own(self, tmp_path: Path, load: Callable[..., Dataset]) -> None:
        write(tmp_path / "d.jsonl", ROWS)  # type: ignore[arg-type]
        held, stored = load(False, shuffle=3), load(True, shuffle=3)
        assert list(stored.cases) == list(held.cases) != list(load(False).cases)
        assert list(stored.case_ids) == list(held.case_ids)

    def test_a_byte_order_mark_is_no_part_of_the_first(
        self, tmp_path: Path, load: Callable[[bool], Dataset]
    ) -> None:
        (tmp_path / "d.jsonl").write_bytes(b'\xef\xbb\xbf{"input": 1}\r\n{"input": 2}')
        assert [case.input for case in load(True).cases] == [1, 2]


class TestAFileThatChanges:
    def test_in_one_case_spoils_that_case_alone(
        self, tmp_path: Path, load: Callable[[bool], Dataset]
    ) -> None:
        file = tmp_path / "d.jsonl"
        write(file, ROWS)  # type: ignore[arg-type]
        cases = load(True).cases
        file.write_text(file.read_text().replace('"expected": 2', '"expected": 7'))
        assert cases[1].expected == 1
        with pytest.raises(DatasetError, match=r"'set': d\.jsonl:3: is not what it was .*resume"):
            cases[2]

    @pytest.mark.parametrize("content", [b"", b"\n" * 500, b"\xff" * 500, b"[" * 500, b'{"a":1}'])
    def test_to_something_else_is_named(
        self, content: bytes, tmp_path: Path, load: Callable[[bool], Dataset]
    ) -> None:
        file = tmp_path / "d.jsonl"
        write(file, ROWS)  # type: ignore[arg-type]
        cases = load(True).cases
        file.write_bytes(content)
        with pytest.raises(DatasetError, match="is not what it was"):
            cases[0]

    def test_by_going_is_named(self, tmp_path: Path, load: Callable[[bool], Dataset]) -> None:
        file = tmp_path / "d.jsonl"
        write(file, ROWS)  # type: ignore[arg-type]
        cases = load(True).cases
        file.unlink()
        with pytest.raises(DatasetError, match=r"d\.jsonl:1: cannot be read: No such file"):
            cases[0]


def test_every_case_is_seen_as_it_is_read(tmp_path: Path) -> None:
    write(tmp_path / "d.jsonl", ROWS)  # type: ignore[arg-type]
    seen: list[Case] = []
    config = DatasetConfig(name="set", source="d.jsonl")
    found = load_dataset(config, Place(tmp_path, tmp_path / "cache"), seen=seen.append)
    assert seen == list(found.cases)
