"""CSV and Parquet, patterns over files, and which rows are meant."""

import datetime as dt
import decimal
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pacabench.datasets import parquet
from pacabench.datasets.base import Dataset, Row
from pacabench.datasets.csv_file import read_csv
from pacabench.datasets.parquet import read_parquet
from pacabench.errors import DatasetError

Open = Callable[..., Dataset]
ROWS = [{"input": f"q{n}", "expected": str(n), "level": n % 3, "lang": "en"} for n in range(12)]


@pytest.fixture
def project(tmp_path: Path, open_set: Open) -> Path:
    return tmp_path / "project"


def inputs(dataset: Dataset) -> list[object]:
    return [case.input for case in dataset.cases]


def problems(open_set: Open, source: str, **keys: Any) -> list[str]:
    with pytest.raises(DatasetError) as caught:
        open_set(source, **keys)
    return [line.strip() for line in str(caught.value).splitlines()]


class TestCsv:
    def test_cells_are_text_and_quotes_hold_lines_together(
        self, open_set: Open, project: Path
    ) -> None:
        (project / "d.csv").write_bytes(
            b'\xef\xbb\xbfinput,expected,n\r\n"a, ""b""\r\nc",1,007\r\n\r\nd,2,\r\n'
        )
        first, second = open_set("d.csv").cases
        assert (first.input, first.expected, first.metadata) == ('a, "b"\r\nc', "1", {"n": "007"})
        assert (first.where, second.where) == ("d.csv:2", "d.csv:5")
        assert second.metadata == {"n": ""}

    def test_tabs_part_a_tsv(self, open_set: Open, project: Path) -> None:
        (project / "d.tsv").write_text("input\texpected\na,b\tc\n")
        assert open_set("d.tsv").cases[0].input == "a,b"

    def test_bad_rows_are_named_by_line(self, open_set: Open, project: Path) -> None:
        (project / "d.csv").write_text('input,expected\na,"1\n2"\nb\nc,1,2\n')
        assert problems(open_set, "d.csv") == [
            "dataset 'set': 2 things are wrong with d.csv:",
            "d.csv:4: 1 cells, and the header has 2",
            "d.csv:5: 3 cells, and the header has 2",
        ]

    @pytest.mark.parametrize(
        ("content", "problem"),
        [
            (b"", "d.csv:1: has no header"),
            (b"input,input\na,b\n", "d.csv:1: the column 'input' stands twice"),
            (b'input\n"a\n', "d.csv:2: not CSV: unexpected end of data"),
            (b'input\n"a"b\n', "d.csv:2: not CSV:"),
            (b"input\n\xff\xfe\n", "not UTF-8"),
        ],
    )
    def test_a_broken_file_says_where(
        self, open_set: Open, project: Path, content: bytes, problem: str
    ) -> None:
        (project / "d.csv").write_bytes(content)
        assert problem in problems(open_set, "d.csv")[1]

    def test_is_streamed(self, tmp_path: Path) -> None:
        file = tmp_path / "d.csv"
        with file.open("w") as stream:
            stream.write("input,expected\n")
            stream.writelines(f"{'x' * 1000},{n}\n" for n in range(20_000))
        assert peak_bytes(lambda: sum(1 for _ in read_csv(file))) < 2_000_000


