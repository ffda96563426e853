"""How tightly agents were held stands wherever a run is shown, in red where it was too little."""

import csv
from collections.abc import Callable
from io import StringIO
from xml.etree import ElementTree as ET

import orjson
import pytest
from rich.console import Console

from pacabench.report.comparison import compare_runs
from pacabench.report.csv_table import csv_chunks
from pacabench.report.export import export_run, export_runs
from pacabench.report.inspect_log import inspect_chunks
from pacabench.report.junit import junit_chunks
from pacabench.report.markdown import render_markdown
from pacabench.report.rows import Flat, flat_agents, flat_cases
from pacabench.report.tables import runs_table, summary_view
from pacabench.report.view import RunView
from pacabench.testing.records import fake_key, fake_manifest, fake_result

RED = "\x1b[1;31m"
BROKEN = "an agent can make AF_PACKET sockets"


@pytest.fixture
def make(make_view: Callable[..., RunView]) -> Callable[..., RunView]:
    def made(
        profile: str, *, runtime: str | None = None, weak: bool = False, run_id: str = "run-1"
    ) -> RunView:
        kept = {"agent": {"profile": profile, "runtime": runtime}}
        stamp = [{"agents": ["agent"], "promise": BROKEN}] if weak else []
        manifest = fake_manifest(
            run_id=run_id,
            planned_cases={"agent": {"data": 1}},
            sandbox={"kind": "docker", "engine": None, "profiles": kept, "weaknesses": stamp},
        )
        return make_view([fake_result(fake_key())], (), manifest)

    return made


def coloured(renderable: object) -> str:
    console = Console(file=StringIO(), width=200, force_terminal=True, color_system="standard")
    with console.capture() as capture:
        console.print(renderable)
    return capture.get()


def test_strict_is_said_and_nothing_is_red(make: Callable[..., RunView]) -> None:
    view = make("strict")
    text = coloured(summary_view(view)) + coloured(runs_table([view.record], []))
    assert "docker sandbox, profile strict" in text
    assert RED not in text
    assert "| Profile agent | strict |" in render_markdown(view, include_cases=False)
    export = export_run(view, include_cases=False)
    assert export["run"]["sandbox_profiles"] == {"agent": {"profile": "strict", "runtime": None}}
    assert export["run"]["sandbox_weaknesses"] == []
    assert export["agents"][0]["sandbox_profile"] == "strict"
    assert export_runs([view.record], [])[0]["sandbox_held"] is True


def test_a_runtime_is_named(make: Callable[..., RunView]) -> None:
    view = make("vm", runtime="runsc")
    assert "profile vm (runsc)" in coloured(summary_view(view))
    assert "| Profile agent | vm (runsc) |" in render_markdown(view, include_cases=False)


def test_unsafe_is_red(make: Callable[..., RunView]) -> None:
    view = make("unsafe")
    summary, listed = coloured(summary_view(view)), coloured(runs_table([view.record], []))
    assert f"{RED}unsafe" in summary
    assert f"{RED}! Profile `unsafe` for `agent`" in summary
    assert f"{RED}docker, unsafe" in listed
    assert "> **Danger:** Profile" in render_markdown(view, include_cases=False)
    assert export_runs([view.record], [])[0]["sandbox_held"] is False


def test_a_promise_that_did_not_hold_is_red(make: Callable[..., RunView]) -> None:
    view = make("strict", weak=True)
    summary, listed = coloured(summary_view(view)), coloured(runs_table([view.record], []))
    assert f"{RED}! This engine did not hold `agent` as promised" in summary
    assert BROKEN in summary
    assert f"{RED}docker, weak" in listed
    markdown = render_markdown(view, include_cases=False)
    assert "> **Danger:** This engine did not hold" in markdown
    weak = export_run(view, include_cases=False)["run"]["sandbox_weaknesses"]
    assert weak == [{"agents": ("agent",), "promise": BROKEN}]
    assert export_runs([view.record], [])[0]["sandbox_held"] is False


@pytest.mark.parametrize("flat", [flat_agents, flat_cases])
@pytest.mark.parametrize("weak", [False, True])
def test_tables_for_programs_say_it_in_each_row(
    make: Callable[..., RunView], flat: Callable[[RunView], Flat], *, weak: bool
) -> None:
    text = b"".join(csv_chunks(flat(make("compat", weak=weak)))).decode()
    (row,) = csv.DictReader(StringIO(text))
    told = [row[name] for name in ("sandbox", "sandbox_profile", "sandbox_weaknesses")]
    assert told == ["docker", "compat", BROKEN if weak else ""]


def test_suites_for_ci_say_it(make: Callable[..., RunView]) -> None:
    def told(view: RunView) -> list[tuple[str | None, str | None]]:
        root = ET.fromstring(b"".join(junit_chunks(view, include_cases=False)))
        return [(it.get("name"), it.get("value")) for it in root.iter("property")]

    strict = [("sandbox", "docker"), ("sandbox_profile", "strict")]
    assert told(make("strict")) == strict
    assert told(make("strict", weak=True, run_id="run-2")) == [
        *strict,
        ("sandbox_weakness", BROKEN),
    ]


def test_logs_for_inspect_say_it(make: Callable[..., RunView]) -> None:
    view = make("unsafe", weak=True)
    (summary,) = view.summary.agents
    metadata = orjson.loads(b"".join(inspect_chunks(view, summary)))["eval"]["metadata"]
    assert metadata["sandbox_profile"] == "unsafe"
    assert metadata["sandbox_weaknesses"] == [BROKEN]


def test_a_comparison_says_of_which_run_it_is(make: Callable[..., RunView]) -> None:
    weakly = make("strict", weak=True, run_id="run-2")
    compared = compare_runs(make("unsafe"), weakly, [("agent", "agent")])
    unsafe, weak = (text for text in compared.warnings if text.startswith("Run "))
    assert unsafe.startswith("Run A: Profile `unsafe` for `agent`")
    assert weak.startswith("Run B: This engine did not hold `agent` as promised")
    assert BROKEN in weak


def test_an_audit_of_the_engine_goes_into_the_export(make_view: Callable[..., RunView]) -> None:
    audit = {"at": "2026-01-02T03:04:05.678Z", "held": 66, "broken": 0, "unproven": 2}
    manifest = fake_manifest(
        planned_cases={"agent": {"data": 1}}, sandbox={"kind": "docker", "audit": audit}
    )
    view = make_view([fake_result(fake_key())], (), manifest)

    assert export_run(view, include_cases=False)["run"]["audit"] == audit
