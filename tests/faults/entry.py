"""The real command, stopped at named steps: ``python -m faults.entry run --sandbox docker ...``.

Nothing in the product knows of this. Functions are wrapped before the command starts, as the table
at the end says. Two pipes, whose numbers come in ``FAULTS_PIPES``, join it to ``session.py``:

    in:  ``STEP<tab>N``    stop at the N-th passing of STEP from now on; an empty line: nowhere
    out: ``stopped<tab>STEP<tab>CONTAINER`` and then it stands still until the next line comes in,
         ``bound<tab>CONTAINER<tab>ATTEMPT``, ``reported<tab>ATTEMPT<tab>OUTCOME``
"""

import faulthandler
import functools
import inspect
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import docker

from faults.steps import Step
from pacabench import agent, attempt
from pacabench.cli import main
from pacabench.sandbox.docker import sandbox as docker_sandbox
from pacabench.sandbox.docker import sweep
from pacabench.sandbox.docker.lanes import LanePool
from pacabench.sandbox.docker.session import DockerSession
from pacabench.sandbox.docker.sidecar import Sidecar
from pacabench.sandbox.process import ProcessSandbox, ProcessSession
from pacabench.store import files, journal, salvage
from pacabench.store.run_store import RunStore

ROLE = "pacabench.role"
Tell = Callable[[tuple[Any, ...], Any], None]


class Stops:
    """The one step at which this process is to stand still next."""

    def __init__(self, orders: int, news: int) -> None:
        self._orders = os.fdopen(orders, "r", encoding="utf-8")
        self._news = os.fdopen(news, "w", encoding="utf-8")
        self._lock = threading.Lock()
        self._go_on = threading.Event()
        self._step, self._left = "", 0
        self.agents: set[str] = set()
        """Container ids of agents: probes take the same ways."""
        self._obey(self._orders.readline())
        threading.Thread(target=self._listen, daemon=True).start()

    def awaits(self, step: Step) -> bool:
        """Whether the next passing of ``step`` is the one."""
        return self._step == step and self._left == 1

    def passed(self, step: Step, container: str = "") -> None:
        """Stand still here if it was asked for. From any thread."""
        with self._lock:
            if self._step != step:
                return
            self._left -= 1
            if self._left > 0:
                return
            self._step = ""
            self._go_on.clear()
        self.say("stopped", step, container)
        self._go_on.wait()

    def say(self, *words: str) -> None:
        """Tell the driver."""
        self._news.write("\t".join(words) + "\n")
        self._news.flush()

    def _listen(self) -> None:
        for line in self._orders:
            self._obey(line)

    def _obey(self, line: str) -> None:
        step, _, count = line.rstrip("\n").partition("\t")
        with self._lock:  # or who passes the new step at once would be let go with the old one
            self._step, self._left = step, int(count or 0)
            self._go_on.set()


def behind(owner: Any, name: str, tell: Tell) -> None:
    """Call ``tell`` with arguments and result whenever ``owner.name`` has returned."""
    original = getattr(owner, name)

    @functools.wraps(original)
    def wrapped(*args: Any, **named: Any) -> Any:
        result = original(*args, **named)
        tell(args, result)
        return result

    @functools.wraps(original)
    async def wrapped_async(*args: Any, **named: Any) -> Any:
        result = await original(*args, **named)
        tell(args, result)
        return result

    chosen = wrapped_async if inspect.iscoroutinefunction(original) else wrapped
    setattr(owner, name, staticmethod(chosen) if inspect.ismethod(original) else chosen)


def before(owner: Any, name: str, tell: Callable[[], None]) -> None:
    """Call ``tell`` whenever ``owner.name`` is called."""
    original = getattr(owner, name)

    @functools.wraps(original)
    def wrapped(*args: Any, **named: Any) -> Any:
        tell()
        return original(*args, **named)

    setattr(owner, name, wrapped)


def _file(fd: int) -> str:
    return Path(f"/proc/self/fd/{fd}").readlink().name


def wrap_journal(stops: Stops) -> None:
    """Around the one write and the one fsync of a result's line."""
    write_all, sync_file = journal.write_all, journal.sync_file

    def write(fd: int, content: bytes) -> None:
        of_results = _file(fd) == "results.jsonl"
        if of_results and stops.awaits(Step.LINE_HALF):
            half = len(content) // 2
            write_all(fd, content[:half])
            stops.passed(Step.LINE_HALF)
            content = content[half:]
        elif of_results:
            stops.passed(Step.LINE_HALF)  # counts
        write_all(fd, content)
        if of_results:
            stops.passed(Step.LINE_WRITTEN)

    def sync(fd: int) -> None:
        of_results = _file(fd) == "results.jsonl"
        if of_results:
            stops.passed(Step.BEFORE_FSYNC)
        sync_file(fd)
        stops.passed(Step.AFTER_FSYNC if of_results else Step.CALLS_SYNCED)

    journal.write_all, journal.sync_file = write, sync