def peak_bytes(work: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


class TestParquet:
    def test_values_become_json(self, open_set: Open, project: Path) -> None:
        row = {
            "input": "q",
            "expected": 1,
            "when": dt.datetime(2026, 1, 2, 3, 4, tzinfo=dt.UTC),
            "price": decimal.Decimal("1.50"),
            "share": float("nan"),
            "parts": {"label": ["A", "B"], "text": ["x", None]},
        }
        pq.write_table(pa.Table.from_pylist([row]), project / "d.parquet")
        (case,) = open_set("d.parquet").cases
        assert case.metadata == {
            "when": "2026-01-02T03:04:00+00:00",
            "price": "1.50",
            "share": None,
            "parts": {"label": ["A", "B"], "text": ["x", None]},
        }
        assert case.where == "d.parquet:row 1"

    def test_what_json_cannot_say_is_named_by_row(self, open_set: Open, project: Path) -> None:
        rows = [{"input": "q", "image": None}, {"input": "r", "image": b"\x89PNG"}]
        pq.write_table(pa.Table.from_pylist(rows), project / "d.parquet")
        assert problems(open_set, "d.parquet")[1] == (
            "d.parquet:row 2: column 'image' holds bytes, which JSON cannot say"
        )

    @pytest.mark.parametrize(
        "column",
        [
            pa.array([0, 1], pa.timestamp("ns")),
            pa.array([0, 2**62], pa.timestamp("us")),
            pa.array([0, 2**31 - 1], pa.date32()),
            pa.array([b"ok", b"\xff\xfe"]).view(pa.string()),
        ],
        ids=["nanoseconds", "past the year 9999", "a day past it", "no UTF-8"],
    )
    def test_a_value_that_python_cannot_hold_makes_its_row_bad(
        self, open_set: Open, project: Path, column: Any
    ) -> None:
        table = pa.table({"input": ["a", "b"], "odd": column})
        pq.write_table(table, project / "d.parquet")
        (_, line, *_) = problems(open_set, "d.parquet")
        assert line.startswith("d.parquet:row 2: column 'odd' holds what cannot be read: ")

    def test_a_column_that_stands_twice_is_refused(self, open_set: Open, project: Path) -> None:
        columns = [pa.array(["a"]), pa.array(["b"])]
        pq.write_table(pa.Table.from_arrays(columns, ["input", "input"]), project / "d.parquet")
        assert "the column 'input' stands twice" in problems(open_set, "d.parquet")[1]

    def test_a_broken_file_is_named(self, open_set: Open, project: Path) -> None:
        (project / "d.parquet").write_bytes(b"PAR1 and then nothing")
        assert "cannot be read as Parquet" in problems(open_set, "d.parquet")[1]

    def test_rows_come_in_batches(self, tmp_path: Path) -> None:
        file = tmp_path / "d.parquet"
        rows = [{"input": "x" * 1000 + str(n)} for n in range(20_000)]
        pq.write_table(pa.Table.from_pylist(rows), file, row_group_size=1000)
        del rows
        assert peak_bytes(lambda: sum(1 for _ in read_parquet(file))) < 4_000_000

    def test_without_the_package_it_says_what_to_install(
        self, open_set: Open, project: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def missing(name: str) -> None:
            raise ImportError(name)

        monkeypatch.setattr(parquet.importlib, "import_module", missing)
        (project / "d.parquet").write_bytes(b"")
        (line,) = problems(open_set, "d.parquet")
        assert "pip install 'pacabench[parquet]'" in line


class TestPatterns:
    def write(self, project: Path) -> None:
        (project / "data" / "deep").mkdir(parents=True)
        (project / "data" / "b.jsonl").write_text('{"input": 2}\n')
        (project / "data" / "a.csv").write_text("input\n1\n")
        (project / "data" / "deep" / "c.json").write_text('[{"input": 3}]')

    def test_files_come_in_the_order_of_their_names(self, open_set: Open, project: Path) -> None:
        self.write(project)
        dataset = open_set("data/*.*")
        assert inputs(dataset) == ["1", 2]
        assert [case.where for case in dataset.cases] == ["data/a.csv:2", "data/b.jsonl:1"]
        assert inputs(open_set("data/**/*.*")) == ["1", 2, 3]

    def test_an_id_that_two_files_have_names_both(self, open_set: Open, project: Path) -> None:
        for name in "ab":
            (project / f"{name}.jsonl").write_text('{"input": 1, "case_id": "x"}\n')
        assert problems(open_set, "*.jsonl")[1] == (
            "b.jsonl:1: duplicate case id 'x', first at a.jsonl:1"
        )

    def test_what_matches_nothing_or_what_is_not_read_is_named(
        self, open_set: Open, project: Path
    ) -> None:
        self.write(project)
        (project / "data" / "README.md").write_text("")
        assert "matches no file" in problems(open_set, "*.jsonl")[0]
        assert "matches README.md" in problems(open_set, "data/*")[0]

    def test_a_split_may_be_in_one_of_the_files(self, open_set: Open, project: Path) -> None:
        (project / "a.jsonl").write_text('{"input": 1, "split": "train"}\n')
        (project / "b.jsonl").write_text('{"input": 2, "split": "test"}\n')
        assert inputs(open_set("*.jsonl", split="test")) == [2]
        assert "there are: 'test', 'train'" in problems(open_set, "*.jsonl", split="dev")[1]

    def test_a_name_with_brackets_is_a_name_where_there_is_such_a_file(
        self, open_set: Open, project: Path
    ) -> None:
        (project / "d[1].jsonl").write_text('{"input": 1}\n')
        assert inputs(open_set("d[1].jsonl")) == [1]


class TestFilter:
    @pytest.fixture(autouse=True)
    def rows(self, project: Path) -> None:
        pq.write_table(pa.Table.from_pylist(ROWS), project / "d.parquet")
        (project / "d.csv").write_text("input,level,ok\na,1,true\nb,2,False\n")

    @pytest.mark.parametrize(
        ("wanted", "count"),
        [({"level": 1}, 4), ({"level": [1, 2]}, 8), ({"level": 0, "lang": "en"}, 4)],
    )
    def test_takes_rows_that_have_all_of_it(
        self, open_set: Open, wanted: dict[str, Any], count: int
    ) -> None:
        assert len(open_set("d.parquet", filter=wanted).cases) == count

    def test_in_a_table_of_texts_a_number_is_its_text(self, open_set: Open) -> None:
        assert inputs(open_set("d.csv", filter={"level": 2})) == ["b"]
        assert inputs(open_set("d.csv", filter={"ok": True})) == ["a"]

    def test_true_is_not_one(self, open_set: Open) -> None:
        assert "lets none of 12 rows through" in problems(
            open_set, "d.parquet", filter={"level": True}
        )[1]  # fmt: skip

    def test_a_column_that_no_row_has_is_a_mistake(self, open_set: Open) -> None:
        assert "no row has the column 'levle' that `filter` names" in problems(
            open_set, "d.parquet", filter={"levle": 1}
        )[1]  # fmt: skip

    def test_what_is_not_meant_need_not_be_a_case(self, open_set: Open, project: Path) -> None:
        (project / "e.jsonl").write_text('{"input": 1, "k": 1}\n{"k": 2}\n')
        assert inputs(open_set("e.jsonl", filter={"k": 1})) == [1]


class TestShuffle:
    def test_hangs_on_the_seed_and_on_nothing_else(self, open_set: Open, project: Path) -> None:
        pq.write_table(pa.Table.from_pylist(ROWS), project / "d.parquet")
        plain = inputs(open_set("d.parquet"))
        first = inputs(open_set("d.parquet", shuffle=1))
        assert first == inputs(open_set("d.parquet", shuffle=1))
        assert sorted(first, key=str) == sorted(plain, key=str)
        assert plain != first != inputs(open_set("d.parquet", shuffle=2))
        pq.write_table(pa.Table.from_pylist([*ROWS, {"input": "new"}]), project / "d.parquet")
        again = inputs(open_set("d.parquet", shuffle=1))
        again.remove("new")
        assert again == first


def test_a_row_of_a_table_without_lines_says_which_it_is() -> None:
    assert Row({}, 0, 7).place == "row 7"
