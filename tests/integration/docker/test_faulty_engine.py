"""An engine that stalls, cuts, garbles or refuses single calls: each has a deadline and a name.

A real run, on the real engine, through a socket that misbehaves once for every call that a case
takes. No case is lost, none is held against its agent, and nothing stays on the engine.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pacabench.errors import EngineUnreachableError, PacabenchError
from pacabench.events import AttemptFinished, AttemptStarted, Event
from pacabench.job import RunReport
from pacabench.model import CaseResult, Outcome
from pacabench.run import RunRequest, start_run
from pacabench.sandbox.docker import engine as engine_module
from pacabench.sandbox.docker.engine import Engine, open_engine
from pacabench.scheduler import Stop
from tests.integration.docker.conftest import OBEDIENT, Rig, left_over
from tests.support.faulty_engine import (
    Act,
    Fault,
    FaultyEngine,
    cut,
    cut_in_the_answer,
    done_and_never_answered,
    done_but_refused,
    faulty_engine,
    half_answered,
    never_answered,
    no_http,
    no_json,
    other_json,
    refused,
)

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300)]  # images may have to be built

CONFIG = """\
name: faulty
config: {concurrency: 3, max_retries: 8, timeout_seconds: 60, cache_directory: CACHE,
   proxy: PROVIDER}
agents: [{name: a, command: python3 -u agent.py, source: source}]
datasets: [{name: d, source: cases.jsonl}]
"""
CASES = 14
CREATE = "POST /containers/create"
ATTACH, START = "POST /containers/[^/]+/attach", "POST /containers/[^/]+/start"
KILL, WAIT = "POST /containers/[^/]+/kill", "POST /containers/[^/]+/wait"
INSPECT, REMOVE = "GET /containers/[0-9a-f]+/json", "DELETE /containers/[^/]+"
TELLING = (CREATE, WAIT, ATTACH, INSPECT)
"""Those whose answer is read."""
EVERY_CALL = (WAIT, CREATE, ATTACH, START, KILL, INSPECT, REMOVE)
STALL_S = 5.0


@pytest.fixture
def faulty(monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyEngine]:
    """An engine that DOCKER_HOST points at."""
    with faulty_engine() as made:
        monkeypatch.setenv("DOCKER_HOST", made.host)
        yield made


@dataclass
class Watch:
    """A run's events; ``on_first_case`` is called when cases begin."""

    on_first_case: Callable[[], None]
    begun: bool = False
    ended: list[CaseResult] = field(default_factory=list)

    def __call__(self, event: Event) -> None:
        if isinstance(event, AttemptStarted) and not self.begun:
            self.begun = True
            self.on_first_case()
        elif isinstance(event, AttemptFinished):
            self.ended.append(event.result)


