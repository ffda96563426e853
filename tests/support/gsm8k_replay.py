"""GSM8K recorded against a provider that keeps books, and run again with nobody there.

Run as a script it makes the proof and prints its figures:

    python tests/support/gsm8k_replay.py DATA.jsonl [--cases N] [--kills N] [--sandbox KIND]
"""

import argparse
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from decks import packed_too
from gsm8k import KEY, REPOSITORY, Harness, compare, make_project, read_problems

from pacabench.testing import provider_in_thread

FIGURES = (
    "cases",
    "passed",
    "failed",
    "infrastructure",
    "accuracy",
    "calls",
    "input_tokens",
    "output_tokens",
    "cached_tokens",
    "reasoning_tokens",
    "cost_usd",
)


def prove_replay(
    data: Path, *, cases: int | None, kills: int, sandbox: str, cache: Path, span_s: float = 20
) -> dict[str, Any]:
    """Record, replay, compare; the figures. Raises AssertionError on any difference."""
    problems, lines = read_problems(data, cases)
    with tempfile.TemporaryDirectory() as folder:
        project, cassette = Path(folder) / "project", Path(folder) / "cassette"
        with provider_in_thread(problems.reply) as provider:
            make_project(project, lines, provider.base_url, concurrency=4)
            harness = Harness(project, cache)
            began = time.monotonic()
            first = ["run", "--sandbox", sandbox, "--record", str(cassette), "--run-id", "live"]
            for _ in range(kills):
                _kill(harness, first, span_s)
            code, output = harness.run(*first)
            assert code == 0, output.decode("utf-8", "replace")
            recorded_s = time.monotonic() - began
            live = harness.export("live")
            wrong = compare(live, provider, problems)
            assert not wrong, "\n".join(wrong)
            asked = len(provider.books)
            # Where the provider was nobody listens any more, and the key is gone.
        del harness.environ["GSM8K_KEY"]
        began = time.monotonic()
        arguments = ["--sandbox", sandbox, "--replay", str(cassette), "--run-id", "again"]
        code, output = harness.run("run", *arguments, "--concurrency", "2")
        assert code == 0, output.decode("utf-8", "replace")
        replayed_s = time.monotonic() - began
        again = harness.export("again")
        _compare(live, again, exact=not kills)
        assert len(provider.books) == asked
        content = packed_too(cassette)
        assert KEY.encode() not in content
        assert b"sk-pacabench-" not in content
        packed = sum(path.stat().st_size for path in cassette.rglob("*") if path.is_file())
        return {
            "live": {name: live["agents"][0][name] for name in FIGURES},
            "replayed": {name: again["agents"][0][name] for name in FIGURES},
            "provider_was_asked": asked,
            "record_seconds": round(recorded_s, 1),
            "replay_seconds": round(replayed_s, 1),
            "cassette_bytes": packed,
            "cassette": again["run"]["cassette"]["replayed"],
        }


def _compare(live: dict[str, Any], again: dict[str, Any], *, exact: bool) -> None:
    """Case by case; after a kill the books have calls of attempts that do not count."""
    answers = [
        {case["case_id"]: (case["outcome"], case["output"]) for case in run["cases"]}
        for run in (live, again)
    ]
    assert answers[0] == answers[1]
    (one,), (two,) = live["agents"], again["agents"]
    names = FIGURES if exact else FIGURES[:5]
    assert {name: one[name] for name in names} == {name: two[name] for name in names}
    assert two["replayed_calls"] == two["calls"]
    assert live["run"]["cassette"]["recorded"] == again["run"]["cassette"]["replayed"]
    assert live["run"]["cassette"]["not_recorded"] == 0


def _kill(harness: Harness, arguments: list[str], span_s: float) -> None:
    process = harness.start(*arguments)
    try:
        process.wait(timeout=random.uniform(1, span_s))
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
    output, _ = process.communicate()
    assert process.returncode in {-signal.SIGKILL, 0}, output.decode("utf-8", "replace")


def main() -> None:
    """Make the proof and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--cases", type=int)
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--span", type=float, default=20.0)
    parser.add_argument("--sandbox", default="docker")
    options = parser.parse_args()
    figures = prove_replay(
        options.data,
        cases=options.cases,
        kills=options.kills,
        sandbox=options.sandbox,
        cache=REPOSITORY / ".pacabench" / "test-cache",
        span_s=options.span,
    )
    sys.stdout.write(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