def wrap_containers(stops: Stops) -> None:
    """A container's life, and the lane and sidecar around it."""
    passed = stops.passed

    def created(args: tuple[Any, ...], _: Any) -> None:
        session, body = args
        if body["Labels"][ROLE] == "agent":
            stops.agents.add(session.container)
            passed(Step.CREATED, session.container)

    def unheard(args: tuple[Any, ...], _: Any) -> None:
        if args[1].get("Labels", {}).get(ROLE) == "agent":
            passed(Step.CREATE_UNHEARD)

    def of_agent(step: Step) -> Tell:
        def tell(args: tuple[Any, ...], _: Any) -> None:
            if args[0].container in stops.agents:
                passed(step, args[0].container)

        return tell

    def bound(args: tuple[Any, ...], _: Any) -> None:
        stops.say("bound", args[0].container, args[1])
        passed(Step.BOUND, args[0].container)

    def at(step: Step) -> Tell:
        return lambda args, _: passed(step)

    behind(docker.APIClient, "create_container_from_config", unheard)
    behind(DockerSession, "create", created)
    behind(DockerSession, "run", of_agent(Step.STARTED))
    behind(DockerSession, "bind", bound)
    behind(DockerSession, "send", of_agent(Step.SENT))
    behind(DockerSession, "unbind", of_agent(Step.UNBOUND))
    behind(DockerSession, "close", of_agent(Step.REMOVED))
    behind(Sidecar, "configure", at(Step.SIDECAR_READY))
    before(Sidecar, "shut_down", lambda: passed(Step.SIDECAR_LEAVES))
    behind(LanePool, "_make", at(Step.LANE_UP))
    behind(docker_sandbox, "remove_session", at(Step.REST_REMOVED))
    before(sweep, "_save_calls", lambda: passed(Step.SPOOL_FOUND))
    behind(sweep, "_move", at(Step.SPOOL_SAVED))


def wrap_processes(stops: Stops) -> None:
    """The same steps where agents are plain processes."""

    def at(step: Step) -> Tell:
        return lambda args, _: stops.passed(step)

    behind(ProcessSandbox, "start", at(Step.STARTED))
    behind(ProcessSession, "bind", at(Step.BOUND))
    behind(ProcessSession, "send", at(Step.SENT))
    behind(ProcessSession, "unbind", at(Step.UNBOUND))
    behind(ProcessSession, "close", at(Step.REMOVED))


def wrap_run(stops: Stops) -> None:
    """What is the same in every sandbox."""
    passed = stops.passed

    def answered(_: tuple[Any, ...], answer: Any) -> None:
        if answer is not None:
            passed(Step.ANSWERED)

    def reported(args: tuple[Any, ...], _: Any) -> None:
        stops.say("reported", args[1].attempt_id, args[1].outcome.value)
        passed(Step.REPORTED)

    def aside(args: tuple[Any, ...], _: Any) -> None:
        if args[0].name == ".run.json.new":
            passed(Step.MANIFEST_ASIDE)

    behind(RunStore, "create", lambda args, _: passed(Step.RUN_MADE))
    behind(RunStore, "begin_session", lambda args, _: passed(Step.SESSION_BEGUN))
    before(RunStore, "end_session", lambda: passed(Step.SESSION_ENDING))
    behind(RunStore, "end_session", lambda args, _: passed(Step.SESSION_ENDED))
    before(RunStore, "append_call", lambda: passed(Step.CALL_HEARD))
    behind(RunStore, "append_call", lambda args, _: passed(Step.CALL_WRITTEN))
    behind(RunStore, "append_result", reported)
    before(salvage, "remove_spool", lambda: passed(Step.SPOOL_TAKEN))
    behind(files, "write_new", aside)
    behind(agent, "parse_answer", answered)
    behind(attempt, "judge_answer", lambda args, _: passed(Step.EVALUATED))


def run() -> None:
    """Wrap, then be the command."""
    faulthandler.register(signal.SIGUSR1, all_threads=True)  # where does it hang?
    orders, news = map(int, os.environ.pop("FAULTS_PIPES").split(","))
    stops = Stops(orders, news)
    for wrap in (wrap_journal, wrap_containers, wrap_processes, wrap_run):
        wrap(stops)
    main()


if __name__ == "__main__":
    run()
