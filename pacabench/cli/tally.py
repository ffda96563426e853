"""Where a run stands, counted from its events. Pure: both kinds of progress read it."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from pacabench.amounts import NOTHING, Amount, Ceiling, charge_of
from pacabench.events import (
    AttemptFinished,
    AttemptStarted,
    CallFinished,
    Event,
    Paused,
    Preparing,
    Resumed,
    RunStarted,
    Stopping,
)
from pacabench.figures import CallFigures
from pacabench.model import CaseKey, CaseResult, MeteredCall, Outcome, Verdict


@dataclass(slots=True)
class AgentTally:
    """One agent's numbers. Calls are those of all attempts, earlier sessions included."""

    planned: int
    passed: int = 0
    failed: int = 0
    infrastructure: int = 0
    usage: CallFigures = field(default_factory=CallFigures)
    done_now: int = 0
    """Cases decided in this session; the pace is made of them."""
    first_start_s: float | None = None

    @property
    def decided(self) -> int:
        """Cases with a result that stands for now."""
        return self.passed + self.failed + self.infrastructure

    def count(self, outcome: Outcome, change: int = 1) -> None:
        """Count the deciding outcome of a case; ``change`` -1 takes it back."""
        if outcome is Outcome.PASSED:
            self.passed += change
        elif outcome.is_infrastructure:
            self.infrastructure += change
        else:
            self.failed += change

    def eta_s(self, now_s: float) -> float | None:
        """Seconds until the last case at this session's pace; None before the first result."""
        if self.first_start_s is None or not self.done_now:
            return None
        left = self.planned - self.decided
        return left * (now_s - self.first_start_s) / self.done_now


@dataclass(frozen=True, slots=True)
class Running:
    """An attempt under way."""

    key: CaseKey
    number: int
    since_s: float


@dataclass(slots=True)
class Tally:
    """A whole run's numbers."""

    clock: Callable[[], float] = time.monotonic
    run_id: str = ""
    sandbox: str = ""
    preparing: str = "reading the configuration"
    """The last thing that was begun before the first case."""
    preparing_since_s: float = 0.0
    started_s: float | None = None
    agents: dict[str, AgentTally] = field(default_factory=dict)
    running: dict[CaseKey, Running] = field(default_factory=dict)
    outcomes: dict[CaseKey, Outcome] = field(default_factory=dict)
    """Of decided cases. One that is started again is undecided again."""
    earlier: dict[CaseKey, Outcome] = field(default_factory=dict)
    """Of those that are made again, until the new attempt decides."""
    stopping: bool = False
    paused: str | None = None
    """Why no case is started."""
    budget: Ceiling = field(default_factory=Ceiling)
    """What the whole run may spend."""
    spent: Amount = NOTHING

    def __post_init__(self) -> None:
        self.preparing_since_s = self.clock()

    def add(self, event: Event) -> None:
        """Take ``event`` into account."""
        match event:
            case Preparing(text=text):
                self.preparing, self.preparing_since_s = text, self.clock()
            case RunStarted():
                self._start(event)
            case AttemptStarted(key=key, number=number):
                self._begin(key, number)
            case CallFinished(call=call):
                self._add_call(call)
            case AttemptFinished(result=result, will_retry=will_retry):
                self.running.pop(result.key, None)
                if not will_retry:
                    self._finish(result)
            case Paused(why=why):
                self.paused = why
            case Resumed():
                self.paused = None
            case Stopping():
                self.stopping = True

    def _start(self, event: RunStarted) -> None:
        self.run_id, self.sandbox = event.run_id, event.sandbox
        self.started_s = self.clock()
        self.budget, self.spent = event.budget, event.spent
        self.agents = {name: AgentTally(planned) for name, planned in event.planned.items()}
        self.outcomes = {result.key: result.outcome for result in event.decided}
        ended = Counter((key.agent, outcome) for key, outcome in self.outcomes.items())
        for (agent, outcome), number in ended.items():
            self.agent(agent).count(outcome, number)
        for name, figures in event.earlier_calls.items():
            self.agent(name).usage.merge(figures)

    def _begin(self, key: CaseKey, number: int) -> None:
        now_s = self.clock()
        self.running[key] = Running(key, number, now_s)
        agent = self.agent(key.agent)
        if agent.first_start_s is None:
            agent.first_start_s = now_s
        if (earlier := self.outcomes.pop(key, None)) is not None:
            agent.count(earlier, -1)
            self.earlier[key] = earlier

    def _finish(self, result: CaseResult) -> None:
        earlier = self.earlier.pop(result.key, None)
        if result.decides:
            self._decide(result)
            self.agent(result.key.agent).done_now += 1
        elif earlier is not None:
            self.outcomes[result.key] = earlier
            self.agent(result.key.agent).count(earlier)

    def _decide(self, result: CaseResult | Verdict) -> None:
        self.outcomes[result.key] = result.outcome
        self.agent(result.key.agent).count(result.outcome)

    def _add_call(self, metered: MeteredCall) -> None:
        self.agent(metered.key.agent).usage.add(metered)
        self.spent += charge_of(metered)

    def agent(self, name: str) -> AgentTally:
        """The numbers of ``name``, made when they are first asked for."""
        if name not in self.agents:
            self.agents[name] = AgentTally(0)
        return self.agents[name]

    @property
    def scripted(self) -> bool:
        """The built-in scripted provider answered: no model did."""
        return any(agent.usage.scripted_calls for agent in self.agents.values())

    @property
    def planned(self) -> int:
        """Cases in all."""
        return sum(agent.planned for agent in self.agents.values())

    @property
    def decided(self) -> int:
        """Cases with a result."""
        return sum(agent.decided for agent in self.agents.values())

    def longest_running(self) -> list[Running]:
        """Attempts under way, the oldest first."""
        return sorted(self.running.values(), key=lambda run: run.since_s)

    @property
    def elapsed_s(self) -> float:
        """Seconds since this session's cases began."""
        return 0.0 if self.started_s is None else self.clock() - self.started_s
