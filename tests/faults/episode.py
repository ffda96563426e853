"""One run from its start to its end, with the kills that are planned for it."""

import contextlib
import json
import os
import queue
import random
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from faults.engines import Engine, PrivateEngine
from faults.invariants import Facts, Figures, Memory, check_run
from faults.kills import Hit, Kill, Victim
from faults.project import KEY, KEY_VARIABLE, make_project
from faults.provider import Books
from faults.session import Gone, Session, Stopped
from faults.steps import CLOSING, Step

_REPOSITORY = Path(__file__).parents[2]
_SESSION_WITHIN_S = 240.0
"""From its start, or the last kill that it outlived."""
_STEP_WITHIN_S = 25.0
"""Of a busy machine, and from a start on. Some steps are not passed: other runs recover too."""
_VICTIM_WITHIN_S = 12.0
_MOST_LOOKS = 5
"""Passings of a step at which a victim is looked for."""
_MOST_SESSIONS_WITHOUT_KILL = 6
_ROLES = {Victim.SIDECAR: "sidecar", Victim.HOLDER: "lane", Victim.AGENT: "agent"}
_KILLED = -9
_DONE, _ERROR, _INFRASTRUCTURE = 0, 1, 3


@dataclass(frozen=True, slots=True)
class Ground:
    """Where episodes are played."""

    path: Path
    engine: Engine | None
    """None: agents are plain processes."""
    cache: Path
    cases: int
    concurrency: int

    @property
    def sandbox(self) -> str:
        """As the command calls it."""
        return "process" if self.engine is None else "docker"


@dataclass(slots=True)
class Ended:
    """What became of an episode."""

    name: str
    cases: int
    sandbox: str
    done: list[Hit] = field(default_factory=list)
    missed: list[Kill] = field(default_factory=list)
    """Their step was not reached, or their victim was not there."""
    sessions: int = 0
    figures: Figures = field(default_factory=Figures)
    violations: list[str] = field(default_factory=list)
    seconds: float = 0.0


