"""A run on disk that has something of everything, hostile names included."""

import asyncio
from collections.abc import Callable, Sequence
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console, RenderableType

from pacabench.egress import CaseEgress
from pacabench.model import CaseResult, Evaluation, ExitFacts, MeteredCall, Outcome, Usage
from pacabench.report.view import RunView, read_view
from pacabench.store import Manifest, RunStore, load_run
from pacabench.testing.records import (
    fake_egress,
    fake_key,
    fake_manifest,
    fake_metered,
    fake_result,
)

EVIL = "\x1b]0;owned\x07\x1b[2J[bold red]x[/]|`<script>\u202e\n\r\x9b1m"
"""Terminal commands (ESC, OSC, C1), rich markup, a table border, code, HTML, bidi, line ends."""


@pytest.fixture
def make_view(tmp_path: Path) -> Callable[..., RunView]:
    def make(
        results: Sequence[CaseResult],
        calls: Sequence[MeteredCall] = (),
        manifest: Manifest | None = None,
        egress: Sequence[CaseEgress] = (),
    ) -> RunView:
        async def fill(store: RunStore) -> None:
            for call in calls:
                store.append_call(call)
            for way in egress:
                store.append_egress(way)
            for result in results:
                await store.append_result(result)

        with RunStore.create(tmp_path / "runs", manifest or fake_manifest(), "") as store:
            store.begin_session()
            asyncio.run(fill(store))
            store.end_session("finished")
        return read_view(load_run(store.run_dir))

    return make


@pytest.fixture
def render() -> Callable[..., str]:
    def to_text(renderable: RenderableType, *, width: int = 200) -> str:
        # Markup on and colours on: what a careless caller's console would do.
        console = Console(file=StringIO(), width=width, force_terminal=True, color_system=None)
        with console.capture() as capture:
            console.print(renderable)
        return capture.get()

    return to_text


@pytest.fixture
def evil() -> str:
    return EVIL


@pytest.fixture
def mixed(make_view: Callable[..., RunView]) -> RunView:
    """Passed, wrong, timed out, retried, failed by infrastructure, pending; two agents."""
    passed = fake_result(fake_key("case-1"))
    retried = fake_key("case-2")
    lost = fake_result(retried, Outcome.SANDBOX_ERROR)
    wrong = fake_result(retried, Outcome.FAILED, number=2, duration_ms=300.0)
    timeout = fake_result(fake_key("case-10"), Outcome.TIMEOUT, duration_ms=61_000.0)
    broken = fake_result(fake_key("case-3"), Outcome.PROVIDER_ERROR)
    other = fake_result(fake_key("case-1", agent="other"))
    usage = Usage(input_tokens=60, cached_tokens=40, output_tokens=7, reasoning_tokens=3)
    calls = [
        fake_metered(passed, 0.25, usage=usage, started_at=5.0, ttft_ms=12.5),
        fake_metered(lost, 0.25, usage=usage),
        fake_metered(wrong, 0.25, usage=usage),
        fake_metered(broken, 0.0, status=500, usage=None, error="upstream said no"),
        fake_metered(other, None, usage=None, end="client_gone"),
    ]
    manifest = fake_manifest(
        planned_cases={"agent": {"data": 5}, "other": {"data": 1}},
        dataset_hashes={"data": "sha256:abc"},
        config_fingerprint="sha256:def",
        sandbox={
            "kind": "docker",
            "engine": "Docker 20.10.24",
            "image_digests": {"agent": "sha256:1"},
            "profiles": {"agent": {"profile": "strict"}, "other": {"profile": "compat"}},
        },
    )
    egress = [
        fake_egress(passed, bytes_up=10, bytes_down=200),
        fake_egress(lost, host="en.wikipedia.org", bytes_up=1),
        fake_egress(wrong, host="evil.example", verdict="denied", reason="not_listed"),
        fake_egress(wrong, verdict="denied", reason="many_more", host="", port=None, count=7),
    ]
    return make_view([passed, lost, wrong, timeout, broken, other], calls, manifest, egress)


@pytest.fixture
def hostile(make_view: Callable[..., RunView]) -> RunView:
    """Every text that somebody else can choose is ``EVIL``."""
    key = fake_key(EVIL, agent=EVIL, dataset=EVIL)
    facts = ExitFacts(
        exit_code=1, signal=None, out_of_memory=False, killed=False,
        stdout_bytes=1, stderr_bytes=1, stderr_tail=EVIL,
    )  # fmt: skip
    result = fake_result(
        key,
        Outcome.FAILED,
        output={EVIL: [EVIL]},
        expected=EVIL,
        error=EVIL,
        evaluation=Evaluation(passed=False, score=0.0, details={EVIL: EVIL}),
        exit=facts,
        log=EVIL,
    )
    call = fake_metered(
        result, provider=EVIL, endpoint=EVIL, model=EVIL, answered_model=EVIL, error=EVIL
    )
    manifest = fake_manifest(
        name=EVIL,
        description=EVIL,
        author=EVIL,
        started=EVIL,
        package_version=EVIL,
        planned_cases={EVIL: {EVIL: 2}},
        dataset_hashes={EVIL: EVIL},
        providers=({"name": EVIL, "kind": EVIL},),
        sandbox={
            "kind": EVIL,
            "engine": EVIL,
            "image_digests": {EVIL: EVIL},
            "profiles": {EVIL: {"profile": EVIL, "runtime": EVIL}},
            "weaknesses": [{"agents": [EVIL], "promise": EVIL}],
        },
    )
    way = fake_egress(result, method=EVIL, host=EVIL, address=EVIL, reason=EVIL, detail=EVIL)
    return make_view([result], [call], manifest, [way])
