"""What a session of a run works on, and what it reports."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pacabench.benchmark import Benchmark
from pacabench.breaker import Breaker, BreakerPolicy
from pacabench.contest import Contest
from pacabench.events import (
    Listener,
    Notice,
    Paused,
    Resumed,
)
from pacabench.model import CaseKey, Outcome
from pacabench.recording import Recording
from pacabench.scheduler import Stop
from pacabench.stats import Totals
from pacabench.store import DecisionRecord, RunStore

LEAST_PILE = 5
"""Attempts in a row that infrastructure failed until a run pauses; more where more run at once."""


@dataclass(frozen=True, slots=True)
class RunReport:
    """How it went."""

    run_id: str
    run_dir: Path
    summary: Totals
    infrastructure_left: int
    """Cases whose deciding attempt was no fault of the agent."""
    pending: int
    """Cases without any result."""
    stopped: bool
    """Somebody asked to stop before the end."""
    gave_up: str | None = None
    """Why it ended before its end by itself: what was down did not come back in time."""
    over_budget: str | None = None
    """Why cases are left: the budget of the run, or of an agent, refused a call."""
    spent: bool = True
    """It did so because it was spent, and not because nobody could tell what a call may use."""
    missed: bool = False
    """A cassette that answers all calls held no answer to some: it will hold none next time."""
    decision: DecisionRecord | None = None
    """What ``--stop-when-decided`` found."""

    @property
    def left(self) -> int:
        """Cases without a result that have yet to be run."""
        on_purpose = self.decision is not None and self.decision.stopped_early
        return 0 if on_purpose else self.pending


@dataclass(slots=True)
class Job:
    """A run's directory and benchmark, and who watches."""

    store: RunStore
    benchmark: Benchmark
    flags: Mapping[str, Any]
    """Those that ``benchmark`` was loaded with: the next session is loaded with them too."""
    retry: frozenset[Outcome]
    """Deciding outcomes that are run again, and then nothing else is. Empty: go on."""
    listener: Listener
    stop: Stop
    allow_weak: bool
    """Go on where the sandbox does not keep a promise; that is stamped into the run."""
    announced: bool = False
    """Somebody was told of the run's id, and cases may have begun."""
    contest: Contest | None = None
    """Of two agents, where the run is to stop once it is decided, or cannot be."""
    over_budget: str | None = None
    """What the budget of the run, or of an agent, refused."""
    spent: bool = False
    """Such a budget is spent."""
    decided: set[CaseKey] = field(default_factory=set)
    """Cases that this session is done with."""
    cut_left: int = 0
    """Attempts of this session of which not all left files that are wanted could be taken."""
    breaker: Breaker = field(init=False)
    recording: Recording = field(default_factory=Recording)

    def __post_init__(self) -> None:
        config, tell = self.benchmark.loaded.config.config, self.listener
        give_up_after_s = config.proxy.give_up_after_seconds
        pile = max(LEAST_PILE, config.concurrency)
        self.breaker = Breaker(
            BreakerPolicy(pile=pile, give_up_after_s=give_up_after_s),
            on_pause=lambda why: tell(Paused(why, give_up_after_s)),
            on_resume=lambda after_s: tell(Resumed(after_s)),
        )

    def warn(self, text: str) -> None:
        """Tell whoever watches of something that is not as it should be."""
        self.listener(Notice("warning", text))
