"""The Markdown export: figures in tables, warnings first, and no markup that others chose."""

import re

from pacabench.report.markdown import render_markdown
from pacabench.report.view import RunView


def rows(text: str) -> list[list[str]]:
    """Table rows as their cells."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def test_has_facts_warnings_and_figures(mixed: RunView) -> None:
    text = render_markdown(mixed, include_cases=False)
    assert text.startswith("# benchmark\n")
    assert "| Sandbox | docker Docker 20.10.24 |" in text
    assert "> **Note:** 1 case ended by infrastructure (1 provider\\_error)" in text
    figures = next(row for row in rows(text) if row[:2] == ["agent", "data"])
    assert figures == [
        "agent", "data", "33.3%", "6.1-79.2", "1", "2", "**1**", "**1**", "5", "300 ms",
        "54.93 s", "3", "300", "21", "120", "9", "$0.7500", "$0.7500",
    ]  # fmt: skip
    other = next(row for row in rows(text) if row[0] == "other")
    assert other[11:] == ["1", "?", "?", "?", "?", "?", "-"]


def test_tells_what_a_case_takes(mixed: RunView) -> None:
    text = render_markdown(mixed, include_cases=False)
    per_case = rows(text[text.index("## Per case") :])
    assert ["agent", "data", "Latency", "300 ms", "54.93 s", "20.47 s", "3"] in per_case
    assert ["agent", "data", "Input tokens", "100", "190", "100", "3"] in per_case
    assert ["other", "data", "Cost", "-", "-", "-", "0"] in per_case


def test_lists_cases_only_when_asked(mixed: RunView) -> None:
    assert "## Cases" not in render_markdown(mixed, include_cases=False)
    text = render_markdown(mixed, include_cases=True)
    cases = rows(text[text.index("## Cases") :])[2:]
    assert [row[2] for row in cases] == ["case-1", "case-2", "case-3", "case-10", "case-1"]
    assert cases[1] == ["agent", "data", "case-2", "failed", "2", "300 ms", "41", "42", ""]


def test_every_row_has_as_many_cells_as_its_header(hostile: RunView) -> None:
    text = render_markdown(hostile, include_cases=True)
    for table in re.split(r"\n\n", text):
        widths = {len(row) for row in rows(table)}
        assert len(widths) <= 1, table


def test_lets_nothing_through_that_others_chose(hostile: RunView) -> None:
    text = render_markdown(hostile, include_cases=True)
    assert "<script>" not in text
    assert "&lt;script&gt;" in text
    assert not set(text) & (set(map(chr, [*range(32), *range(127, 160), 0x202E])) - {"\n"})
    assert re.search(r"(?<!\\)`", text) is None
