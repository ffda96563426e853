"""A run that was replayed or recorded says so wherever it is shown, and so do its gaps."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from rich.console import RenderableType

from pacabench.report.comparison import compare_runs
from pacabench.report.export import export_run, export_runs
from pacabench.report.markdown import render_markdown
from pacabench.report.misses import misses
from pacabench.report.tables import runs_table, summary_view
from pacabench.report.view import RunView
from pacabench.testing.records import fake_key, fake_manifest, fake_metered, fake_result

DIGEST = f"sha256:{'ab' * 32}"
MakeView = Callable[..., RunView]
Render = Callable[..., str]


def view(make_view: MakeView, cassette: dict[str, Any] | None, *replays: str | None) -> RunView:
    result = fake_result(fake_key())
    calls = [
        replace(made, call=replace(made.call, replay=replay, **_lost(replay)))
        for replay in replays
        for made in [fake_metered(result)]
    ]
    return make_view([result], calls, fake_manifest(cassette=cassette))


def _lost(replay: str | None) -> dict[str, Any]:
    if replay != "unmatched":
        return {}
    why = "no recording fits this call: it differs at /m\x1b[2J"
    return {"end": "upstream_error", "status": None, "sent": False, "error": why}


def cassette(mode: str, **more: Any) -> dict[str, Any]:
    return {"mode": mode, "directory": "/home/me/tape", "id": "ab" * 16, **more}


def test_a_replayed_run_is_not_taken_for_a_live_one(make_view: MakeView, render: Render) -> None:
    it = view(make_view, cassette("replay", replayed=DIGEST), "served", "served")
    for text in (render(summary_view(it)), render_markdown(it, include_cases=False)):
        assert (
            "Replayed: 2 LLM calls answered out of the cassette tape (sha256:abababababab)" in text
        )
    export = export_run(it, include_cases=False)
    assert export["run"]["cassette"] == {
        "mode": "replay",
        "id": "ab" * 16,
        "replayed": DIGEST,
        "recorded": None,
        "not_recorded": 0,
    }
    assert export["agents"][0]["replayed_calls"] == 2
    assert misses(it) is None
    assert "docker, replayed" in render(runs_table([it.record], []))
    assert export_runs([it.record], [])[0]["cassette"] == "replay"


def test_a_mixed_run_says_how_much_was_live(make_view: MakeView, render: Render) -> None:
    it = view(
        make_view, cassette("replay-or-record", replayed=DIGEST, recorded=DIGEST), "served", None
    )
    text = render(summary_view(it))
    assert "Replayed: 1 LLM call answered" in text
    assert "1 LLM call by providers" in text
    assert "Recorded into tape (sha256:abababababab)" in text


def test_calls_without_a_match_are_listed_and_not_counted(
    make_view: MakeView, render: Render
) -> None:
    it = view(make_view, cassette("replay", replayed=DIGEST), "served", "unmatched")
    assert it.summary.total.usage.calls == 1
    assert it.summary.total.usage.failed_calls == 0
    told = render(summary_view(it))
    assert "1 LLM call without a match" in told
    # What helps, and what does not: the same cassette holds no more when it is asked again.
    assert "`resume` would find none either: `run --replay-or-record DIR` asks" in told
    listed: RenderableType | None = misses(it)
    assert listed is not None
    text = render(listed)
    assert "it differs at /m" in text
    assert "\x1b" not in text


def test_a_mixed_run_asks_providers_by_itself(make_view: MakeView, render: Render) -> None:
    it = view(make_view, cassette("replay-or-record", replayed=DIGEST), "unmatched")
    told = render(summary_view(it))
    assert "1 LLM call without a match" in told
    assert "would find none either" not in told


def test_calls_without_a_match_are_told_apart_by_epoch(make_view: MakeView, render: Render) -> None:
    result = fake_result(replace(fake_key(), epoch=2))
    made = fake_metered(result)
    lost = replace(made, call=replace(made.call, replay="unmatched", **_lost("unmatched")))
    manifest = fake_manifest(cassette=cassette("replay", replayed=DIGEST))
    listed = misses(make_view([result], [lost], manifest))
    assert listed is not None
    assert "case-1 (epoch 2): " in render(listed)


def test_what_was_not_recorded_is_said(make_view: MakeView, render: Render) -> None:
    it = view(make_view, cassette("record", recorded=DIGEST, not_recorded=3), None)
    text = render(summary_view(it))
    assert "Not recorded: 3 LLM calls" in text
    assert "Replayed" not in text


def test_a_live_run_says_nothing_of_it(make_view: MakeView, render: Render) -> None:
    it = view(make_view, None, None)
    assert export_run(it, include_cases=False)["run"]["cassette"] is None
    text = render(summary_view(it)) + render(runs_table([it.record], []))
    assert "ecorded" not in text
    assert "eplayed" not in text


def test_a_comparison_with_a_replayed_run_says_so(make_view: MakeView) -> None:
    it = view(make_view, cassette("replay", replayed=DIGEST), "served")
    found = compare_runs(it, it, [("agent", "agent")])
    assert any("Run B was replayed (1 calls out of a cassette)" in text for text in found.warnings)
