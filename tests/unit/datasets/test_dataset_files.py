"""Files with rows: formats, splits, and every bad row with its line."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pacabench.config.schema import DatasetConfig
from pacabench.datasets import jsonl
from pacabench.datasets.base import Dataset, Place
from pacabench.datasets.load import load_dataset
from pacabench.errors import DatasetError

Load = Callable[..., Dataset]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def read(content: str | bytes | None, name: str = "d.jsonl", **keys: Any) -> Dataset:
        if content is not None:
            data = content if isinstance(content, bytes) else content.encode()
            (tmp_path / name).write_bytes(data)
        config = DatasetConfig(name="set", source=keys.pop("source", name), **keys)
        return load_dataset(config, Place(tmp_path, tmp_path / "cache"))

    return read


def inputs(dataset: Dataset) -> list[object]:
    return [case.input for case in dataset.cases]


def faults(
    load: Load, content: str | bytes | None, name: str = "d.jsonl", **keys: Any
) -> list[str]:
    with pytest.raises(DatasetError) as caught:
        load(content, name, **keys)
    return [line.strip() for line in str(caught.value).splitlines()]


class TestJsonLines:
    @pytest.mark.parametrize(
        "content",
        [
            b'{"input": 1}\n{"input": 2}\n',
            b'{"input": 1}\n{"input": 2}',
            b'\xef\xbb\xbf{"input": 1}\r\n{"input": 2}\r\n',
            b'\n\n{"input": 1}\n   \t\n{"input": 2}\n\n',
        ],
        ids=["plain", "no newline at the end", "bom and crlf", "blank lines"],
    )
    def test_are_read_however_they_were_saved(self, load: Load, content: bytes) -> None:
        assert inputs(load(content)) == [1, 2]

    def test_lines_are_counted_with_blank_ones(self, load: Load) -> None:
        assert [case.where for case in load('\n{"input": 1}\n\n{"input": 2}\n').cases] == [
            "d.jsonl:2",
            "d.jsonl:4",
        ]

    @pytest.mark.parametrize(
        ("row", "problem"),
        [
            ("{bad", "not JSON: unexpected character"),
            ("[1]", "must be an object, not a list"),
            ("3", "must be an object, not a number"),
            ('"x"', "must be an object, not text"),
            ("null", "must be an object, not null"),
            ('{"input": NaN}', "not JSON"),
            ('{"input": Infinity}', "not JSON"),
            ('{"input": "\\ud800"}', "not JSON"),
            ('{"input": 99999999999999999999}', "an integer that 64 bits do not hold"),
            (
                '{"input": 1, "expected": 99999999999999999999}',
                "an integer that 64 bits do not hold",
            ),
            ('{"input": -9223372036854775809}', "an integer that 64 bits do not hold"),
            ('{"input": %s}' % ("9" * 5000), "not JSON"),
            ('{"input": %s}' % ("[" * 245 + "]" * 245), "nested too deeply"),
            ('{"input": %s' % ("[" * 100_000), "not JSON"),
            ('{{"input": {}{}{}}}'.format("[" * 1000, "9" * 19, "]" * 1000), "nested too deeply"),
            ('{"inptu": 1}', "no column 'input' (input_map.input); did you mean 'inptu'?"),
            (
                '{"a": 1, "b": 2}',
                "no column 'input' (input_map.input); the row has 'a', 'b'",
            ),
            ('{"input": null}', "column 'input' (input_map.input) is null"),
            ('{"input": 1, "history": "x"}', "column 'history' (input_map.history) must be a list"),
            ('{"input": 1, "case_id": true}', "a case id must be text or a number"),
            ('{"input": 1, "case_id": [1]}', "a case id must be text or a number"),
            ('{"input": 1, "case_id": " "}', "the case id is empty"),
            ('{"input": 1, "case_id": "%s"}' % ("x" * 5000), "must not be longer than 4096"),
            ('{"input": 1, "case_id": "first"}', "duplicate case id 'first', first on line 1"),
        ],
        ids=lambda value: value[:40],
    )
    def test_a_bad_row_is_named_with_its_line(self, load: Load, row: str, problem: str) -> None:
        head, line = faults(load, f'{{"input": 1, "case_id": "first"}}\n{row}\n')
        assert head == "dataset 'set': one thing is wrong with d.jsonl:"
        assert line.startswith("d.jsonl:2: ")
        assert problem in line

    def test_integers_that_fit_are_kept_exactly(self, load: Load) -> None:
        content = '{"input": 18446744073709551615}\n{"input": -9223372036854775808}\n'
        assert inputs(load(content)) == [2**64 - 1, -(2**63)]

    def test_long_digits_inside_text_are_fine(self, load: Load) -> None:
        assert inputs(load('{"input": "99999999999999999999"}\n')) == ["99999999999999999999"]

    def test_bytes_that_are_not_utf8_are_a_bad_row(self, load: Load) -> None:
        assert faults(load, b'{"input": 1}\n{"input": "\xff"}\n')[1].startswith(
            "d.jsonl:2: not JSON"
        )

    def test_utf16_is_recognised(self, load: Load) -> None:
        lines = faults(load, '{"input": 1}\n'.encode("utf-16"))
        assert lines[1] == "d.jsonl:1: is UTF-16; save it as UTF-8"

    def test_a_line_past_the_limit_is_a_bad_row_and_the_next_is_read(
        self, load: Load, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(jsonl, "MAX_ROW_BYTES", 64)
        long = json.dumps({"input": "x" * 1000})
        fits = json.dumps({"input": "y" * (64 - 13)})
        assert len(fits) == 64
        lines = faults(load, f'{fits}\r\n{long}\n{{"input": 2}}\n[]\n')
        assert [line.split(": ")[0] for line in lines[1:]] == ["d.jsonl:2", "d.jsonl:4"]

    def test_all_bad_rows_are_reported_and_a_flood_is_counted(self, load: Load) -> None:
        lines = faults(load, "[]\n" * 75 + '{"input": 1}\n')
        assert lines[0] == "dataset 'set': 75 things are wrong with d.jsonl:"
        assert len(lines) == 22
        assert lines[-1] == "and 55 more"

    def test_control_characters_do_not_reach_the_screen(self, load: Load) -> None:
        row = json.dumps({"\x1b[31m": 1})
        assert all(line.isprintable() for line in faults(load, row))

    def test_no_rows_is_an_error(self, load: Load) -> None:
        assert faults(load, "\n\n") == ["dataset 'set': d.jsonl: has no rows"]


class TestJsonFiles:
    def test_an_array_is_read_with_the_line_of_each_row(self, load: Load) -> None:
        dataset = load('\ufeff[\n  {"input": 1},\n  {\n"input": 2}\n]\n', "d.json")
        assert inputs(dataset) == [1, 2]
        assert [case.where for case in dataset.cases] == ["d.json:2 (row 1)", "d.json:3 (row 2)"]

    def test_bad_rows_on_one_line_are_told_apart(self, load: Load) -> None:
        twice = '{"input": 1, "case_id": 1}'
        rows = f'[{twice}, {twice}, 7, {{"input": 99999999999999999999}}]'
        assert faults(load, rows, "d.json")[1:] == [
            "d.json:1 (row 2): duplicate case id '1', first on line 1 (row 1)",
            "d.json:1 (row 3): must be an object, not a number",
            "d.json:1 (row 4): an integer that 64 bits do not hold; put it in quotes",
        ]

    @pytest.mark.parametrize(
        ("content", "problem"),
        [
            ('[{"input": 1}\n{"input": 2}]', "d.json:2: not JSON: ',' expected, found '{'"),
            ('[{"input": 1},\n]', "d.json:2: not JSON: Expecting value"),
            ('[{"input": 1}\n', "d.json:2: not JSON: ',' expected, found the end"),
            ('[{"input": 1}]\n[]', "d.json:2: not JSON: something follows the array"),
            ("5", "d.json:1: not JSON: '[' expected, found '5'"),
            ("", "d.json:1: not JSON: '[' expected, found the end"),
            ('[{"input": NaN}]', "d.json:1: in the row that begins here: NaN is no JSON"),
            ('[{"input": -1e400}]', "d.json:1: in the row that begins here: the number -1e400 is"),
            ("[" * 100_000, "d.json:1: nested too deeply"),
            ('[{"input": "\\ud800"}]', "d.json:1 (row 1): text with half a character"),
            ('{"test": [{"input": 1}, x]}', "d.json:1: not JSON: Expecting value"),
            ("{5: []}", "d.json:1: not JSON: a key must be text"),
        ],
        ids=lambda value: value[:30],
    )
    def test_where_the_file_breaks_is_named(self, load: Load, content: str, problem: str) -> None:
        keys = {"split": "test"} if content.startswith("{") else {}
        assert faults(load, content, "d.json", **keys)[-1].startswith(problem)

    def test_one_that_is_not_utf8_is_named(self, load: Load) -> None:
        assert faults(load, b'[\n"\xff"]', "d.json")[1] == "d.json:2: not UTF-8"

    @settings(
        max_examples=200,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    @given(data=st.one_of(st.binary(max_size=60), st.text(alphabet='[]{}",:1 \n\\', max_size=40)))
    @pytest.mark.parametrize("name", ["d.json", "d.jsonl"])
    def test_any_bytes_are_a_data_set_or_an_error(
        self, load: Load, name: str, data: bytes | str
    ) -> None:
        try:
            dataset = load(data, name)
        except DatasetError:
            return
        assert dataset.cases

    @settings(
        max_examples=60,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    @given(
        values=st.lists(
            st.recursive(
                st.one_of(
                    st.booleans(),
                    st.integers(-(2**63), 2**64 - 1),
                    st.floats(allow_nan=False, allow_infinity=False),
                    st.text(st.characters(exclude_categories=["Cs"])),
                ),
                lambda inner: st.lists(inner, max_size=3),
                max_leaves=6,
            ),
            min_size=1,
            max_size=5,
        ),
        indent=st.sampled_from([None, 1]),
    )
    def test_both_formats_give_the_same_cases(
        self, load: Load, values: list[Any], indent: int | None
    ) -> None:
        rows = [{"input": value} for value in values]
        first = load("\n".join(json.dumps(row) for row in rows))
        second = load(json.dumps(rows, indent=indent), "d.json")
        assert inputs(first) == inputs(second) == values
        assert first.digest == second.digest


class TestSplits:
    ROWS = '{"input": 1, "split": "train"}\n{"input": 2, "split": "test"}\n{"input": 3}\n'

    def test_rows_by_their_column(self, load: Load) -> None:
        assert inputs(load(self.ROWS, split="test")) == [2]
        assert len(load(self.ROWS).cases) == 3

    def test_rows_of_an_array_too(self, load: Load) -> None:
        assert inputs(load('[{"input": 1, "split": "a"}, {"input": 2}]', "d.json", split="a")) == [
            1
        ]

    def test_no_such_row_says_which_there_are(self, load: Load) -> None:
        line = faults(load, self.ROWS, split="dev")[1]
        assert line == (
            "d.jsonl: no row's column `split` says 'dev'; there are: 'test', 'train', None"
        )

    def test_arrays_of_an_object(self, load: Load) -> None:
        content = '{"train": [{"input": 1}],\n "test": [{"input": 2}], "other": {"deep": [1]}}'
        assert inputs(load(content, "d.json", split="test")) == [2]
        assert inputs(load(content, "d.json", split="train")) == [1]
        assert faults(load, content, "d.json", split="dev")[1] == (
            "d.json: an object of arrays: no split 'dev'; there are: 'train', 'test', 'other'"
        )
        assert "say which with `split`" in faults(load, content, "d.json")[1]

    def test_files_of_a_directory(self, load: Load, tmp_path: Path) -> None:
        folder = tmp_path / "data"
        folder.mkdir()
        (folder / "test.jsonl").write_text('{"input": 1}\n')
        (folder / "notes.md").write_text("")
        assert inputs(load(None, source="data")) == [1]
        (folder / "dev.json").write_text('[{"input": 2}]')
        assert inputs(load(None, source="data", split="dev")) == [2]
        assert faults(load, None, source="data") == [
            (
                "dataset 'set': data: a directory; say with `split` which file; there are: "
                "dev.json, test.jsonl"
            )
        ]
        assert "no train.jsonl or .json" in faults(load, None, source="data", split="train")[0]
        (folder / "dev.jsonl").write_text('{"input": 3}')
        assert "more than one file for split 'dev'" in faults(
            load, None, source="data", split="dev"
        )[0]  # fmt: skip


class TestSources:
    def test_what_nothing_reads_is_refused_with_what_to_do(
        self, load: Load, tmp_path: Path
    ) -> None:
        (line,) = faults(load, None, source="https://h/x.jsonl", prepare="touch ran")
        assert "is neither a path nor git:, huggingface: or python:" in line
        assert "https://h/x.jsonl" in line
        assert not (tmp_path / "ran").exists()

    @pytest.mark.parametrize("source", ["huggingface:org/name", "python:m:f", "*.jsonl"])
    def test_prepare_does_not_run_for_a_source_that_it_cannot_make(
        self, load: Load, tmp_path: Path, source: str
    ) -> None:
        (line,) = faults(load, None, source=source, prepare="touch ran")
        assert "`prepare`" in line
        assert not (tmp_path / "ran").exists()

    def test_a_password_in_a_url_is_not_shown(self, load: Load) -> None:
        (line,) = faults(load, None, source="https://me:hush@h/x.git")
        assert "hush" not in line

    def test_missing_special_and_unknown_files_are_named(self, load: Load, tmp_path: Path) -> None:
        assert faults(load, None) == ["dataset 'set': d.jsonl: there is no such file or directory"]
        assert "must end in .jsonl, .json, .csv" in faults(load, "a,b\n", "d.txt")[0]
        os.mkfifo(tmp_path / "pipe.jsonl")
        assert "is no regular file" in faults(load, None, "pipe.jsonl")[0]

    def test_a_path_may_be_absolute(self, load: Load, tmp_path: Path) -> None:
        other = tmp_path / "elsewhere.jsonl"
        other.write_text('{"input": 1}\n')
        assert inputs(load(None, source=str(other))) == [1]


class TestDigest:
    ROWS = ('{"input": 1, "expected": "a"}', '{"input": 2, "expected": "b"}')

    def test_is_of_the_content_and_not_of_the_file(self, load: Load) -> None:
        first = load("\n".join(self.ROWS))
        assert first.digest.startswith("sha256:")
        assert load("\r\n\r\n".join(self.ROWS), "other.jsonl").digest == first.digest

    @pytest.mark.parametrize(
        "rows",
        [
            ROWS[::-1],
            ROWS[:1],
            ('{"input": 1, "expected": "a"}', '{"input": 2, "expected": "c"}'),
            ('{"input": 1, "expected": "a", "x": 1}', ROWS[1]),
            ('{"input": 1, "expected": "a", "history": [1]}', ROWS[1]),
            ('{"input": 1, "expected": "a", "case_id": "1"}', ROWS[1]),
        ],
    )
    def test_changes_with_every_part_of_a_case(self, load: Load, rows: tuple[str, ...]) -> None:
        assert load("\n".join(self.ROWS)).digest != load("\n".join(rows)).digest
