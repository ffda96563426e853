"""What was exported holds expected answers: no format of it goes into an agent's image."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pacabench.report.csv_table import csv_chunks
from pacabench.report.export import export_chunks
from pacabench.report.inspect_log import inspect_chunks
from pacabench.report.junit import junit_chunks
from pacabench.report.markdown import render_markdown
from pacabench.report.parquet import parquet_chunks
from pacabench.report.rows import flat_agents, flat_cases
from pacabench.report.view import RunView
from pacabench.sandbox.docker.images.source_files import scan_source

WRITERS: dict[str, Callable[[RunView], Iterator[bytes]]] = {
    "json": lambda view: export_chunks(view, include_cases=True),
    "md": lambda view: iter([render_markdown(view, include_cases=True).encode()]),
    "csv": lambda view: csv_chunks(flat_cases(view)),
    "csv of agents": lambda view: csv_chunks(flat_agents(view)),
    "parquet": lambda view: parquet_chunks(flat_cases(view)),
    "junit": lambda view: junit_chunks(view, include_cases=True),
    "inspect": lambda view: inspect_chunks(view, view.summary.agents[0]),
}


@pytest.mark.parametrize("name", WRITERS)
def test_an_export_of_any_name_stays_out(mixed: RunView, tmp_path: Path, name: str) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (project / "case").write_bytes(b"".join(WRITERS[name](mixed)))
    (project / "agent.py").write_text("run_id,agent = 1, 2")
    (project / "weights.parquet").write_bytes(b"PAR1 something else PAR1")
    found = {entry.path for entry in scan_source(project, ()).entries}
    assert found == {"agent.py", "weights.parquet"}
