"""CSV and Parquet: every row, typed, and nothing that a spreadsheet or a terminal would run."""

import csv
import io
import sys
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from pacabench.errors import UsageError
from pacabench.report.csv_table import csv_chunks, harmless
from pacabench.report.export import export_run
from pacabench.report.parquet import parquet_chunks
from pacabench.report.rows import flat_agents, flat_cases
from pacabench.report.view import RunView
from pacabench.testing.records import fake_key, fake_manifest, fake_metered, fake_result


def rows_of(text: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text.decode(), newline="")))


class TestCsv:
    def test_has_the_figures_of_the_json_export(self, mixed: RunView) -> None:
        found = rows_of(b"".join(csv_chunks(flat_cases(mixed))))
        cases = export_run(mixed, include_cases=True)["cases"]
        assert [(row["agent"], row["case_id"]) for row in found] == [
            (case["agent"], case["case_id"]) for case in cases
        ]
        for row, case in zip(found, cases, strict=True):
            assert row["outcome"] == case["outcome"]
            assert row["passed"] == str(case["passed"]).lower()
            for name in ("duration_ms", "ttft_ms", "cost_usd", "input_tokens", "score"):
                assert (float(row[name]) if row[name] else None) == case[name]

    def test_without_cases_has_a_row_per_agent_and_data_set(self, mixed: RunView) -> None:
        found = rows_of(b"".join(csv_chunks(flat_agents(mixed))))
        assert [(row["agent"], row["passed"], row["pending"]) for row in found] == [
            ("agent", "1", "1"),
            ("other", "1", "0"),
        ]
        assert float(found[0]["accuracy_low"]) == pytest.approx(0.0615, abs=1e-4)
        assert found[1]["cost_usd"] == ""  # unknown is not zero

    def test_has_what_a_case_takes_as_the_json_export(self, mixed: RunView) -> None:
        (first, other) = rows_of(b"".join(csv_chunks(flat_agents(mixed))))
        (agent, _) = export_run(mixed, include_cases=False)["agents"]
        for name in ("input_tokens", "output_tokens", "cost_usd"):
            for figure in ("p50", "p95", "mean"):
                assert float(first[f"{name}_per_case_{figure}"]) == agent["per_case"][name][figure]
        assert other["cost_usd_per_case_p95"] == ""

    def test_has_budgets_and_what_was_spent_of_them(
        self, make_view: Callable[..., RunView]
    ) -> None:
        first, second = fake_result(fake_key("c")), fake_result(fake_key("c", agent="other"))
        budget = {
            "run": {"usd": 1.5},
            "agents": {"agent": {"calls": 9}},
            "cases": {"other": {"tokens": 70}},
        }
        view = make_view(
            [first, second],
            [fake_metered(first, 0.25), fake_metered(second, 0.5)],
            fake_manifest(
                budget=budget, planned_cases={"agent": {"data": 1}, "other": {"data": 1}}
            ),
        )
        one, two = rows_of(b"".join(csv_chunks(flat_agents(view))))
        limits = ("run_budget_usd", "run_budget_calls", "agent_budget_calls", "case_budget_tokens")
        assert [one[name] for name in limits] == ["1.5", "", "9", ""]
        assert [two[name] for name in limits] == ["1.5", "", "", "70"]
        spent = ("run_spent_usd", "run_spent_calls", "agent_spent_usd", "agent_spent_calls")
        assert [one[name] for name in spent] == ["0.75", "2", "0.25", "1"]
        assert [two[name] for name in spent] == ["0.75", "2", "0.5", "1"]

    def test_without_a_budget_has_none(self, mixed: RunView) -> None:
        (row, _) = rows_of(b"".join(csv_chunks(flat_agents(mixed))))
        assert {row[name] for name in row if "_budget_" in name or "_spent_" in name} == {""}

    @pytest.mark.parametrize(
        ("text", "shown"),
        [
            ('=HYPERLINK("http://x")', '\'=HYPERLINK("http://x")'),
            ("+1+cmd|' /C calc'!A0", "'+1+cmd|' /C calc'!A0"),
            ("-2+3", "'-2+3"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("  =1+1", "'  =1+1"),
            ("\ufeff=1", "'\\ufeff=1"),
            ("\uff1d1", "'\uff1d1"),
            ("\t=1", "'    =1"),
            ("-5", "-5"),
            ("+1.5e3", "+1.5e3"),
            ("a=b", "a=b"),
            ("", ""),
            ("two\nlines", "two\nlines"),
            ("\x1b]0;x\x07", "\\x1b]0;x\\x07"),
            ("\u202eabc", "\\u202eabc"),
        ],
    )
    def test_text_is_harmless(self, text: str, shown: str) -> None:
        assert harmless(text) == shown

    @given(st.text())
    def test_no_text_begins_as_a_formula_or_holds_a_control(self, text: str) -> None:
        found = harmless(text)
        try:
            float(found)
        except ValueError:
            assert not found.lstrip().startswith(("=", "+", "-", "@"))
        assert all(char == "\n" or ord(char) >= 0x20 for char in found)

    def test_hostile_cells_stay_in_their_cells(self, hostile: RunView, evil: str) -> None:
        text = b"".join(csv_chunks(flat_cases(hostile)))
        assert b"\x1b" not in text
        (row,) = rows_of(text)
        assert set(row) == set(flat_cases(hostile).columns)
        assert "owned" in row["output"]


class TestParquet:
    def test_gives_back_every_value_with_its_type(self, mixed: RunView) -> None:
        content = b"".join(parquet_chunks(flat_cases(mixed)))
        table = parquet.read_table(io.BytesIO(content))
        assert table.to_pylist() == list(flat_cases(mixed).rows)
        kinds = {field.name: str(field.type) for field in table.schema}
        assert (kinds["passed"], kinds["calls"], kinds["cost_usd"], kinds["output"]) == (
            "bool", "int64", "double", "string",
        )  # fmt: skip

    def test_text_is_exact(self, hostile: RunView, evil: str) -> None:
        content = b"".join(parquet_chunks(flat_cases(hostile)))
        (row,) = parquet.read_table(io.BytesIO(content)).to_pylist()
        assert (row["case_id"], row["expected"]) == (evil, evil)

    def test_many_rows_come_in_pieces(
        self, make_view: Callable[..., RunView], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("pacabench.report.parquet._BATCH", 10)
        view = make_view([fake_result(fake_key(str(number))) for number in range(95)])
        chunks = list(parquet_chunks(flat_cases(view)))
        assert len(chunks) == 11
        file = parquet.ParquetFile(io.BytesIO(b"".join(chunks)))
        assert (file.metadata.num_row_groups, file.metadata.num_rows) == (10, 95)

    def test_a_run_without_results_is_a_file_too(self, make_view: Callable[..., RunView]) -> None:
        content = b"".join(parquet_chunks(flat_cases(make_view([]))))
        assert parquet.read_table(io.BytesIO(content)).num_rows == 0

    def test_without_pyarrow_says_what_to_install(
        self, mixed: RunView, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "pyarrow", None)
        with pytest.raises(UsageError, match=r"pacabench\[parquet\]"):
            list(parquet_chunks(flat_cases(mixed)))
