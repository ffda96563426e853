"""A lane holder or the sidecar is killed in mid-attempt: noticed at once, made again, gone on."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pacabench.events import AttemptFinished, AttemptStarted, CallFinished, Event
from pacabench.job import RunReport
from pacabench.model import CaseResult, Outcome
from pacabench.run import RunRequest, start_run
from pacabench.sandbox.docker.engine import Engine
from pacabench.scheduler import Stop
from pacabench.store import load_run
from tests.integration.docker.conftest import OBEDIENT, containers_of, eventually, left_over

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300)]  # images may have to be built

AT_ONCE_S = 1.8
"""It takes a tenth of it; the rest is for a machine with other things to do."""
CONFIG = """\
name: deaths
config:
  {concurrency: 2, max_retries: 4, timeout_seconds: 100, cache_directory: CACHE,
   proxy: {provider: scripted}}
agents: [{name: a, command: python3 -u agent.py, source: source}]
datasets: [{name: d, source: cases.jsonl}]
"""


@dataclass
class Watch:
    """A run, and when what happened in it."""

    running: set[str] = field(default_factory=set)
    called: set[str] = field(default_factory=set)
    """Attempts at work that have made their call: they now wait, and say nothing."""
    ended: list[tuple[float, CaseResult]] = field(default_factory=list)

    def __call__(self, event: Event) -> None:
        match event:
            case AttemptStarted(key=key):
                self.running.add(key.case_id)
                self.called.discard(key.case_id)
            case CallFinished(call=call):
                self.called.add(call.key.case_id)
            case AttemptFinished(result=result):
                self.running.discard(result.key.case_id)
                self.ended.append((time.monotonic(), result))

    async def waiting(self, at_least: int) -> None:
        """Until every attempt at work has made its call."""

        async def all_wait() -> bool:
            return len(self.running) >= at_least and self.running <= self.called

        await eventually(all_wait, within_s=100)

    async def lost(self, count: int, since: float) -> float:
        """Wait until ``count`` attempts were lost after ``since``; seconds to the last."""

        def found() -> list[float]:
            return [
                at for at, it in self.ended if at > since and it.outcome is Outcome.SANDBOX_ERROR
            ]

        async def enough() -> bool:
            return len(found()) >= count

        await eventually(enough, within_s=60)
        return max(found()) - since


@asynccontextmanager
async def open_run(folder: Path, cache_dir: Path, watch: Watch) -> AsyncIterator["Run"]:
    """Two cases at a time that ask the model once and then say nothing for a while."""
    (folder / "source").mkdir()
    (folder / "source" / "agent.py").write_text(OBEDIENT)
    code = "ask_model('ping'); time.sleep(8); say('done')"
    rows = [{"case_id": f"c{n}", "input": code, "expected": "done"} for n in range(2)]
    (folder / "cases.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (folder / "pacabench.yaml").write_text(CONFIG.replace("CACHE", str(cache_dir)))
    request = RunRequest(folder / "pacabench.yaml", run_id=f"deaths-{time.monotonic_ns():x}")
    task = asyncio.create_task(
        start_run(request, accept_changes=False, listener=watch, stop=Stop())
    )
    try:
        yield Run(str(request.run_id), folder / "runs" / str(request.run_id), task)
    finally:
        task.cancel()
        await asyncio.wait({task})


@dataclass
class Run:
    run_id: str
    folder: Path
    task: "asyncio.Task[RunReport]"


async def kill(engine: Engine, container: str) -> float:
    await engine.call(lambda client: client.kill(container))
    return time.monotonic()


async def test_a_killed_holder_and_a_killed_sidecar_cost_their_attempts_and_no_more(
    tmp_path: Path, cache_dir: Path, engine: Engine
) -> None:
    watch = Watch()
    async with open_run(tmp_path, cache_dir, watch) as run:
        await watch.waiting(2)
        holder = (await containers_of(engine, run.run_id, "lane"))[0]
        holder_s = await watch.lost(1, await kill(engine, holder))
        assert len(watch.ended) == 1  # the neighbour in the other lane works on
        await watch.waiting(1)
        (sidecar,) = await containers_of(engine, run.run_id, "sidecar")
        at_work = len(watch.running)
        sidecar_s = await watch.lost(at_work, await kill(engine, sidecar))
        report = await run.task

    print(f"noticed: holder {holder_s * 1000:.0f} ms, sidecar {sidecar_s * 1000:.0f} ms")  # noqa: T201
    assert holder_s < AT_ONCE_S
    assert sidecar_s < AT_ONCE_S
    assert (report.summary.agents[0].passed, report.infrastructure_left) == (2, 0)
    results = load_run(run.folder).results()
    outcomes = [result.outcome for result in results]
    assert set(outcomes) == {Outcome.PASSED, Outcome.SANDBOX_ERROR}
    assert outcomes.count(Outcome.PASSED) == 2
    # One call per attempt is on the books, also of those that were lost.
    assert len(list(load_run(run.folder).calls())) == len(outcomes)
    assert await left_over(engine, run.run_id) == []
