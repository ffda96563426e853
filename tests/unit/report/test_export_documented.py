"""docs/export.md names every field of the export, and none that is not there."""

import re
from pathlib import Path

from pacabench.report.export import export_run
from pacabench.report.view import RunView

PAGE = Path(__file__).parents[3] / "docs" / "export.md"


def documented(section: str) -> set[str]:
    """Names in the first column of the section's table."""
    text = PAGE.read_text("utf-8").split(f"## `{section}`", 1)[1].split("\n## ", 1)[0]
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    return {name for row in rows for name in re.findall(r"`(\w+)`", row)}


def test_the_page_and_the_export_agree(mixed: RunView) -> None:
    export = export_run(mixed, include_cases=True)
    assert documented("run") == set(export["run"])
    assert documented("agents[]") == set(export["agents"][0])
    assert documented("cases[]") == set(export["cases"][0])