class Episode:
    """Plays one. Use once."""

    def __init__(self, name: str, kills: Sequence[Kill], ground: Ground, books: Books) -> None:
        self._name = name
        self._plan = list(kills)
        self._ground = ground
        self._books = books
        self._chance = random.Random(name)
        self._project = make_project(
            ground.path / name,
            books.provider.base_url,
            cases=ground.cases,
            concurrency=ground.concurrency,
        )
        self._run_dir = self._project.run_dir(name)
        self._ended = Ended(name, ground.cases, ground.sandbox)
        self._facts = Facts(self._project.expected)
        self._memory = Memory()
        self._killed_containers: set[str] = set()
        self._called = threading.Event()
        """Lets a call go on that the provider holds."""
        self._engine_hit = False
        """In the present session: it may end with an error then."""

    def play(self) -> Ended:
        """Run, kill, resume until the run is whole; then see what holds."""
        started = time.monotonic()
        self._books.provider.books.clear()
        quiet = 0
        while quiet < _MOST_SESSIONS_WITHOUT_KILL:
            before = len(self._ended.done)
            if self._run_session() or self._ended.violations:
                break
            quiet = quiet + 1 if before == len(self._ended.done) else 0
        else:
            self._ended.violations.append("resumed again and again, it does not come to its end")
        self._ended.missed += self._plan
        self._check()
        self._ended.seconds = time.monotonic() - started
        return self._ended

    def _run_session(self) -> bool:
        """One process of the command to its end; whether the run is whole."""
        ended, begun = self._ended, (self._run_dir / "run.json").exists()
        ended.sessions += 1
        command = ["resume"] if begun else ["run", "--sandbox", self._ground.sandbox, "--run-id"]
        session = Session(
            [*command, self._name],
            cwd=self._project.path,
            environ=self._environ(),
            log=self._project.path / f"session-{ended.sessions}.log",
            first=self._next(),
        )
        self._engine_hit = False
        try:
            explained = self._serve(session)
            code = session.wait()
        except BaseException:
            session.kill()
            raise
        finally:
            self._books.on_call = lambda: None
        self._facts.reported.update(session.reported)
        for container in self._killed_containers:
            self._facts.agents_killed |= session.bound.get(container, set())
        ended.violations += self._memory.look(self._run_dir)
        if code not in {_DONE, _INFRASTRUCTURE} | explained:
            said = session.log.read_text(errors="replace").splitlines()[-12:]
            ended.violations.append(
                f"session {ended.sessions} ended with {code}:\n    " + "\n    ".join(said)
            )
        return code == _DONE

    def _next(self) -> Kill | None:
        return self._plan[0] if self._plan else None

    def _serve(self, session: Session) -> set[int]:
        """Kill as planned until the session ends; exit codes that this explains."""
        since, looks = time.monotonic(), 0
        self._await_call(session)
        while True:
            kill, hang = self._next(), since + _SESSION_WITHIN_S
            until = hang if kill is None else min(hang, since + _patience_s(kill))
            news = _next_news(session, until)
            if isinstance(news, Gone):
                if kill is not None and kill.step is not None:
                    self._ended.missed.append(self._plan.pop(0))
                return {_ERROR} if self._engine_hit else set()
            if news is None and until == hang:
                return self._note_hang(session)
            assert kill is not None
            if news is not None and news.step is not kill.step:
                self._called.set()  # one that was given up a moment ago
                continue
            there = news is not None or kill.step is None
            in_flight = self._books.under_way()
            hit = there and self._kill(kill, session, news)
            looks += 1
            if news is not None and not hit and looks < _MOST_LOOKS:
                self._await_call(session)
                session.go_on(replace(kill, nth=1))  # it may be there at the next passing
                continue
            self._plan.pop(0)
            if hit:
                self._ended.done.append(Hit(kill, in_flight))
            else:
                self._ended.missed.append(kill)
            if hit and kill.victim is Victim.HARNESS:
                return {_KILLED}
            since, looks = time.monotonic(), 0
            self._await_call(session)
            session.go_on(self._next())

    def _await_call(self, session: Session) -> None:
        """Stop at the provider, if that is where the next kill is to be."""
        kill = self._next()
        if kill is None or kill.step is not Step.AT_PROVIDER:
            self._books.on_call = lambda: None
            return
        left = [kill.nth]

        def on_call() -> None:
            left[0] -= 1
            if left[0] == 0:
                self._called.clear()
                session.news.put(Stopped(Step.AT_PROVIDER, ""))
                self._called.wait(30)

        self._books.on_call = on_call

    def _kill(self, kill: Kill, session: Session, at: Stopped | None) -> bool:
        """Do it; False: the victim is not there."""
        hit = self._strike(kill, session, at)
        if hit:
            self._facts.in_flight_most += self._ground.concurrency
        if at is not None and at.step is Step.AT_PROVIDER:
            self._called.set()
        if kill.victim is Victim.ENGINE:
            session.go_on(None)
            assert isinstance(self._ground.engine, PrivateEngine)
            time.sleep(kill.away_s)
            self._ground.engine.start()
            self._engine_hit = True
        return hit

    def _strike(self, kill: Kill, session: Session, at: Stopped | None) -> bool:
        if kill.victim is Victim.HARNESS:
            session.kill()
            session.process.wait()
            return True
        engine = self._ground.engine
        assert engine is not None
        if kill.victim is Victim.ENGINE:
            assert isinstance(engine, PrivateEngine)
            engine.kill()
            return True
        deadline = time.monotonic() + (0 if at is not None else _VICTIM_WITHIN_S)
        while True:
            found = engine.running(self._name, _ROLES[kill.victim])
            own = at.container if at is not None and kill.victim is Victim.AGENT else ""
            container = own if own in found else self._chance.choice(found) if found else ""
            if container and engine.kill_container(container):
                self._killed_containers.add(container)
                return True
            if time.monotonic() >= deadline or session.process.poll() is not None:
                return False
            time.sleep(0.1)

    def _note_hang(self, session: Session) -> set[int]:
        session.show_where()
        time.sleep(1)
        session.kill()
        self._ended.violations.append(
            f"session {self._ended.sessions} did not end within {_SESSION_WITHIN_S:.0f} s; "
            f"its threads are in {session.log}"
        )
        return {_KILLED}

    def _check(self) -> None:
        ended, engine = self._ended, self._ground.engine
        if engine is not None and (left := engine.left(self._name)):
            ended.violations.append(f"left on the engine: {left}")
        if ended.violations:
            return
        books = self._books.served()
        figures, wrong = check_run(self._run_dir, self._export(), books, self._facts)
        ended.figures = figures
        ended.violations += wrong

    def _export(self) -> dict[str, Any]:
        done = subprocess.run(
            [sys.executable, "-m", "pacabench", "export", self._name],
            cwd=self._project.path,
            env=self._environ(),
            capture_output=True,
            check=True,
        )
        exported: dict[str, Any] = json.loads(done.stdout)
        return exported

    def _environ(self) -> dict[str, str]:
        return environment(self._ground.cache, self._ground.engine)


def _patience_s(kill: Kill) -> float:
    """How long its moment is waited for: all cases that are left come before the last steps."""
    if kill.step is None:
        return kill.delay_s
    return _SESSION_WITHIN_S if kill.step in CLOSING else _STEP_WITHIN_S


def _next_news(session: Session, until: float) -> Stopped | Gone | None:
    """What a session says next; None: nothing until then."""
    with contextlib.suppress(queue.Empty):
        return session.news.get(timeout=max(0.0, until - time.monotonic()))
    return None


def environment(cache: Path, engine: Engine | None = None) -> dict[str, str]:
    """What the command is run with."""
    return {
        **os.environ,
        **(engine.environment if engine is not None else {}),
        KEY_VARIABLE: KEY,
        "PYTHONPATH": f"{_REPOSITORY}{os.pathsep}{_REPOSITORY / 'tests'}",
        "PACABENCH_CONFIG__CACHE_DIRECTORY": str(cache),
        "COLUMNS": "200",
    }
