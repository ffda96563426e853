"""What a run tells whoever watches it. The CLI turns these into bars or lines."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from pacabench.amounts import NOTHING, Amount, Ceiling
from pacabench.figures import CallFigures
from pacabench.model import CaseKey, CaseResult, MeteredCall, Verdict


@dataclass(frozen=True, slots=True)
class Preparing:
    """Something slow before the first case: an image build, a clone, an environment."""

    text: str


@dataclass(frozen=True, slots=True)
class RunStarted:
    """Cases are about to start."""

    run_id: str
    sandbox: str
    planned: dict[str, int]
    """Agent name to number of cases, those already decided included."""
    decided: tuple[CaseResult | Verdict, ...]
    """Results of earlier sessions that stand."""
    earlier_calls: Mapping[str, CallFigures] = field(default_factory=dict)
    """Agent name to LLM calls of earlier sessions."""
    budget: Ceiling = field(default_factory=Ceiling)
    """What the whole run may spend."""
    spent: Amount = NOTHING
    """What it has spent in earlier sessions."""


@dataclass(frozen=True, slots=True)
class AttemptStarted:
    """A case was handed to an agent."""

    key: CaseKey
    number: int


@dataclass(frozen=True, slots=True)
class CallFinished:
    """An LLM call was metered."""

    call: MeteredCall


@dataclass(frozen=True, slots=True)
class AttemptFinished:
    """A result is on disk."""

    result: CaseResult
    will_retry: bool


@dataclass(frozen=True, slots=True)
class Paused:
    """No case is started until the infrastructure works again; running ones may finish."""

    why: str
    give_up_after_s: float
    """Then the run ends, to be resumed later."""


@dataclass(frozen=True, slots=True)
class Resumed:
    """It works again."""

    after_s: float


@dataclass(frozen=True, slots=True)
class Stopping:
    """The user asked to stop; running cases may finish."""

    grace_s: float


@dataclass(frozen=True, slots=True)
class Notice:
    """Something the user should know. ``danger``: agents are held less than was promised."""

    level: Literal["info", "warning", "danger"]
    text: str


Event: TypeAlias = (
    Preparing
    | RunStarted
    | AttemptStarted
    | CallFinished
    | AttemptFinished
    | Paused
    | Resumed
    | Stopping
    | Notice
)
Listener: TypeAlias = Callable[[Event], None]
