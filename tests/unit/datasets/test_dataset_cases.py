"""Columns, ids, and what agents get to see."""

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pacabench.columns import MISSING, find, without
from pacabench.config.schema import DatasetConfig
from pacabench.datasets.base import Dataset, Place
from pacabench.datasets.load import load_dataset
from pacabench.errors import DatasetError
from pacabench.model import Case
from pacabench.protocol import encode_case

Load = Callable[..., Dataset]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def read(*rows: Any, **keys: Any) -> Dataset:
        (tmp_path / "d.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
        return load_dataset(
            DatasetConfig(name="set", source="d.jsonl", **keys), Place(tmp_path, tmp_path / "cache")
        )

    return read


def seen(case: Case) -> dict[str, Any]:
    """What the agent reads of a case, its id aside."""
    message: dict[str, Any] = json.loads(encode_case(case, shown_id="-"))
    return message


class TestColumns:
    ROW: dict[str, Any] = {"a": {"b": 1, "c": [{"d": 2}]}, "a.b": 3, "x": None}  # noqa: RUF012

    @pytest.mark.parametrize(
        ("column", "value"),
        [
            ("a.b", 3),
            ("a.c.0.d", 2),
            ("a.c.1", MISSING),
            ("a.c.x", MISSING),
            ("a.z", MISSING),
            ("x", None),
            ("x.y", MISSING),
            ("", MISSING),
        ],
    )
    def test_a_path_leads_to_a_value(self, column: str, value: object) -> None:
        assert find(self.ROW, column) == value

    @pytest.mark.parametrize(
        ("row", "column", "rest"),
        [
            ({"a": 1, "b": 2}, "a", {"b": 2}),
            ({"a": {"b": 1, "c": 2}}, "a.b", {"a": {"c": 2}}),
            ({"a": {"b": {"c": 1}}, "d": 1}, "a.b.c", {"d": 1}),
            ({"a": [{"b": 1}, {"b": 2}], "c": 1}, "a.0.b", {"c": 1}),
            ({"a.b": 1, "a": {"b": 2}}, "a.b", {"a": {"b": 2}}),
            ({"a": 1}, "z", {"a": 1}),
        ],
    )
    def test_what_is_mapped_is_taken_out(
        self, row: dict[str, Any], column: str, rest: dict[str, Any]
    ) -> None:
        before = json.dumps(row)
        assert without(row, column) == rest
        assert json.dumps(row) == before


class TestMapping:
    def test_columns_go_where_the_map_says_and_the_rest_is_metadata(self, load: Load) -> None:
        row = {"q": "2+2?", "a": "4", "id": 7, "turns": [{"role": "user"}], "level": "easy"}
        (case,) = load(
            row, input_map={"input": "q", "expected": "a", "case_id": "id", "history": "turns"}
        ).cases
        assert case.input == "2+2?"
        assert case.expected == "4"
        assert case.case_id == "7"
        assert case.history == ({"role": "user"},)
        assert case.metadata == {"level": "easy"}
        assert case.where == "d.jsonl:1"

    def test_default_columns_may_be_missing(self, load: Load) -> None:
        (case,) = load({"input": "q"}).cases
        assert case.expected is None
        assert case.history == ()

    @pytest.mark.parametrize("role", ["expected", "case_id"])
    def test_a_column_that_the_map_names_must_be_there(self, load: Load, role: str) -> None:
        with pytest.raises(DatasetError, match=rf"d\.jsonl:2: no column 'mine' \(input_map.{role}"):
            load({"input": 1, "mine": "1"}, {"input": 2}, input_map={role: "mine"})

    def test_a_named_history_may_be_missing(self, load: Load) -> None:
        cases = load({"input": 1}, {"input": 2, "t": [1]}, input_map={"history": "t"}).cases
        assert [case.history for case in cases] == [(), (1,)]

    @pytest.mark.parametrize(
        ("value", "case_id"),
        [(1, "1"), (1.5, "1.5"), ("x y/../z", "x y/../z"), ("\u00e9", "\u00e9")],
    )
    def test_ids_become_text_and_are_kept(self, load: Load, value: object, case_id: str) -> None:
        assert load({"input": 1, "case_id": value}).cases[0].case_id == case_id


class TestSecrecy:
    """Whatever the map, an agent's message does not hold the expected answer."""

    @pytest.mark.parametrize(
        ("row", "columns"),
        [
            ({"input": "q", "expected": "SECRET"}, {}),
            ({"input": "q", "gold": "SECRET", "x": 1}, {"expected": "gold"}),
            ({"qa": {"q": "q", "a": "SECRET", "b": 1}}, {"input": "qa.q", "expected": "qa.a"}),
            ({"input": "q", "qa": {"a": "SECRET", "at": "SECRET"}}, {"expected": "qa.a"}),
            ({"input": "q", "answers": ["SECRET", "SECRET 2"]}, {"expected": "answers.0"}),
            ({"input": "q", "a.b": "SECRET"}, {"expected": "a.b"}),
            (
                {"turns": [{"text": "q"}, {"text": "SECRET"}]},
                {"input": "turns.0.text", "expected": "turns.1.text"},
            ),
        ],
    )
    def test_the_expected_answer_stays_in_the_harness(
        self, load: Load, row: dict[str, Any], columns: dict[str, str]
    ) -> None:
        (case,) = load(row, input_map=columns).cases
        assert "SECRET" in str(case.expected)
        message = seen(case)
        assert message["input"] == "q"
        assert "SECRET" not in json.dumps(message)
        assert "SECRET" not in case.case_id

    def test_what_stands_beside_the_input_stays(self, load: Load) -> None:
        (case,) = load({"qa": {"q": "q", "context": "c"}}, input_map={"input": "qa.q"}).cases
        assert case.metadata == {"qa": {"context": "c"}}

    def test_hidden_columns_are_not_seen(self, load: Load) -> None:
        row = {"input": 1, "solution": "S", "meta": {"hint": "S", "level": 1}, "history": ["S"]}
        (case,) = load(row, hide=["solution", "meta.hint", "history"]).cases
        assert case.metadata == {"meta": {"level": 1}}
        assert case.history == ()

    def test_a_hidden_column_that_no_row_has_is_an_error(self, load: Load) -> None:
        with pytest.raises(DatasetError, match=r"no row has the column 'solutoin' that `hide`"):
            load({"input": 1, "solution": 1}, hide=["solutoin"])
        load({"input": 1}, {"input": 2, "solution": 1}, hide=["solution"])

    @pytest.mark.parametrize("name", ["case_id", "id"])
    def test_a_hidden_id_makes_hidden_cases(self, load: Load, name: str) -> None:
        (case,) = load({"input": 1, "id": "x"}, input_map={"case_id": "id"}, hide=[name]).cases
        assert case.hidden
        assert case.case_id == "x"
        assert case.metadata == {}

    def test_a_made_up_id_does_not_tell_the_answer(self, load: Load) -> None:
        """With the answer in the hash an agent could try its guesses against its case id."""
        for columns, hide in (({}, ()), ({"expected": "label"}, ("why",))):
            answer = columns.get("expected", "expected")
            ids = {
                load({"input": "q", answer: guess, "why": 1} | ({"why": guess} if hide else {}),
                     input_map=columns, hide=hide).cases[0].case_id
                for guess in "ABCD"
            }  # fmt: skip
            assert len(ids) == 1

    def test_a_column_that_repeats_the_answer_is_a_notice(self, load: Load) -> None:
        rows = [{"input": n, "expected": f"{n}!", "label": f"{n}!", "n": n} for n in range(3)]
        (notice,) = load(*rows).notices
        assert "'label'" in notice
        assert "hide: [label]" in notice
        assert load(*rows, hide=["label"]).notices == ()
        rows[1]["label"] = "other"
        assert load(*rows).notices == ()

    def test_rows_without_an_answer_repeat_nothing(self, load: Load) -> None:
        assert load({"input": 1, "x": None}, {"input": 2, "x": None}).notices == ()


class TestWithheld:
    """What evaluators see and agents do not."""

    ROW = {"input": 1, "qa": {"answer": "a", "choices": [1]}, "test": "t", "x": 2}  # noqa: RUF012

    def test_is_what_hide_names_and_what_stands_beside_the_answer(self, load: Load) -> None:
        (case,) = load(self.ROW, input_map={"expected": "qa.answer"}, hide=["test"]).cases
        assert case.withheld == {"qa": self.ROW["qa"], "test": "t"}
        assert case.metadata == {"x": 2}
        assert not case.withheld.keys() & seen(case).keys()

    def test_is_part_of_the_digest(self, load: Load) -> None:
        first = load(self.ROW, input_map={"expected": "qa.answer"}, hide=["test"])
        other = {**self.ROW, "test": "another"}
        second = load(other, input_map={"expected": "qa.answer"}, hide=["test"])
        assert first.digest != second.digest
        assert first.cases[0].case_id == second.cases[0].case_id


class TestMadeUpIds:
    ROWS = tuple({"input": text, "level": 1} for text in ("a", "b", "c"))

    def ids(self, dataset: Dataset) -> list[str]:
        return [case.case_id for case in dataset.cases]

    def test_are_the_same_on_every_load(self, load: Load) -> None:
        first = self.ids(load(*self.ROWS))
        assert self.ids(load(*self.ROWS)) == first
        assert all(case_id.startswith("row-") for case_id in first)

    def test_do_not_depend_on_the_order(self, load: Load) -> None:
        ids = dict(zip("abc", self.ids(load(*self.ROWS)), strict=True))
        for order in itertools.permutations(self.ROWS):
            expected = [ids[row["input"]] for row in order]
            assert self.ids(load(*order)) == expected

    def test_an_inserted_row_changes_no_other(self, load: Load) -> None:
        before = self.ids(load(*self.ROWS))
        for place in range(4):
            rows = [*self.ROWS]
            rows.insert(place, {"input": "new", "level": 1})
            after = self.ids(load(*rows))
            del after[place]
            assert after == before

    def test_the_order_of_keys_does_not_count(self, load: Load) -> None:
        row = {"input": "a", "x": {"p": 1, "q": 2}}
        other = {"x": {"q": 2, "p": 1}, "input": "a"}
        assert self.ids(load(row)) == self.ids(load(other))

    def test_copies_are_numbered(self, load: Load) -> None:
        first, second, third = self.ids(load(*[self.ROWS[0]] * 3))
        assert (second, third) == (f"{first}-2", f"{first}-3")