async def run_it(
    folder: Path, cache_dir: Path, watch: Watch, *, provider: str = "{provider: scripted}"
) -> tuple[str, RunReport]:
    """Cases of which every other one has an agent that stays after its answer."""
    (folder / "source").mkdir()
    (folder / "source" / "agent.py").write_text(OBEDIENT)
    codes = ("say('done')", "say('done'); time.sleep(99)")
    config = CONFIG.replace("CACHE", str(cache_dir)).replace("PROVIDER", provider)
    rows = [{"case_id": f"c{n}", "input": codes[n % 2], "expected": "done"} for n in range(CASES)]
    (folder / "cases.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (folder / "pacabench.yaml").write_text(config)
    run_id = f"faulty-{time.monotonic_ns():x}"
    request = RunRequest(folder / "pacabench.yaml", run_id=run_id)
    report = await start_run(request, accept_changes=False, listener=watch, stop=Stop())
    return run_id, report


@asynccontextmanager
async def the_real_one() -> AsyncIterator[Engine]:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("DOCKER_HOST")
        async with open_engine(workers=2) as engine:
            yield engine


def expect(report: RunReport, watch: Watch) -> None:
    """Every case passed in the end, and nothing was held against an agent meanwhile."""
    lost = [(it.outcome, it.error) for it in watch.ended if it.outcome is not Outcome.PASSED]
    assert {outcome for outcome, _ in lost} <= {Outcome.SANDBOX_ERROR}, lost
    total = report.summary.total
    assert (total.passed, report.infrastructure_left, report.pending) == (CASES, 0, 0), lost


STALLS = (never_answered, done_and_never_answered, half_answered)
CUTS = (cut, cut_in_the_answer, no_http)
LIES = (no_json, other_json)


@pytest.mark.parametrize(
    ("acts", "calls"),
    [(STALLS, EVERY_CALL), (CUTS, EVERY_CALL), (LIES, TELLING)],
    ids=["stalls", "cuts", "lies"],
)
async def test_no_fault_of_any_call_costs_a_case(
    acts: Sequence[Act],
    calls: Sequence[str],
    faulty: FaultyEngine,
    tmp_path: Path,
    cache_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each call that a case takes goes wrong once, with good ones in between: no outage."""
    faults: list[Fault] = []

    def begin() -> None:
        if acts is STALLS:
            monkeypatch.setattr(engine_module, "CALL_TIMEOUT_S", STALL_S)
        for number, call in enumerate(calls):
            faults.append(faulty.fail(call, acts[number % len(acts)], turn=2 * number + 1))

    watch = Watch(begin)
    run_id, report = await run_it(tmp_path, cache_dir, watch)
    expect(report, watch)
    assert [fault.call for fault in faults if fault.hits != 1] == []
    async with the_real_one() as engine:
        assert await left_over(engine, run_id) == []


GONE = "No such container: x"
RACES = (
    (CREATE, refused("500 Internal Server Error", "devmapper: thin pool has no room yet")),
    (ATTACH, refused("409 Conflict", "container x is marked for removal")),
    (START, refused("404 Not Found", GONE)),
    (START, refused("500 Internal Server Error", "network namespace of the joined one is gone")),
    (KILL, refused("500 Internal Server Error", "cannot kill container: x: removal in progress")),
    (KILL, done_but_refused("409 Conflict", "Container x is not running")),
    (INSPECT, refused("500 Internal Server Error", "could not read the container")),
    (WAIT, refused("404 Not Found", GONE)),
    (REMOVE, refused("409 Conflict", "removal of container x is already in progress")),
    (REMOVE, done_but_refused("500 Internal Server Error", "driver: device or resource busy")),
    (REMOVE, done_but_refused("404 Not Found", GONE)),
    ("DELETE /volumes/[^/]+", refused("409 Conflict", "remove x: volume is in use")),
    ("DELETE /networks/[^/]+", refused("403 Forbidden", "network x has active endpoints")),
)


async def test_races_that_engines_report_as_errors_are_none(
    faulty: FaultyEngine, tmp_path: Path, cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever an engine says of what is gone, busy or under way, the next step mends it."""
    monkeypatch.setenv("NONE_ASKED", "sk-none")
    faults: list[Fault] = []

    def begin() -> None:
        for number, (call, act) in enumerate(RACES):
            turn = 1 if call.startswith(("DELETE /v", "DELETE /n")) else number + 1
            faults.append(faulty.fail(call, act, turn=turn))

    watch = Watch(begin)
    # A provider that nobody asks: its sidecar has a network, which has to go at the end.
    provider = "{provider: openai, base_url: 'http://192.0.2.1/v1', api_key_env: NONE_ASKED}"
    run_id, report = await run_it(tmp_path, cache_dir, watch, provider=provider)
    expect(report, watch)
    assert [fault.call for fault in faults if fault.hits != 1] == []
    async with the_real_one() as engine:
        assert await left_over(engine, run_id) == []


class TestAtTheStart:
    """Before any case: the command ends with words, in time."""

    @pytest.mark.parametrize(
        ("call", "act", "says"),
        [
            ("GET /version", never_answered, "no Docker Engine answers"),
            ("GET /version", no_http, "no Docker Engine answers"),
            ("GET /version", other_json, "no Docker Engine answers"),
            ("GET /_ping", never_answered, "no Docker Engine answers"),
            ("GET /_ping", half_answered, "no Docker Engine answers"),
            ("GET /_ping", refused("500 Internal Server Error", "no"), "no Docker Engine answers"),
        ],
    )
    async def test_what_is_no_engine_is_named_as_such(
        self, call: str, act: Act, says: str, faulty: FaultyEngine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(engine_module, "PING_TIMEOUT_S", 1.0)
        faulty.fail(call, act, times=99)
        async with asyncio.timeout(20):
            with pytest.raises(EngineUnreachableError, match=says):
                async with open_engine(workers=1):
                    pass

    @pytest.mark.parametrize(
        ("call", "act", "says"),
        [
            ("GET /containers/json", never_answered, "did not answer within 2 s"),
            ("GET /info", half_answered, "did not answer within 2 s"),
            ("GET /info", no_json, "makes no sense"),
            ("GET /info", refused("500 Internal Server Error", "starting up"), "starting up"),
            ("GET /images/[^/]+.*/json", other_json, "makes no sense"),
            ("POST /volumes/create", refused("500 Internal Server Error", "no room"), "no room"),
        ],
    )
    async def test_a_run_cannot_begin_and_says_why(
        self,
        call: str,
        act: Act,
        says: str,
        faulty: FaultyEngine,
        rig: Rig,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        if act in STALLS:
            monkeypatch.setattr(engine_module, "CALL_TIMEOUT_S", 2.0)
        faulty.fail(call, act, times=99)
        with pytest.raises(PacabenchError, match=says):
            async with rig.open(rig.agent()):
                pass
        faulty.faults.clear()  # for whoever looks for leftovers
